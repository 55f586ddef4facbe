"""Chaos: faults by chance, one after another, until a suite is finished all the same.

    python -m chaos --configurations 200 --workers 8 --seeds 10 --storage postgresql

The evaluations that are recorded in the end are compared with those of a command that nothing
happened to.
"""

import argparse
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from command import Command, wait, workers_of
from postgres import Postgres
from rich.console import Console
from rich.table import Table

METHODS = "random = {}\npso = {}\n"
MAX_SECONDS = 3.0
"""How long a fault lasts at most that has an end, unless an outage is asked to last longer."""


@dataclass
class Outcome:
    """What became of the evaluations of a suite, and what happened to it."""

    seed: int
    faults: Counter = field(default_factory=Counter)
    unplanned_deaths: int = 0
    expected: int = 0
    found: int = 0
    lost: int = 0
    twice: int = 0
    slowest: float = 0.0
    """Seconds from a fault's end to the next unit of training, at worst."""
    seconds: float = 0.0

    @property
    def is_good(self):
        """Whether everything was survived."""
        return self.lost == self.twice == self.unplanned_deaths == 0


class Chaos:
    """One command under faults that a seed draws; started again where a fault has ended it."""

    def __init__(self, command, seed, server=None, longest_outage=MAX_SECONDS):
        self.command = command
        self.rng = random.Random(seed)
        self.server = server
        self.longest_outage = longest_outage
        self.outcome = Outcome(seed)
        self.killed_workers = 0
        self.faults = [self.kill_worker, self.kill_command, self.terminate, self.freeze_worker]
        if server is None:
            self.faults += [self.lock]
        else:
            self.faults += [self.restart, self.crash, self.outage, self.cut, self.hang]

    def run(self, expected, max_faults):
        """Let faults happen until the suite is finished."""
        began = time.monotonic()
        self.process = self.command.start()
        self.command.wait_for_units(1, self.process)
        while self.process.poll() is None:
            if self.outcome.faults.total() < max_faults:
                time.sleep(self.rng.uniform(0.2, 2.0))
                fault = self.rng.choice(self.faults)
                if self.process.poll() is None:
                    self.outcome.faults[fault.__name__] += 1
                    fault()
            seconds = self.command.seconds_to_the_next_unit(self.process)
            self.outcome.slowest = max(self.outcome.slowest, seconds)
            if self.process.poll() not in (None, 0):
                self.note_death()
                self.again()
        self.note_death()
        found = self.command.evaluations()
        self.outcome.expected, self.outcome.found = expected.total(), found.total()
        self.outcome.lost = (expected - found).total()
        self.outcome.twice = (found - expected).total()
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    def note_death(self):
        """See why a command has ended, if nobody has ended it."""
        output, _ = self.process.communicate()
        gave_up = self.process.returncode == 1 and self.killed_workers >= 3
        if "Traceback" in output or not (self.process.returncode == 0 or gave_up):
            self.outcome.unplanned_deaths += 1
            sys.stderr.write(output)

    def again(self):
        """Start it again, as whoever finds it stopped does."""
        self.killed_workers = 0
        self.process = self.command.start()

    def pause(self, longest=MAX_SECONDS):
        """Let a fault last."""
        time.sleep(self.rng.uniform(0.5, longest))

    def signal_worker(self, *numbers):
        """Send signals to one of the workers, with a pause in between."""
        workers = workers_of(self.process)
        if not workers:
            return
        pid = self.rng.choice(workers)
        for place, number in enumerate(numbers):
            if place:
                self.pause()
            if pid in workers_of(self.process):
                os.kill(pid, number)

    def kill_worker(self):
        """kill -9."""
        self.signal_worker(signal.SIGKILL)
        self.killed_workers += 1

    def freeze_worker(self):
        """SIGSTOP, and SIGCONT."""
        self.signal_worker(signal.SIGSTOP, signal.SIGCONT)

    def kill_command(self):
        """kill -9, and started again."""
        self.process.kill()
        self.process.communicate()
        self.again()

    def terminate(self):
        """SIGTERM, and started again."""
        self.process.terminate()
        output, _ = self.process.communicate(timeout=60)
        if self.process.returncode not in (130, -signal.SIGTERM, 0, 1):
            self.outcome.unplanned_deaths += 1
            sys.stderr.write(output)
        self.again()

    def lock(self):
        """Another program keeps SQLite's lock."""
        path = self.command.storage.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as other:
            other.execute("BEGIN IMMEDIATE")
            self.pause(self.longest_outage)
            other.execute("ROLLBACK")

    def restart(self):
        """The server is restarted."""
        self.server.stop()
        self.server.start()

    def crash(self):
        """The server is killed, and recovers."""
        self.server.crash()
        self.server.start()

    def outage(self):
        """The server is away."""
        self.server.stop()
        self.pause(self.longest_outage)
        self.server.start()

    def cut(self):
        """Every connection is terminated."""
        self.server.cut_connections(self.command.storage)

    def hang(self):
        """The server does not answer, and then does."""
        self.server.freeze()
        self.pause(self.longest_outage)
        self.server.thaw()


