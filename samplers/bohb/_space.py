"""Between an Optuna search space and the vectors that the model knows."""

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

from ._model import Array
from ._storage import contains


class Space:
    """A search space as vectors: one coordinate for each parameter, in the order of their names.

    A number lies in [0, 1], logarithmic ranges even on the logarithm; a choice is its index. Every
    whole or stepped number owns a bin, the ends' as wide as the others', so that all are drawn
    alike; what was evaluated is told to the model as the middle of its bin.

    Args:
        distributions: Name to distribution, at least one.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.distributions = dict(sorted(distributions.items()))
        self.levels = np.array(
            [
                len(d.choices) if isinstance(d, CategoricalDistribution) else 0
                for d in self.distributions.values()
            ]
        )

    def random(self, u: Array) -> Array:
        """Give the vector of uniform draws in [0, 1), shape (d,)."""
        return np.where(self.levels > 0, np.floor(u * self.levels), u)

    def decode(self, x: Array) -> dict[str, Any]:
        """Give the configuration that a vector stands for."""
        pairs = zip(self.distributions.items(), x.tolist(), strict=True)
        return {
            name: _value(distribution, coordinate) for (name, distribution), coordinate in pairs
        }

    def encode(self, params: Mapping[str, Any]) -> Array | None:
        """Give the vector of a configuration, with nan for parameters that it does not have.

        Returns:
            None where it has none of them, or a value that is not in the space.
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
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high = distribution.low, distribution.high
    if n := _n_bins(distribution):
        return min(low + min(int(x * n), n - 1) * (distribution.step or 0), high)
    if distribution.log:
        bottom, top = _log_range(distribution)
        value = math.exp(bottom + x * (top - bottom))
        value = round(value) if isinstance(distribution, IntDistribution) else value
    else:
        # Not low + x * (high - low), whose width overflows for the widest ranges.
        value = low * (1 - x) + high * x
    return min(max(value, low), high)


def _coordinate(distribution: BaseDistribution, value: Any) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.to_internal_repr(value)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high = distribution.low, distribution.high
    if n := _n_bins(distribution):
        return (float(round((value - low) / (distribution.step or 1))) + 0.5) / n
    if distribution.log:
        bottom, top = _log_range(distribution)
        x = (math.log(value) - bottom) / (top - bottom)
    else:
        # Halved, since the width of the widest ranges overflows.
        x = (value / 2 - low / 2) / (high / 2 - low / 2)
    return min(max(float(x), 0.0), 1.0)


def _n_bins(distribution: IntDistribution | FloatDistribution) -> int:
    """Count the bins of equal width; 0 for a continuum, or for bins that a logarithm bends."""
    if distribution.single():
        return 1
    if distribution.log or distribution.step is None:
        return 0
    return round((distribution.high - distribution.low) / distribution.step) + 1


def _log_range(distribution: IntDistribution | FloatDistribution) -> tuple[float, float]:
    """Give the logarithms of a range's ends; a whole number owns half a unit to either side."""
    margin = 0.5 if isinstance(distribution, IntDistribution) else 0.0
    return math.log(distribution.low - margin), math.log(distribution.high + margin)
