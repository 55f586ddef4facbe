"""Means with their intervals. A replicate is a whole run: one seed of one method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray
from scipy import special

from hpo_bench.analysis.means import mean

CONFIDENCE = 0.95

MIN_SEEDS = 3
"""Replicates below which there is no interval and no verdict: the skewness needs three."""

TOO_FEW = "too few seeds to say"


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
    """Estimate a mean with its interval; None if there is nothing to estimate."""
    if not values:
        return None
    middle, n = mean(values), len(values)
    if n < MIN_SEEDS:
        return Estimate(middle, None, None, n)
    if not np.all(np.isfinite(values)):  # a difference beyond a float, of which nothing is said
        return Estimate(middle, nan, nan, n)
    if np.allclose(values, middle, rtol=1e-9, atol=0):  # equal but for rounding
        return Estimate(middle, middle, middle, n)
    low, high = ends(np.asarray(values, dtype=float))
    return Estimate(middle, float(low), float(high), n)


def band(replicates: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Interval of the mean curve at each of its places; None with too few replicates.

    Args:
        replicates: One row per replicate, one column per place of the curve.
    """
    return None if len(replicates) < MIN_SEEDS else ends(replicates)


def ends(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of the 95% interval of the mean, over the first axis (three values at least).

    It is Student's interval, widened on the side to which the values are skewed. With the mean m,
    the standard error s, the quantile t of Student's distribution, and the skewness g of the mean,
    Student's ends are m - t s and m + t s; Hall's are m - h(t) s and m - h(-t) s, where h is the
    inverse of x + g x^2 / 3 + g^2 x^3 / 27 + g / 6:

        h(t) = 3 / g * ((1 + g (t - g / 6))^(1/3) - 1)

    The outer of the two is taken at each end: Student's alone is too short for skewed losses, and
    Hall's alone for three or five values. `python -m benchmarks.inference coverage` measures it.

    Source: Hall 1992, "On the Removal of Skewness by Transformation".
    """
    n = len(values)
    # By a power of two, which rounds nothing: powers of huge values are beyond a float.
    scale = np.frexp(np.abs(values).max(axis=0))[1]
    scaled = np.ldexp(values, -scale)
    middle = scaled.mean(axis=0)
    apart = scaled - middle
    error = np.sqrt((apart**2).sum(axis=0) / (n - 1) / n)
    t = special.stdtrit(n - 1, (1 + CONFIDENCE) / 2)
    g = _skewness_of_mean(apart)
    low = middle - error * np.maximum(t, _hall(t, g))
    high = middle - error * np.minimum(-t, _hall(-t, g))
    return np.ldexp(low, scale), np.ldexp(high, scale)


def _skewness_of_mean(apart: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the sample skewness (of Fisher and Pearson, bias corrected) over sqrt(n)."""
    n = len(apart)
    second, third = (apart**2).mean(axis=0), (apart**3).mean(axis=0)
    constant = second == 0
    skewness = third / np.where(constant, 1, second) ** 1.5
    found: NDArray[np.float64] = skewness * np.sqrt(n - 1) / (n - 2)
    return np.where(constant, 0, found)


def _hall(t: float, g: NDArray[np.float64]) -> NDArray[np.float64]:
    is_straight = np.abs(g) < 1e-6
    safe = np.where(is_straight, 1, g)
    bent = 3 / safe * (np.cbrt(1 + safe * (t - safe / 6)) - 1)
    return np.where(is_straight, t, bent)
