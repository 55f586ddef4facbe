"""Probability of improvement: how often one method's run is better than another's."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def improvement(ours: ArrayLike, theirs: ArrayLike) -> float:
    """Give the share of all pairs of runs in which ours has more, a tie counting half.

    Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical
    Precipice", equation 2: the statistic of Mann and Whitney, divided by the number of pairs.
    """
    return float(wins(ours, theirs).mean())


def wins(ours: ArrayLike, theirs: ArrayLike) -> NDArray[np.float64]:
    """Give 1 for each pair of our run and theirs in which ours has more, 0.5 for a tie, else 0."""
    level: NDArray[np.float64] = 0.5 * np.equal.outer(ours, theirs)
    return np.greater.outer(ours, theirs) + level
