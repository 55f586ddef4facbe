"""Between an Optuna search space and the unit cube in which particles move."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from ._storage import contains
from ._swarm import Array, Cube

# A logarithmic integer range has cells of unequal width; longer ones are taken for a continuum.
_MAX_UNEVEN = 4096


class Space:
    """A search space as a cube: one coordinate for each parameter, in the order of their names.

    Logarithmic ranges are even on the logarithm. Every value of a discrete parameter owns a cell;
    the end values' cells are as wide as the others', so that all are drawn alike.

    Args:
        distributions: Name to distribution, at least one.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.distributions = dict(sorted(distributions.items()))
        every = list(self.distributions.values())
        self.cube = Cube(
            levels=np.array([_n_levels(d) for d in every], dtype=np.int64),
            categorical=np.array([isinstance(d, CategoricalDistribution) for d in every]),
            edges={j: _edges(d) for j, d in enumerate(every) if _is_uneven(d)},
        )

    def decode(self, x: Array) -> dict[str, Any]:
        """Give the configuration that a position stands for."""
        cells = self.cube.cells(x)
        return {
            name: _value(distribution, float(x[j]), int(cells[j]) if self.cube.levels[j] else None)
            for j, (name, distribution) in enumerate(self.distributions.items())
        }

    def encode(self, params: Mapping[str, Any]) -> Array | None:
        """Give the position of a configuration, or None where it is not in the space."""
        x = []
        for name, distribution in self.distributions.items():
            if name not in params or not contains(distribution, params[name]):
                return None
            x.append(_coordinate(distribution, params[name]))
        return np.array(x)


def middle(distribution: BaseDistribution) -> Any:
    """Give the value in the middle of a range; a categorical has none, and gives its first."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    return Space({"": distribution}).decode(np.array([0.5]))[""]


def _is_uneven(distribution: BaseDistribution) -> bool:
    return (
        isinstance(distribution, IntDistribution)
        and distribution.log
        and _n_levels(distribution) > 0
    )


def _n_levels(distribution: BaseDistribution) -> int:
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    if isinstance(distribution, IntDistribution):
        n = (distribution.high - distribution.low) // distribution.step + 1
        return 0 if distribution.log and n > _MAX_UNEVEN else n
    assert isinstance(distribution, FloatDistribution)
    if distribution.single():
        return 1
    if distribution.step is None:
        return 0
    return round((distribution.high - distribution.low) / distribution.step) + 1


def _edges(distribution: BaseDistribution) -> Array:
    assert isinstance(distribution, IntDistribution)
    walls = np.log(np.arange(distribution.low, distribution.high + 2) - 0.5)
    edges: Array = (walls - walls[0]) / (walls[-1] - walls[0])
    return edges


def _log_range(distribution: IntDistribution | FloatDistribution) -> tuple[float, float]:
    margin = 0.5 if isinstance(distribution, IntDistribution) else 0.0
    return math.log(distribution.low - margin), math.log(distribution.high + margin)


def _value(distribution: BaseDistribution, x: float, cell: int | None) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[cell or 0]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high = distribution.low, distribution.high
    if cell is not None:
        return min(low + cell * (distribution.step or 0), high)
    if distribution.log:
        bottom, top = _log_range(distribution)
        value = math.exp(bottom + x * (top - bottom))
        value = round(value) if isinstance(distribution, IntDistribution) else value
    else:
        # Not low + x * (high - low), whose width overflows for the widest ranges.
        value = low * (1 - x) + high * x
    return min(max(value, low), high)


def _coordinate(distribution: BaseDistribution, value: Any) -> float:
    n = _n_levels(distribution)
    if isinstance(distribution, CategoricalDistribution):
        return (int(distribution.to_internal_repr(value)) + 0.5) / n
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high = distribution.low, distribution.high
    if distribution.log and not distribution.single():
        bottom, top = _log_range(distribution)
        x = (math.log(value) - bottom) / (top - bottom)
    elif n > 0:
        x = (round((value - low) / (distribution.step or 1)) + 0.5) / n
    else:
        # Halved, since the width of the widest ranges overflows.
        x = (value / 2 - low / 2) / (high / 2 - low / 2)
    return min(max(float(x), 0.0), 1.0)
