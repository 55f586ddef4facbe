"""Between an Optuna search space and the unit cube in which particles move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from samplers._base.arguments import with_python_choices
from samplers._base.private import contains
from samplers._base.values import (
    Range,
    at_share,
    is_bent,
    level_of,
    n_levels,
    nearest,
    share_of,
    value_at,
)

from ._cube import Array, Cube

# A logarithmic integer range has cells of unequal width; longer ones are taken for a continuum.
_MAX_UNEVEN = 4096


class Space:
    """A search space as a cube: one coordinate for each parameter, in the order of their names.

    Logarithmic ranges are even on the logarithm. Every value of a discrete parameter owns a cell;
    the end values' cells are as wide as the others', so that all are drawn alike. A range of more
    values than a double can tell apart is a continuum, as is a long logarithmic one of integers.

    Args:
        distributions: Name to distribution, at least one.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.distributions = {n: with_python_choices(d) for n, d in sorted(distributions.items())}
        every = list(self.distributions.values())
        self.cube = Cube(
            levels=np.array([_n_levels(d) for d in every], dtype=np.int64),
            categorical=np.array([isinstance(d, CategoricalDistribution) for d in every]),
            edges={j: _edges(d) for j, d in enumerate(every) if _is_uneven(d)},
        )
        self._levels: list[int] = self.cube.levels.tolist()

    def decode(self, x: Array) -> dict[str, Any]:
        """Give the configuration that a position stands for."""
        cells = self.cube.cells(x)
        return {
            name: _value(distribution, float(x[j]), int(cells[j]) if self._levels[j] else None)
            for j, (name, distribution) in enumerate(self.distributions.items())
        }

    def encode(self, params: Mapping[str, Any]) -> Array | None:
        """Give the position of a configuration, or None where it is not in the space."""
        found = self.coordinates(params)
        return np.array(list(found.values())) if len(found) == len(self.distributions) else None

    def coordinates(self, params: Mapping[str, Any]) -> dict[int, float]:
        """Give the coordinates, by their index, of the parameters that lie in the space."""
        return {
            j: self._coordinate(j, distribution, params[name])
            for j, (name, distribution) in enumerate(self.distributions.items())
            if name in params and contains(distribution, params[name])
        }

    def _coordinate(self, j: int, distribution: BaseDistribution, value: Any) -> float:
        n = self._levels[j]
        level = level_of(distribution, value) if n and j not in self.cube.edges else None
        if level is not None:
            return (level + 0.5) / n
        return share_of(cast("Range", distribution), value)


def middle(distribution: BaseDistribution) -> Any:
    """Give the value in the middle of a range; a categorical has none, and gives its first."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    return Space({"": distribution}).decode(np.array([0.5]))[""]


def clipped(distribution: BaseDistribution, value: Any) -> Any:
    """Give the value of a range that is the nearest to a value of another one."""
    assert isinstance(distribution, Range)
    value = min(max(value, distribution.low), distribution.high)
    return value if distribution.step is None else nearest(distribution, value)


def _is_uneven(distribution: BaseDistribution) -> bool:
    return (
        isinstance(distribution, IntDistribution)
        and is_bent(distribution)
        and _n_levels(distribution) > 0
    )


def _n_levels(distribution: BaseDistribution) -> int:
    n = n_levels(distribution)
    is_long = isinstance(distribution, IntDistribution) and distribution.log and n > _MAX_UNEVEN
    return 0 if is_long else n


def _edges(distribution: BaseDistribution) -> Array:
    assert isinstance(distribution, IntDistribution)
    walls = np.log(np.arange(distribution.low, distribution.high + 2) - 0.5)
    edges: Array = (walls - walls[0]) / (walls[-1] - walls[0])
    return edges


def _value(distribution: BaseDistribution, x: float, cell: int | None) -> Any:
    if cell is not None:
        return value_at(distribution, cell)
    return at_share(cast("Range", distribution), x)
