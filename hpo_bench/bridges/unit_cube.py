"""The one place where Optuna's distributions meet ConfigSpace: both as points of a unit cube.

HpBandSter models a configuration as a vector: numbers in [0, 1], and choices by their index. So
ConfigSpace is only ever shown those two kinds of hyperparameters, and everything that Optuna
knows besides (whole numbers, logarithms, steps, choices of any type) is translated here, in plain
Python values. ConfigSpace's own versions of these round, change between releases, or hand out
NumPy scalars.

Whole and stepped values own bins of equal width; a point is *centred* when every such coordinate
is its bin's middle. A model must be told centred points, or it sees what was not evaluated.
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
"""name -> number in [0, 1], or the index of a choice; single-valued names are left out."""


def dimensions(space: Space) -> list[str]:
    """Name what really varies, in an order that does not depend on the space's."""
    return sorted(name for name, dist in space.items() if not dist.single())


def encode(space: Space, configuration: Mapping[str, Any]) -> Point:
    """Give the centred point of a configuration."""
    return {name: to_unit(space[name], configuration[name]) for name in dimensions(space)}


def decode(space: Space, point: Mapping[str, Any]) -> Configuration:
    """Give the configuration whose bin `point` lies in; single values take their only value."""
    return {
        name: from_unit(dist, 0 if dist.single() else point[name]) for name, dist in space.items()
    }


def config_space(space: Space) -> Any:
    """Give the `ConfigSpace.ConfigurationSpace` of the points of `space`."""
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
    """Give the coordinate of `value`: in [0, 1], or the index of a choice.

    It is the inverse of `from_unit`: exactly so for choices, whole and stepped numbers.
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
    """Give the value at `coordinate`, as the plain Python type that Optuna itself would give."""
    if isinstance(dist, CategoricalDistribution):
        return dist.to_external_repr(int(coordinate))
    assert isinstance(dist, IntDistribution | FloatDistribution)
    kind = int if isinstance(dist, IntDistribution) else float
    if dist.single():
        return kind(dist.low)
    step = _step(dist)
    if step is not None:
        n_bins = _n_bins(dist, step)
        position = min(int(coordinate * n_bins), n_bins - 1)
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
    """Where coordinates 0 and 1 lie; a whole number owns half a unit to either side."""
    margin = 0.5 if isinstance(dist, IntDistribution) else 0.0
    low, high = dist.low - margin, dist.high + margin
    return (math.log(low), math.log(high)) if dist.log else (low, high)
