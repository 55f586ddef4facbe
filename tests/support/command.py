"""`hpo-bench run` as a process of its own, to be disturbed."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from hpo_bench.storage.opening import open_storage
from hpo_bench.storage.records import jobs_of
from hpo_bench.storage.studies import load_study, study_names

SUPPORT = Path(__file__).parent
SUITE = """
name = "toy"
seeds = {seeds}
workers = {workers}
{settings}
[objective]
name = "toy:Curve"
[objective.options]
unit_seconds = {unit_seconds}
epochs = 9
log = {log}
{options}
[budget]
{budget}
[methods]
{methods}
"""
METHODS = "random = {}\nbohb = {}\n"
PATIENCE = 120.0
"""Seconds that a test waits for something to happen: far more than it ever took."""


class Command:
    """The command in a directory of its own; the same command goes on where it was stopped.

    Args:
        directory: Where it runs.
        workers: How many worker processes it has.
        settings: Further keys of the suite, as TOML.
        options: Further options of the objective, as TOML.
        methods: What is compared, as TOML.
        storage: A URL; None for a SQLite file in the directory.
        seeds: How many there are.
        budget: Of each run, as TOML.
        unit_seconds: How long a unit of training takes.
    """

    def __init__(
        self,
        directory,
        workers=1,
        settings="",
        options="",
        methods=METHODS,
        storage=None,
        seeds=2,
        budget="epochs = 45",
        unit_seconds=0.02,
    ):
        self.directory = directory
        self.log = directory / "log"
        self.storage = storage or f"sqlite:///{directory / 'hpo-bench.db'}"
        self.file = directory / "toy.toml"
        self.file.write_text(
            SUITE.format(
                workers=workers,
                settings=f"{settings}\nstorage = {json.dumps(self.storage)}",
                log=json.dumps(str(self.log)),
                options=options,
                methods=methods,
                seeds=seeds,
                budget=budget,
                unit_seconds=unit_seconds,
            )
        )

    def start(self, *arguments, environment=None):
        """Start `hpo-bench run`, or another command of hpo-bench if one is given."""
        return subprocess.Popen(
            [sys.executable, "-m", "hpo_bench", *(arguments or ("run", "toy.toml"))],
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(SUPPORT), **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self):
        """Run it to its end; give what it said."""
        return wait(self.start())

    def units(self):
        """Every unit of training that was done, by whomever."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        # The last one may be half written.
        return [json.loads(line) for line in lines if line.endswith("}")]

    def wait_for_units(self, count, process=None):
        """Wait until so many units were trained, or a process has ended."""
        deadline = time.monotonic() + PATIENCE
        while len(self.units()) < count and (process is None or process.poll() is None):
            assert time.monotonic() < deadline, "the command does not get going"
            time.sleep(0.02)

    def seconds_to_the_next_unit(self, process=None):
        """Wait until training goes on, or a process has ended; give how long that took."""
        began = time.monotonic()
        self.wait_for_units(len(self.units()) + 1, process)
        return time.monotonic() - began

    def studies(self):
        """All studies of the suite."""
        storage = open_storage(self.storage)
        return [load_study(storage, name) for name in study_names(storage)]

    def told(self):
        """Everything found, without its times."""
        return {
            study.study_name: [
                (t.number, t.state, t.params, t.intermediate_values, t.user_attrs["epochs"])
                for t in study.get_trials()
            ]
            for study in self.studies()
        }

    def evaluations(self):
        """How often each evaluation was recorded: study, configuration, fidelity, outcome."""
        return Counter(
            (study.study_name, json.dumps(trial.params, sort_keys=True), job.fidelity, job.value)
            for study in self.studies()
            for trial in study.get_trials()
            for job in jobs_of(trial)
        )


def wait(process, status=0):
    """Let a command come to its end; give what it said."""
    output, _ = process.communicate(timeout=2 * PATIENCE)
    assert process.returncode == status, output
    return output


def workers_of(process):
    """The workers of a command, or of a process; multiprocessing's resource tracker is none."""
    pid = process if isinstance(process, int) else process.pid
    return [child for child in children(pid) if _is_worker(child)]


def _is_worker(pid):
    with suppress(psutil.Error):  # it has ended meanwhile
        return any("spawn_main" in word for word in psutil.Process(pid).cmdline())
    return False


def children(pid):
    """Processes that a process has started."""
    return [child.pid for child in psutil.Process(pid).children()]


def descendants(pid):
    """Those, and those that they have started."""
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def wait_until_gone(pids):
    """Wait until none of the processes is there any more."""
    deadline = time.monotonic() + 10
    while any(map(psutil.pid_exists, pids)):
        assert time.monotonic() < deadline, "orphaned workers go on"
        time.sleep(0.05)
