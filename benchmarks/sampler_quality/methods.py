"""The methods: our samplers, Optuna's, OptunaHub's, and the particle swarms of other libraries."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler

from samplers import PSOSampler, RandomSampler

from .generated import exists
from .problems import Problem

Observe = Callable[[Mapping[str, Any]], float]
Space = Mapping[str, Any]
Method = Callable[[Problem, Observe, int, int], None]
"""(problem, observe, budget, seed): calls `observe` until it raises `BudgetSpentError`."""

HUB = "HPO_BENCH_OPTUNAHUB"  # a copy of OptunaHub's registry; without, it is fetched from GitHub


class BudgetSpentError(Exception):
    """Raised by `observe` when no evaluation is left, to get out of a library's loop."""


def _sampled(sampler: Callable[[Space, int], BaseSampler]) -> Method:
    def method(problem: Problem, observe: Observe, budget: int, seed: int) -> None:
        study = optuna.create_study(sampler=sampler(problem.space, seed))
        rng = np.random.default_rng(seed)
        running: list[optuna.Trial] = []
        for _ in range(budget + problem.n_outstanding - 1):
            running.append(_ask(study, problem))
            if len(running) == problem.n_outstanding:
                trial = running.pop(rng.integers(len(running)))
                study.tell(trial, observe(trial.params))

    return method


def _ask(study: optuna.Study, problem: Problem) -> optuna.Trial:
    if not problem.conditions:
        return study.ask(dict(problem.space))
    trial = study.ask()
    for name, axis in problem.space.items():
        if exists(name, trial.params, problem.conditions):
            _suggest(trial, name, axis)
    return trial


def _suggest(trial: optuna.Trial, name: str, axis: BaseDistribution) -> None:
    if isinstance(axis, CategoricalDistribution):
        trial.suggest_categorical(name, axis.choices)
    elif isinstance(axis, FloatDistribution):
        trial.suggest_float(name, axis.low, axis.high, log=axis.log)
    else:
        assert isinstance(axis, IntDistribution)
        trial.suggest_int(name, axis.low, axis.high, log=axis.log)


def _gp(_: Space, seed: int) -> BaseSampler:
    import torch

    torch.set_num_threads(1)
    return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)


@functools.cache
def _hub() -> Any:
    import optunahub

    if HUB in os.environ:
        root = os.path.join(os.environ[HUB], "package")  # noqa: PTH118
        return optunahub.load_local_module("samplers/pso", registry_root=root)
    return optunahub.load_module("samplers/pso")


def _hub_pso(space: Space, seed: int) -> BaseSampler:
    # Its own example passes the space by position, which raises a TypeError.
    sampler: BaseSampler = _hub().PSOSampler(search_space=dict(space), seed=seed)
    return sampler


def _decode(space: Space, x: np.ndarray) -> dict[str, Any]:
    """Give the configuration at a point of the unit cube; choices are cells, in their order."""
    params: dict[str, Any] = {}
    for (name, axis), u in zip(space.items(), np.clip(x, 0, 1), strict=True):
        if isinstance(axis, FloatDistribution):
            params[name] = axis.low + u * (axis.high - axis.low)
        elif isinstance(axis, CategoricalDistribution):
            params[name] = axis.choices[min(int(u * len(axis.choices)), len(axis.choices) - 1)]
        else:
            params[name] = min(axis.low + int(u * (axis.high - axis.low + 1)), axis.high)
    return params


def _pyswarms(problem: Problem, observe: Observe, budget: int, seed: int) -> None:
    """Run pyswarms with the options of its documentation."""
    import pyswarms

    space = problem.space

    logging.getLogger("pyswarms").setLevel(logging.CRITICAL)
    np.random.seed(seed)  # noqa: NPY002 - the library draws from NumPy's global state
    d, size = len(space), 10
    # It writes a report.log into the directory that it is built in.
    with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
        swarm = pyswarms.single.GlobalBestPSO(
            size, d, {"c1": 0.5, "c2": 0.3, "w": 0.9}, bounds=(np.zeros(d), np.ones(d))
        )
    swarm.optimize(
        lambda xs: np.array([observe(_decode(space, x)) for x in xs]),
        iters=-(-budget // size) + 1,
        verbose=False,
    )


def _nevergrad(problem: Problem, observe: Observe, budget: int, seed: int) -> None:
    import nevergrad

    space = problem.space

    axes = nevergrad.p.Array(init=np.full(len(space), 0.5)).set_bounds(0, 1)
    axes.random_state.seed(seed)
    swarm = nevergrad.optimizers.registry["PSO"](axes, budget=budget, num_workers=1)
    for _ in range(budget):
        point = swarm.ask()
        swarm.tell(point, observe(_decode(space, point.value)))


def _pymoo(problem: Problem, observe: Observe, budget: int, seed: int) -> None:
    from pymoo.algorithms.soo.nonconvex.pso import PSO
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.optimize import minimize

    space = problem.space

    class Wrapped(ElementwiseProblem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_var=len(space), n_obj=1, xl=0.0, xu=1.0)

        def _evaluate(self, x: np.ndarray, out: dict[str, Any]) -> None:
            out["F"] = observe(_decode(space, x))

    minimize(Wrapped(), PSO(), ("n_eval", 2 * budget), seed=seed)


SAMPLERS: dict[str, Callable[[Space, int], BaseSampler]] = {
    "pso": lambda _, seed: PSOSampler(seed=seed, warn_independent_sampling=False),
    "pso-rbf": lambda _, seed: PSOSampler(
        seed=seed, surrogate="rbf", warn_independent_sampling=False
    ),
    "pso-pure": lambda space, seed: PSOSampler(seed=seed, search_space=space, n_candidates=1),
    "pso-classic": lambda space, seed: PSOSampler.classic(seed=seed, search_space=space, epsilon=0),
    "random": lambda space, seed: RandomSampler(seed=seed, search_space=space),
    "optuna-random": lambda _, seed: optuna.samplers.RandomSampler(seed=seed),
    "random-2x": lambda _, seed: optuna.samplers.RandomSampler(seed=seed),
    "optuna-tpe": lambda _, seed: optuna.samplers.TPESampler(
        seed=seed, warn_independent_sampling=False
    ),
    "optuna-cmaes": lambda _, seed: optuna.samplers.CmaEsSampler(
        seed=seed, warn_independent_sampling=False
    ),
    "optuna-gp": _gp,
    "optunahub-pso": _hub_pso,
}

METHODS: dict[str, Method] = {name: _sampled(sampler) for name, sampler in SAMPLERS.items()} | {
    "pyswarms-pso": _pyswarms,
    "nevergrad-pso": _nevergrad,
    "pymoo-pso": _pymoo,
}


def quiet() -> None:
    """Silence what the libraries say of every run."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", module="nevergrad|pyswarms|pymoo|optuna|cma")
