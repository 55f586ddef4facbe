"""Measure the parallel efficiency of two workers: the wall time of a suite with one and with two.

The whole command is timed, from its start to its table. One and two workers alternate, so that a
change in the machine's speed affects both. The efficiency is half of the ratio; 1 is ideal. The
output also splits the workers' time into the time of the runs and the rest.

Usage: python -m benchmarks.two_workers [--pairs 3] [SUITE [options of hpo-bench run ...]]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from statistics import fmean

from benchmarks.markdown import rows
from hpo_bench.analysis.results import collect
from hpo_bench.storage.opening import open_storage
from hpo_bench.storage.studies import study_names


def measure(arguments: list[str], workers: int) -> tuple[float, float]:
    """Give the wall time of the command, and of all runs together, in seconds."""
    with tempfile.TemporaryDirectory() as place:
        url = f"sqlite:///{place}/runs.db"
        command = [sys.executable, "-m", "hpo_bench", "run", *arguments]
        started = time.perf_counter()
        subprocess.run(
            [*command, "--workers", str(workers), "--storage", url],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wall = time.perf_counter() - started
        storage = open_storage(url)
        suites = {name.split("/")[0] for name in study_names(storage)}
        runs = [run for name in suites for run in collect(storage, name).runs]
        return wall, sum(run.wall_seconds for run in runs)


def main() -> None:
    """Print a row for each command, and the efficiency of each pair."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3, help="number of repetitions (%(default)s)")
    asked, rest = parser.parse_known_args()
    table, found = [], []
    for pair in range(asked.pairs):
        walls = {}
        for workers in (1, 2) if pair % 2 == 0 else (2, 1):
            walls[workers], runs = measure(rest or ["quickstart"], workers)
            beside = workers * walls[workers] - runs
            table.append([str(workers), *(f"{s:.1f}" for s in (walls[workers], runs, beside))])
        found.append(walls[1] / walls[2] / 2)
    header = ["workers", "command, s", "its runs, s", "workers beside their runs, s"]
    print("\n".join(rows(header, table)))
    told = ", ".join(f"{efficiency:.2f}" for efficiency in found)
    print(f"\nefficiency of two workers: {fmean(found):.2f} ({told})")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
