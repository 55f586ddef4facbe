"""Measure the gain of several workers within a run, and their cost in regret.

Every method searches recorded tables in simulated time, with the same budget on 1, 2, 4, ...
simulated workers. The speed-up is the training time divided by the run's time. The regret is 0 for
the best training of the table, and 1 for the median one. With more workers a method knows fewer
results when it proposes. The paired difference of regrets measures this cost.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import numpy as np
import optuna
import typer
from optuna.study import StudyDirection
from rich.console import Console
from rich.progress import track

from hpo_bench import suite
from hpo_bench.analysis.intervals import Estimate, estimate
from hpo_bench.analysis.results import collect
from hpo_bench.objectives.table.replay import Replay
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import runs_of
from hpo_bench.storage.opening import open_storage

from .markdown import rows

TABLES: dict[str, dict[str, Any]] = {
    "hpolib-naval": {"name": "hpolib", "options": {"dataset": "naval_propulsion"}},
    "hpolib-protein": {"name": "hpolib", "options": {"dataset": "protein_structure"}},
    "nasbench201-cifar10": {"name": "nasbench201", "options": {"dataset": "cifar10"}},
    "nasbench201-imagenet": {"name": "nasbench201", "options": {"dataset": "imagenet"}},
}
"""Tables whose recorded trainings are so long that the real time of the methods is negligible."""
METHODS: dict[str, dict[str, Any]] = {
    "random": {},
    "pso": {},
    "bohb": {},
    "tpe": {"sampler": "optuna.samplers:TPESampler"},
}


@dataclass(frozen=True)
class Found:
    """The result of one run."""

    speed_up: float
    regret: float


def search(cell: tuple[str, str, int, int], evaluations: int) -> Found:
    """Run one method once. The task is (method, table, seed, workers)."""
    method, table, seed, workers = cell
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        spec = TABLES[table]
        made = suite.parse(
            {
                "name": "parallel",
                "objective": {**spec, "options": {**spec["options"], "clock": "simulated"}},
                "budget": {"evaluations": evaluations},
                "seeds": [seed],
                "methods": {method: METHODS[method]},
                "workers_per_run": workers,
                "storage": f"sqlite:///{folder}/runs.db",
            }
        )
        objective = made.build_objective(seed)
        assert isinstance(objective, Replay)
        for run in runs_of(made, Path(folder)):
            execute(run)
        (result,) = collect(open_storage(made.storage), "parallel").runs
    assert result.validation is not None
    last = objective.trainings.values[:, :, -1]
    maximise = objective.directions[0] is StudyDirection.MAXIMIZE
    best, median = (np.nanmax if maximise else np.nanmin)(last), np.nanmedian(last)
    regret = (result.validation - best) / (median - best)
    return Found(result.train_seconds / result.wall_seconds, float(regret))


def main(
    workers: Annotated[str, typer.Option(help="Numbers of simulated workers.")] = "1,2,4,8,16",
    seeds: Annotated[int, typer.Option(min=6, help="Runs of each method on each table.")] = 10,
    evaluations: Annotated[int, typer.Option(help="Evaluations per run.")] = 48,
    processes: Annotated[int, typer.Option(help="Real worker processes.")] = os.cpu_count() or 1,
) -> None:
    """Print Markdown tables of speed-up, regret, and the cost of several workers in regret."""
    counts = [int(n) for n in workers.split(",")]
    cells = list(product(METHODS, TABLES, range(seeds), counts))
    with ProcessPoolExecutor(processes) as pool:
        done = pool.map(partial(search, evaluations=evaluations), cells, chunksize=4)
        found = dict(
            zip(cells, track(done, total=len(cells), console=Console(stderr=True)), strict=True)
        )

    def over_seeds(method: str, n: int, measure: str) -> list[float]:
        """Give the mean over the tables for each seed, which is one replicate."""
        return [
            fmean(getattr(found[method, table, seed, n], measure) for table in TABLES)
            for seed in range(seeds)
        ]

    speed_ups, regrets, costs = [], [], []
    for method in METHODS:
        alone = over_seeds(method, counts[0], "regret")
        speed_ups.append(
            [method, *(_told(over_seeds(method, n, "speed_up"), ".2f") for n in counts)]
        )
        regrets.append([method, *(_told(over_seeds(method, n, "regret"), ".4f") for n in counts)])
        lost = [
            [more - one for more, one in zip(over_seeds(method, n, "regret"), alone, strict=True)]
            for n in counts[1:]
        ]
        costs.append([method, *(_told(each, "+.4f") for each in lost)])
    print(f"{len(TABLES)} tables, {seeds} seeds, {evaluations} evaluations; means over tables")
    print("with 95% intervals over seeds.")
    _print("Speed-up", counts, speed_ups)
    _print("Regret", counts, regrets)
    _print(f"Regret beyond that with {counts[0]}, paired by seed", counts[1:], costs)


def _told(values: Sequence[float], form: str) -> str:
    made = estimate(values)
    assert isinstance(made, Estimate)
    return f"{made.mean:{form}} [{made.low:{form}}, {made.high:{form}}]"


def _print(title: str, counts: Sequence[int], body: Sequence[Sequence[str]]) -> None:
    print(f"\n**{title}**\n")
    print("\n".join(rows(["method", *(f"{n} worker{'s' * (n > 1)}" for n in counts)], body)))


if __name__ == "__main__":
    typer.run(main)