def chaos(
    directory,
    seeds,
    *,
    configurations,
    workers,
    server=None,
    max_faults=100,
    longest_outage=MAX_SECONDS,
):
    """Go through chaos once for every seed.

    Args:
        directory: Where the commands run.
        seeds: What draws the faults.
        configurations: How many are evaluated, in all runs together.
        workers: Of the command; there is a run for each.
        server: A PostgreSQL; None for SQLite.
        max_faults: After so many, the suite is left in peace.
        longest_outage: For how many seconds the storage is away, locked or silent, at most.

    Yields:
        What became of it, seed by seed.
    """
    runs = max(2, workers)
    suite = {
        "workers": workers,
        "methods": METHODS,
        "seeds": runs // 2,
        "budget": f"evaluations = {max(1, configurations // runs)}",
    }

    def place(name):
        (directory / name).mkdir()
        return directory / name

    undisturbed = Command(place("undisturbed"), unit_seconds=0, **suite)
    wait(undisturbed.start())
    expected = undisturbed.evaluations()
    for seed in seeds:
        storage = None if server is None else server.new_database()
        command = Command(place(f"seed-{seed}"), storage=storage, unit_seconds=0.05, **suite)
        yield Chaos(command, seed, server, longest_outage).run(expected, max_faults)


def main():
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__.partition("\n")[0])
    parser.add_argument("--configurations", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--faults", type=int, default=100, help="of each seed, at most")
    parser.add_argument(
        "--outage", type=float, default=MAX_SECONDS, help="seconds without storage, at most"
    )
    parser.add_argument("--storage", choices=["sqlite", "postgresql"], default="sqlite")
    asked = parser.parse_args()
    server = Postgres() if asked.storage == "postgresql" else None
    names = ("seed", "faults", "expected", "found", "lost", "twice", "unplanned deaths")
    table = Table(*names, "slowest recovery s", "s", title=asked.storage, title_justify="left")
    outcomes = []
    try:
        if server is not None:
            server.start()
        with tempfile.TemporaryDirectory() as directory:
            for outcome in chaos(
                Path(directory),
                range(asked.seeds),
                configurations=asked.configurations,
                workers=asked.workers,
                server=server,
                max_faults=asked.faults,
                longest_outage=asked.outage,
            ):
                outcomes.append(outcome)
                o = outcome
                cells = (o.seed, o.faults.total(), o.expected, o.found, o.lost, o.twice)
                times = (f"{o.slowest:.1f}", f"{o.seconds:.0f}")
                table.add_row(*map(str, cells), str(o.unplanned_deaths), *times)
                Console(stderr=True).print(f"seed {o.seed}: {dict(o.faults)}")
    finally:
        if server is not None:
            server.close()
    Console(width=120).print(table)
    sys.exit(0 if outcomes and all(outcome.is_good for outcome in outcomes) else 1)


if __name__ == "__main__":
    main()
