"""Translate between Optuna's distributions and ConfigSpace, by points of a unit cube.

HpBandSter models a configuration as a vector: a number in [0, 1] for a number, an index for a
choice. This module gives ConfigSpace only these two kinds of hyperparameters. It translates the
other kinds of Optuna (integers, logarithms, steps, choices of any type) itself, into plain Python
values, because ConfigSpace's own versions of them round, change between releases, or return NumPy
scalars.

Each integer or stepped value owns a bin; all bins have equal width. A point is *centred* if each
such coordinate is the middle of its bin. The model must learn centred points, because the evaluated
value is that of the bin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hpo_bench.spaces import Configuration, Space

Point = dict[str, Any]
"""Name -> number in [0, 1], or index of a choice; without names that have a single value."""


def dimensions(space: Space) -> list[str]:
    """Return the names that have more than one value, sorted."""
    return sorted(name for name, dist in space.items() if not dist.single())


def encode(space: Space, configuration: Mapping[str, Any]) -> Point:
    """Return the centred point of a configuration."""
    return {name: to_unit(space[name], configuration[name]) for name in dimensions(space)}


def decode(space: Space, point: Mapping[str, Any]) -> Configuration:
    """Return the configuration in whose bin a point lies, including names of a single value."""
    return {
        name: from_unit(dist, 0 if dist.single() else point[name]) for name, dist in space.items()
    }


def config_space(space: Space) -> Any:
    """Return the `ConfigSpace.ConfigurationSpace` of the points of a space."""
    from ConfigSpace import (
        CategoricalHyperparameter,
        ConfigurationSpace,
        UniformFloatHyperparameter,
    )

    cube = ConfigurationSpace()
    for name in dimensions(space):
        dist = space[name]
        cube.add(
            CategoricalHyperparameter(name, range(len(dist.choices)))
            if isinstance(dist, CategoricalDistribution)
            else UniformFloatHyperparameter(name, 0, 1)
        )
    return cube


def to_unit(dist: BaseDistribution, value: Any) -> float:
    """Return the coordinate of a value: a number in [0, 1], or the index of a choice.

    `from_unit` inverts it: exactly for choices, integers and stepped numbers, and up to rounding
    for other numbers.
    """
    if isinstance(dist, CategoricalDistribution):
        index: float = dist.to_internal_repr(value)
        return int(index)
    assert isinstance(dist, IntDistribution | FloatDistribution)
    step = _step(dist)
    if step is not None:
        index = round((value - dist.low) / step)
        return (index + 0.5) / _n_bins(dist, step)
    low, high = _ends(dist)
    position = math.log(value) if dist.log else float(value)
    return min(max((position - low) / (high - low), 0.0), 1.0)


def from_unit(dist: BaseDistribution, coordinate: float) -> Any:
    """Return the value at a coordinate, in the Python type that Optuna itself would return."""
    if isinstance(dist, CategoricalDistribution):
        return dist.to_external_repr(int(coordinate))
    assert isinstance(dist, IntDistribution | FloatDistribution)
    kind = int if isinstance(dist, IntDistribution) else float
    if dist.single():
        return kind(dist.low)
    step = _step(dist)
    if step is not None:
        n_bins = _n_bins(dist, step)
        position = min(int(coordinate * n_bins), n_bins - 1)  # a coordinate may be 1
        # In decimals, because 0.1 + 2 * 0.1 is 0.30000000000000004 in binary, not 0.3.
        return kind(Decimal(str(dist.low)) + position * Decimal(str(step)))
    low, high = _ends(dist)
    value = (1 - coordinate) * low + coordinate * high
    value = math.exp(value) if dist.log else value
    return min(max(kind(round(value) if kind is int else value), dist.low), dist.high)


def _step(dist: IntDistribution | FloatDistribution) -> float | None:
    return None if dist.log else dist.step


def _n_bins(dist: IntDistribution | FloatDistribution, step: float) -> int:
    return round((dist.high - dist.low) / step) + 1


def _ends(dist: IntDistribution | FloatDistribution) -> tuple[float, float]:
    """Return the values (or logarithms) at coordinates 0 and 1, with half a unit around integers.

    The margin gives the smallest and the largest integer whole bins, as the others have.
    """
    margin = 0.5 if isinstance(dist, IntDistribution) else 0.0
    low, high = dist.low - margin, dist.high + margin
    return (math.log(low), math.log(high)) if dist.log else (low, high)
