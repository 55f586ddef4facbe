"""Several commands at work on one suite: real processes, frozen, stopped, started together."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpo_bench.leases import leases
from hpo_bench.storage import load_study, open_storage, study_names

SUITE = """
name = "toy"
seeds = [0, 1, 2]
workers = 1
lease_seconds = 3
storage = "{storage}"
[objective]
name = "toy:Curve"
options = {{ unit_seconds = 0.03, epochs = 9, log = "{log}" }}
[budget]
epochs = 45
[methods]
random = {{}}
"""
SUPPORT = Path(__file__).parent / "support"


class Suite:
    """A suite file in a directory of its own, and the commands that work on it."""

    def __init__(self, directory: Path, storage: str | None = None) -> None:
        self.directory = directory
        self.log = directory / "log"
        self.storage = storage or f"sqlite:///{directory / 'shared.db'}"
        text = SUITE.format(storage=self.storage, log=self.log)
        (directory / "toy.toml").write_text(text)

    def start(self, command: str = "run", *options: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "hpo_bench", command, "toy.toml", *options],
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(SUPPORT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, process: subprocess.Popen, status: int = 0) -> str:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == status, output
        return output

    def units(self) -> list[dict]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]

    def wait_for_units(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.units()) < count:
            assert time.monotonic() < deadline, "the command does not get going"
            time.sleep(0.02)

    def told(self) -> dict:
        """Everything found, without its times."""
        storage = open_storage(self.storage)
        return {
            name: [
                (t.number, t.state, t.params, t.intermediate_values, t.user_attrs["epochs"])
                for t in load_study(storage, name).get_trials()
            ]
            for name in study_names(storage)
        }

    def holders(self) -> dict[str, int]:
        """Who works on what now: study name -> process."""
        held = leases(open_storage(self.storage))
        return {name: lease.owner.pid for name, lease in held.items() if not lease.is_free}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    suite = Suite(tmp_path_factory.mktemp("undisturbed"))
    suite.finish(suite.start("run", "--workers", "2"))
    return suite.told()


def trained(told: dict) -> int:
    return sum(epochs for trials in told.values() for *_, epochs in trials)


def test_two_commands_that_start_together_share_the_runs(tmp_path, undisturbed):
    suite = Suite(tmp_path)
    both = [suite.start(), suite.start()]
    suite.wait_for_units(30)
    holders = suite.holders()
    assert len(set(holders.values())) == len(holders) >= 1
    for process in both:
        output = suite.finish(process)
        assert all(name in output for name in undisturbed)  # each ends with all of the results
    assert suite.told() == undisturbed
    assert len(suite.units()) == trained(undisturbed)


def test_who_finds_everything_taken_says_by_whom_and_leaves_or_waits(tmp_path):
    suite = Suite(tmp_path)
    first = suite.start("run", "--workers", "3", "--set", "lease_seconds=600")
    while len(suite.holders()) < 3 and first.poll() is None:
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGSTOP)
    holders = suite.holders()
    assert len(holders) == 3
    leaving, waiting = suite.start("worker"), suite.start("worker", "--wait")
    output = suite.finish(leaving)
    for name, pid in holders.items():
        assert f"Left to others: {name} is being worked on by process {pid} on" in output
    assert "waiting for 3 runs that others work on" in waiting.stdout.readline()
    os.killpg(first.pid, signal.SIGCONT)
    suite.finish(first)
    output = suite.finish(waiting)
    assert all(f"{name}: best" in output for name in holders)


def test_a_frozen_worker_is_taken_over_and_what_it_does_then_is_not_counted(
    tmp_path, undisturbed, postgres_url
):
    suite = Suite(tmp_path, postgres_url)
    frozen = suite.start("worker", "--wait")
    suite.wait_for_units(12)
    os.killpg(frozen.pid, signal.SIGSTOP)
    (held,) = suite.holders()
    suite.finish(suite.start("worker", "--wait"))
    assert suite.told() == undisturbed
    os.killpg(frozen.pid, signal.SIGCONT)
    output = suite.finish(frozen)
    assert f"{held}: another process has taken this run over" in output
    assert suite.told() == undisturbed


def test_a_worker_told_to_leave_saves_and_another_goes_on(tmp_path, undisturbed):
    suite = Suite(tmp_path)
    first = suite.start("worker")
    suite.wait_for_units(12)
    os.killpg(first.pid, signal.SIGTERM)
    output = suite.finish(first, status=130)
    assert "The same command goes on" in output
    assert suite.holders() == {}
    suite.finish(suite.start("worker"))
    assert suite.told() == undisturbed
    assert len(suite.units()) == trained(undisturbed)


def test_a_command_killed_with_its_workers_is_gone_on_with_at_once(tmp_path, undisturbed):
    suite = Suite(tmp_path)
    first = suite.start("run", "--set", "lease_seconds=3600")
    suite.wait_for_units(12)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    suite.finish(suite.start("worker"))  # which would leave if it found the run taken
    assert suite.told() == undisturbed


def test_workers_that_meet_at_an_empty_database_do_not_hinder_each_other(
    tmp_path, undisturbed, any_url
):
    suite = Suite(tmp_path, any_url)
    workers = [suite.start("worker", "--wait") for _ in range(3)]
    for worker in workers:
        suite.finish(worker)
    assert suite.told() == undisturbed
    assert len(suite.units()) == trained(undisturbed)


def test_status_tells_who_works_on_what_and_how_far_each_run_is(tmp_path):
    suite = Suite(tmp_path)
    first = suite.start("run", "--seeds", "0", "--set", "lease_seconds=600")
    suite.wait_for_units(20)
    os.killpg(first.pid, signal.SIGSTOP)
    ((name, pid),) = suite.holders().items()
    output = suite.finish(suite.start("status"))
    os.killpg(first.pid, signal.SIGCONT)
    lines = {line.split()[0]: line for line in output.splitlines() if line.strip()}
    assert f"process {pid} on" in lines[name]
    assert "not begun" in lines["toy/random/seed-01"]
    suite.finish(first)
    output = suite.finish(suite.start("status"))
    line = next(line for line in output.splitlines() if name in line)
    assert "100%" in line
    assert "finished (epochs spent)" in line
