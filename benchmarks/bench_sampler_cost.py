"""Measure the CPU time of one trial (ask and tell, five parameters) in a study with n trials.

Each sampler fills its study in memory, and the study is then copied, because only the next trial
is timed. The studies of TPE, BOHB and Optuna's grid are filled by other means, because these
samplers would take hours. Each result has its ratio to `samplers.RandomSampler`, which is timed in
alternation with the others.
"""

import functools
import itertools
import statistics
import time
from collections.abc import Callable

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState, create_trial

from hpo_bench.storage.opening import open_storage
from samplers import BOHBSampler, GridSampler, PSOSampler, RandomSampler

SPACE: dict[str, BaseDistribution] = {
    **{f"x{j}": FloatDistribution(0, 1) for j in range(3)},
    **{f"i{j}": IntDistribution(1, 12) for j in range(2)},
}
LEVELS = {f"x{j}": 12 for j in range(3)}
VALUES = {
    name: [j / 11 for j in range(12)] if name.startswith("x") else list(range(1, 13))
    for name in SPACE
}
SAMPLERS: dict[str, Callable[[], BaseSampler]] = {
    "random": lambda: RandomSampler(seed=1, search_space=SPACE),
    "grid": lambda: GridSampler(SPACE, levels=LEVELS),
    "pso": lambda: PSOSampler(seed=1, search_space=SPACE),
    "pso-pure": lambda: PSOSampler(seed=1, search_space=SPACE, n_candidates=1),
    "bohb": lambda: BOHBSampler(seed=1, search_space=SPACE),
    "optuna-random": lambda: optuna.samplers.RandomSampler(seed=1),
    "optuna-tpe": lambda: optuna.samplers.TPESampler(seed=1),
    "optuna-cmaes": lambda: optuna.samplers.CmaEsSampler(seed=1, warn_independent_sampling=False),
    "optuna-grid": lambda: optuna.samplers.GridSampler(VALUES, seed=1),
}
SIZES = [100, 1_000, 10_000]


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Give a fresh sampler a study of the given size in the given storage."""
    tmp_path = tmp_path_factory.mktemp("studies")

    @functools.cache
    def made(name: str, size: int, storage: str) -> optuna.Study:
        memory = optuna.storages.InMemoryStorage()
        grown = grow(name, size, memory)
        if storage == "sqlite":
            url = f"sqlite:///{tmp_path}/{name}-{size}.db"
            optuna.copy_study(
                from_study_name=grown.study_name, from_storage=memory, to_storage=open_storage(url)
            )
            grown = optuna.load_study(study_name=None, storage=open_storage(url))
        grown.sampler = SAMPLERS[name]()
        one_trial(grown)  # the first trial reads the study
        return grown

    return made


def grow(name: str, size: int, storage: optuna.storages.BaseStorage) -> optuna.Study:
    study = optuna.create_study(storage=storage, sampler=SAMPLERS[name]())
    if name == "optuna-grid":
        for index, point in enumerate(itertools.islice(itertools.product(*VALUES.values()), size)):
            study.add_trial(
                create_trial(
                    params=dict(zip(VALUES, point, strict=True)),
                    distributions=SPACE,
                    value=loss(dict(zip(VALUES, point, strict=True))),
                    state=TrialState.COMPLETE,
                    system_attrs={"search_space": VALUES, "grid_id": index},
                )
            )
        return study
    if name in ("optuna-tpe", "bohb"):
        study.sampler = SAMPLERS["optuna-random"]()
    for _ in range(size):
        one_trial(study)
    return study


def one_trial(study: optuna.Study) -> None:
    trial = study.ask(SPACE)
    study.tell(trial, loss(trial.params))


def loss(params: dict[str, float]) -> float:
    return sum((params[f"x{j}"] - 0.3) ** 2 for j in range(3)) + sum(
        abs(params[f"i{j}"] - 5) for j in range(2)
    )


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("storage", ["memory", "sqlite"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.benchmark(group="cost of a trial", timer=time.process_time)
def bench_one_more_trial(benchmark, study, name, size, storage):
    measured, reference = study(name, size, storage), study("random", size, storage)
    beside = []

    def time_the_reference():
        started = time.process_time()
        one_trial(reference)
        beside.append(time.process_time() - started)

    benchmark.pedantic(one_trial, args=(measured,), setup=time_the_reference, rounds=50)
    ratio = benchmark.stats.stats.median / statistics.median(beside)
    benchmark.extra_info.update(sampler=name, n_trials=size, storage=storage, ratio=round(ratio, 2))
