"""Means with their intervals. A replicate is a whole run: one seed of one method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from scipy import stats

from hpo_bench.analysis.means import mean

CONFIDENCE = 0.95

MIN_SEEDS = 6
"""Replicates below which nothing is claimed.

With five, not even five differences of the same sign reach p < 0.05 in a two-sided Wilcoxon test.
"""

RESAMPLES = 9999

TOO_FEW = "too few seeds to say"

_SEED = 0
"""Of the bootstrap's draws: the same results give the same interval in every format."""


@dataclass(frozen=True)
class Estimate:
    """A mean over replicates, with its 95% interval."""

    mean: float
    low: float | None
    """None where there are too few replicates to say; NaN where the values are beyond a float."""
    high: float | None
    n: int
    """How many replicates."""


def estimate(values: Sequence[float]) -> Estimate | None:
    """Estimate a mean with its BCa bootstrap interval; None if there is nothing to estimate.

    Source: Efron 1987, "Better Bootstrap Confidence Intervals", as `scipy.stats.bootstrap` has it.
    """
    if not values:
        return None
    middle, n = mean(values), len(values)
    if n < MIN_SEEDS:
        return Estimate(middle, None, None, n)
    if not np.all(np.isfinite(values)):  # a difference beyond a float, of which nothing is said
        return Estimate(middle, nan, nan, n)
    if np.allclose(values, middle, rtol=1e-9, atol=0):  # nothing to resample: BCa divides by zero
        return Estimate(middle, middle, middle, n)
    # By a power of two, which rounds nothing: squares of huge values are beyond a float.
    scale = int(np.frexp(np.max(np.abs(values)))[1])
    interval = stats.bootstrap(
        (np.ldexp(values, -scale),),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="BCa",
        rng=_SEED,
    ).confidence_interval
    low, high = (float(np.ldexp(end, scale)) for end in (interval.low, interval.high))
    return Estimate(middle, low, high, n)


def band(replicates: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Percentile bootstrap band of the mean curve; None with too few replicates.

    Args:
        replicates: One row per replicate, one column per place of the curve.
    """
    n = len(replicates)
    if n < MIN_SEEDS:
        return None
    draws = np.random.default_rng(_SEED).integers(n, size=(1000, n))
    # One resampling for the whole curve: its places are of the same runs.
    means = np.array([replicates[draw].mean(axis=0) for draw in draws])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high
