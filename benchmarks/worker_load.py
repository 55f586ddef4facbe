"""Measure how many evaluations per second a storage takes, and thus how many workers it serves.

Worker processes execute runs of random search on an objective that costs nothing, so that only the
storage takes time. Each evaluation reports EPOCHS values, like a training.

Usage: python -m benchmarks.worker_load [--storage URL] [--workers 1,2,4] [--seconds 15]
"""

import argparse
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Any
from uuid import uuid4

from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection

from benchmarks.markdown import rows
from hpo_bench import suite
from hpo_bench.analysis.results import collect
from hpo_bench.engines.local import execute_all
from hpo_bench.objectives import Evaluation, Objective
from hpo_bench.running.runs import Run, Status, runs_of
from hpo_bench.spaces import Configuration, Space
from hpo_bench.storage.opening import open_storage, shown

EPOCHS = 9


class Nothing(Objective):
    """An objective with four hyperparameters that costs nothing and always returns 0."""

    max_fidelity = EPOCHS

    def __init__(self, space: Mapping[str, Any] | None = None, seed: int = 0) -> None:
        pass

    @property
    def search_space(self) -> Space:
        """Give four floats."""
        return {name: FloatDistribution(0, 1) for name in "abcd"}

    @property
    def directions(self) -> list[StudyDirection]:
        """Give the direction of the only value."""
        return [StudyDirection.MAXIMIZE]

    def start(self, configuration: Configuration) -> Evaluation:  # noqa: ARG002
        """Start an evaluation."""
        return _NoTraining()


class _NoTraining(Evaluation):
    def advance(self) -> float:
        self.fidelity += 1
        return 0.0


class _Deaf:
    """A watcher that shows nothing but notices."""

    def status(self, run: Run, status: Status) -> None:
        """Ignore the status of a run."""

    def notice(self, text: str) -> None:
        """Print a notice."""
        print(text)


def measure(url: str, workers: int, seconds: float, place: Path) -> tuple[float, float]:
    """Give the evaluations per second of all workers, and the storage seconds per evaluation."""
    chosen = suite.parse(
        {
            "name": f"load-{uuid4().hex[:8]}",
            "objective": {"name": "benchmarks.worker_load:Nothing"},
            "budget": {"seconds": seconds},
            "seeds": workers,
            "methods": {"random": {}},
            "storage": url,
        }
    )
    report = execute_all(runs_of(chosen, place), workers, _Deaf())
    assert not report.failures, report.failures
    found = collect(open_storage(url), chosen.name).runs
    rate = sum(run.evaluations / run.wall_seconds for run in found)
    return rate, fmean(run.storage_seconds / run.evaluations for run in found)


def main() -> None:
    """Measure, and print the number of workers that the storage serves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--storage", help="URL; by default a temporary SQLite file")
    parser.add_argument("--workers", default="1,2,4", help="numbers of workers (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=15.0, help="seconds for each (%(default)s)"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        url = asked.storage or f"sqlite:///{place}/load.db"
        open_storage(url)
        table, best = [], 0.0
        for workers in map(int, asked.workers.split(",")):
            rate, each = measure(url, workers, asked.seconds, Path(place))
            best = max(best, rate)
            table.append([str(workers), f"{rate:.1f}", f"{1000 * each:.0f}"])
    print(f"{shown(url)}, {EPOCHS} reports an evaluation\n")
    print("\n".join(rows(["workers", "evaluations/s", "storage, ms each"], table)))
    print()
    for training in (1, 10, 60, 600):
        # Half of the capacity: queues grow long beyond it.
        print(f"evaluations of {training} s: half of that serves {best * training / 2:.0f} workers")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
