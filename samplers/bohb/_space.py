"""Translate between an Optuna search space and the vectors of the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from samplers._base.arguments import with_python_choices
from samplers._base.private import contains
from samplers._base.values import Range, at_share, level_of, n_levels, share_of, value_at

from ._model import Array


class Space:
    """A search space as vectors: one coordinate for each parameter, sorted by name.

    A number is a coordinate in [0, 1], on a log scale if its range is log. A choice is its index.
    Each integer or stepped number owns a bin. All bins, also those of the ends, are equally wide,
    so that all values are drawn equally often. An evaluated value is the middle of its bin. Log
    ranges, and ranges with too many values to tell apart, have no bins.

    Args:
        distributions: Name to distribution, at least one.

    Attributes:
        distributions: Name to distribution, sorted by name, with Python values as choices.
        levels: Number of choices of each coordinate, 0 for a number; shape (d,).
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.distributions = {n: with_python_choices(d) for n, d in sorted(distributions.items())}
        self.levels = np.array(
            [
                len(d.choices) if isinstance(d, CategoricalDistribution) else 0
                for d in self.distributions.values()
            ]
        )

    def random(self, u: Array) -> Array:
        """Return the vector of uniform draws in [0, 1); both have shape (d,)."""
        return np.where(self.levels > 0, np.floor(u * self.levels), u)

    def decode(self, x: Array) -> dict[str, Any]:
        """Return the configuration of a vector of shape (d,)."""
        pairs = zip(self.distributions.items(), x.tolist(), strict=True)
        return {
            name: _value(distribution, coordinate) for (name, distribution), coordinate in pairs
        }

    def encode(self, params: Mapping[str, Any]) -> Array | None:
        """Return the vector of a configuration.

        Returns:
            A vector of shape (d,), with nan for parameters that the configuration does not have;
            None if it has none of them, or a value outside of the space.
        """
        x = []
        for name, distribution in self.distributions.items():
            if name not in params:
                x.append(math.nan)
            elif contains(distribution, params[name]):
                x.append(_coordinate(distribution, params[name]))
            else:
                return None
        return None if all(map(math.isnan, x)) else np.array(x)


def _value(distribution: BaseDistribution, x: float) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(x)]
    assert isinstance(distribution, Range)
    if n := _n_bins(distribution):
        return value_at(distribution, min(int(x * n), n - 1))
    return at_share(distribution, x)


def _coordinate(distribution: BaseDistribution, value: Any) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.to_internal_repr(value)
    assert isinstance(distribution, Range)
    n = _n_bins(distribution)
    level = level_of(distribution, value) if n else None
    return share_of(distribution, value) if level is None else (level + 0.5) / n


def _n_bins(distribution: Range) -> int:
    """Return the number of bins; 0 for a continuum, and for log ranges: their widths differ."""
    if distribution.single():
        return 1
    return 0 if distribution.log else n_levels(distribution)
