"""Real processes, really killed: whatever happens, the same command goes on to the same end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpo_bench.storage import load_study, open_storage, study_names

SUITE = """
name = "toy"
seeds = [0, 1]
workers = {workers}
[objective]
name = "toy:Curve"
options = {{ unit_seconds = 0.02, epochs = 9, log = "{log}" }}
[budget]
epochs = 45
[methods]
random = {{}}
bohb = {{}}
"""
SUPPORT = Path(__file__).parents[1] / "support"


class Command:
    """`hpo-bench run` in a directory of its own."""

    def __init__(self, directory: Path, workers: int, settings: str = "") -> None:
        self.directory = directory
        self.log = directory / "log"
        suite = SUITE.format(workers=workers, log=self.log)
        (directory / "toy.toml").write_text(settings + suite)

    def start(self) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "hpo_bench", "run", "toy.toml"],
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(SUPPORT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self) -> str:
        process = self.start()
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
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
        storage = open_storage(f"sqlite:///{self.directory / 'hpo-bench.db'}")
        return {
            name: [
                (t.number, t.state, t.params, t.intermediate_values, t.user_attrs["epochs"])
                for t in load_study(storage, name).get_trials()
            ]
            for name in study_names(storage)
        }

    def children(self, process: subprocess.Popen) -> list[int]:
        """Worker processes; multiprocessing's resource tracker is none."""
        path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        return [
            int(pid)
            for pid in path.read_text().split()
            if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()
        ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    command = Command(tmp_path_factory.mktemp("undisturbed"), workers=1)
    command.finish()
    return command.told()


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_coordinator(tmp_path, undisturbed, workers):
    command = Command(tmp_path, workers)
    for units in (20, 60):
        process = command.start()
        command.wait_for_units(units)
        workers_before = command.children(process)
        process.kill()
        process.communicate()
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{pid}").exists() for pid in workers_before):
            assert time.monotonic() < deadline, "orphaned workers go on"
            time.sleep(0.05)
    command.finish()
    assert command.told() == undisturbed


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [p for child in children for p in (int(child), *descendants(int(child)))]


def test_a_killed_coordinator_of_runs_with_several_workers(tmp_path, undisturbed):
    command = Command(tmp_path, 2, settings="workers_per_run = 2\ndeterministic = true\n")
    process = command.start()
    command.wait_for_units(60)
    started = descendants(process.pid)
    assert len(started) >= 3
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in started):
        assert time.monotonic() < deadline, "orphaned workers go on"
        time.sleep(0.05)
    command.finish()
    for name, trials in command.told().items():
        assert all(state.is_finished() for _, state, *_ in trials)
        assert sum(epochs for *_, epochs in trials) in range(45, 54)
        if "random" in name:  # what bohb proposes depends on what it knew when it was asked
            assert trials == undisturbed[name]


def test_killed_workers_are_replaced(tmp_path, undisturbed):
    command = Command(tmp_path, workers=2)
    process = command.start()
    command.wait_for_units(30)
    for pid in command.children(process):
        os.kill(pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "another one goes on with it" in output
    assert command.told() == undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop(tmp_path, undisturbed, number):
    command = Command(tmp_path, workers=2)
    process = command.start()
    command.wait_for_units(30)
    os.killpg(process.pid, number)  # as a terminal does: to every process
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "The same command goes on" in output
    trained = len(command.units())
    command.finish()
    assert command.told() == undisturbed
    # What was under way was saved: not one unit is trained twice.
    total = sum(epochs for trials in undisturbed.values() for *_, epochs in trials)
    assert trained < len(command.units()) == total


def test_asked_to_stop_while_the_workers_still_start(tmp_path, undisturbed):
    command = Command(tmp_path, workers=2)
    process = command.start()
    deadline = time.monotonic() + 60
    while not command.children(process):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert "died" not in output
    assert "The same command goes on" in output
    command.finish()
    assert command.told() == undisturbed


def test_asked_twice_it_stops_at_once_and_still_goes_on_later(tmp_path, undisturbed):
    command = Command(tmp_path, workers=2)
    process = command.start()
    command.wait_for_units(30)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    command.finish()
    assert command.told() == undisturbed


def test_a_finished_suite_trains_nothing_again(tmp_path):
    command = Command(tmp_path, workers=2)
    command.finish()
    trained = len(command.units())
    assert "toy/random/seed-00" in command.finish()
    assert len(command.units()) == trained
