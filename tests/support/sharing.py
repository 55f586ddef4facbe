"""A suite that several commands work on, each a real process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from hpo_bench.storage.leases import leases
from hpo_bench.storage.opening import open_storage
from hpo_bench.storage.studies import load_study, study_names

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
SUPPORT = Path(__file__).parent


class Suite:
    """A suite file in a directory of its own, and the commands that work on it."""

    def __init__(self, directory: Path, storage: str | None = None) -> None:
        self.directory = directory
        self.log = directory / "log"
        self.storage = storage or f"sqlite:///{directory / 'shared.db'}"
        text = SUITE.format(storage=self.storage, log=self.log)
        (directory / "toy.toml").write_text(text)
        self._started: list[subprocess.Popen] = []

    def __enter__(self) -> "Suite":
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind, frozen processes least of all."""
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()

    def start(
        self, command: str = "run", *options: str, path: Path | None = None
    ) -> subprocess.Popen:
        """Start a command; modules are looked for in `path` first."""
        paths = [SUPPORT] if path is None else [path, SUPPORT]
        process = subprocess.Popen(
            [sys.executable, "-m", "hpo_bench", command, "toy.toml", *options],
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def finish(self, process: subprocess.Popen, status: int = 0) -> str:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == status, output
        return output

    def units(self) -> list[dict]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]

    def wait_for_units(self, count: int) -> None:
        deadline = time.monotonic() + 120
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


def trained(told: dict) -> int:
    """Units of fidelity that the trials were trained."""
    return sum(epochs for trials in told.values() for *_, epochs in trials)
