"""Between an Optuna search space and the vectors that the model knows."""

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
    """A search space as vectors: one coordinate for each parameter, in the order of their names.

    A number lies in [0, 1], logarithmic ranges even on the logarithm; a choice is its index. Every
    whole or stepped number owns a bin, the ends' as wide as the others', so that all are drawn
    alike; what was evaluated is told to the model as the middle of its bin. A range of more values
    than a double can tell apart has no bins.

    Args:
        distributions: Name to distribution, at least one.
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
    """Count the bins of equal width; 0 for a continuum, or for bins that a logarithm bends."""
    if distribution.single():
        return 1
    return 0 if distribution.log else n_levels(distribution)
