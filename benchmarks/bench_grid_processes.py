"""Check that processes which share a grid through one SQLite file evaluate every point once."""

import multiprocessing
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from hpo_bench.storage.opening import open_storage
from samplers import GridSampler

GRIDS = {
    81: {name: [0, 1, 2] for name in "abcd"},
    2_000: {"a": list(range(20)), "b": list(range(10)), "c": list(range(10))},
}
SAMPLERS = {
    "grid": lambda grid: GridSampler(grid, seed=1),
    "optuna-grid": lambda grid: optuna.samplers.GridSampler(grid, seed=1),
}


def work(url: str, name: str, n_points: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    grid = GRIDS[n_points]
    study = optuna.load_study(
        study_name="grid", storage=open_storage(url), sampler=SAMPLERS[name](grid)
    )
    study.optimize(
        lambda trial: sum(trial.suggest_categorical(key, grid[key]) for key in grid),
        n_trials=2 * n_points,
    )


def evaluate(directory: Path, name: str, n_points: int, n_processes: int) -> optuna.Study:
    url = f"sqlite:///{directory}/grid.db"
    study = optuna.create_study(study_name="grid", storage=open_storage(url))
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=work, args=(url, name, n_points)) for _ in range(n_processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(worker.exitcode == 0 for worker in workers)
    return study


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("n_processes", [1, 4, 8])
@pytest.mark.parametrize("n_points", GRIDS)
@pytest.mark.benchmark(group="a grid shared by processes")
def bench_grid(benchmark, tmp_path, name, n_points, n_processes):
    study = benchmark.pedantic(
        evaluate, args=(tmp_path, name, n_points, n_processes), rounds=1, iterations=1
    )
    complete = study.get_trials(states=[TrialState.COMPLETE])
    points = Counter(tuple(sorted(trial.params.items())) for trial in complete)
    benchmark.extra_info.update(
        sampler=name,
        n_points=n_points,
        n_processes=n_processes,
        duplicates=sum(points.values()) - len(points),
        missing=n_points - len(points),
    )
