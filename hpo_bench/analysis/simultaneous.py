"""Several differences of means at once: intervals and p-values that cannot contradict each other.

Each difference is studentized by the spreads of its own two samples (Welch). The reference
distribution is that of the most extreme of all differences ("max-T", single step), drawn by a
parametric bootstrap: samples of normal values with the spreads that were seen. The p-value of a
difference and its interval come from the same quantile of that distribution, so that the adjusted
p-value is at most 5% exactly where the simultaneous 95% interval excludes 0.

Sources: Westfall and Young 1993, "Resampling-Based Multiple Testing" (the smallest p-value as the
statistic, which balances differences of unequal degrees of freedom); Krishnamoorthy, Lu and Mathew
2007 (the parametric bootstrap for unequal spreads). `python -m benchmarks.inference errors` and
`power` measure what it does with skewed values, ties and few seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from scipy import special

ALPHA = 0.05

DRAWS = 9999

_SEED = 0
"""Of the bootstrap's draws: the same results give the same verdict in every format."""

_SAME = 1e-9
"""Relative difference below which two values are one, but for rounding."""

_TINY = 1e-12
"""Share of the smallest variance that a sample without any has in the reference distribution."""

Array = NDArray[np.float64]

Pair = tuple[int, int | None]
"""Places of the sample whose mean is asked about, and of that which is taken from it; None: 0."""


@dataclass(frozen=True)
class Difference:
    """The difference of two means, or a mean of differences."""

    mean: float
    low: float
    """Of the simultaneous 95% interval."""
    high: float
    p: float
    """Two-sided p-value of this difference alone (Welch's t test)."""
    adjusted_p: float
    """For all differences together: at most 0.05 exactly where the interval excludes 0."""


@dataclass(frozen=True)
class _Moments:
    """Size, mean and variance of each sample; the last one stands for 0 and is infinitely large."""

    sizes: Array
    means: Array
    variances: Array


def differences(
    samples: Sequence[Sequence[float]], pairs: Sequence[Pair], *, draws: int = DRAWS
) -> list[Difference]:
    """Estimate and test differences of means.

    Args:
        samples: Values of each sample, three at least and finite; sizes and spreads may differ.
        pairs: One at least. Of paired values, the sample is that of their differences, and the
            second place is None.
        draws: Of the bootstrap.
    """
    # By a power of two, which rounds nothing: squares of huge values are beyond a float.
    scale = max(int(np.frexp(np.max(np.abs(sample)))[1]) for sample in samples)
    snapped = _snapped([np.ldexp(sample, -scale).tolist() for sample in samples])
    moments = _moments(snapped)
    places = np.array([(i, len(samples) if j is None else j) for i, j in pairs])
    i, j = places[:, 0], places[:, 1]
    least = np.array([_step(snapped[a], snapped[b]) ** 2 / 4 for a, b in places])
    means = moments.means[i] - moments.means[j]
    error, freedom = _error(moments.variances, moments.sizes, i, j, least)
    p = _p(means, error, freedom)
    smallest = _reference(moments, i, j, draws)
    # One difference alone needs no less than its own p-value says.
    level = min(ALPHA, smallest[floor(ALPHA * (draws + 1)) - 1])
    reach = special.stdtrit(freedom, 1 - level / 2) * error
    adjusted = (1 + np.searchsorted(smallest, p, side="right")) / (draws + 1)
    with np.errstate(over="ignore"):  # the difference of two huge values may be infinite
        ends = np.ldexp([means, means - reach, means + reach], scale)
    columns = (*ends, p, np.maximum(p, adjusted))
    return [Difference(*row) for row in np.transpose(columns).tolist()]


def _reference(moments: _Moments, i: Array, j: Array, draws: int) -> Array:
    """Draw the smallest p-value of all pairs where no two means differ; sorted."""
    rng = np.random.default_rng(_SEED)
    freedom = np.where(np.isinf(moments.sizes), 1, moments.sizes - 1)
    seen = moments.variances[moments.variances > 0]
    # Two samples that do not vary are still a difference to be wrong about, and count as one here;
    # beside a sample that varies, this spread is nothing.
    spread = np.where(moments.variances > 0, moments.variances, _TINY * min(seen, default=1.0))
    shape = (draws, len(freedom))
    means = rng.standard_normal(shape) * np.sqrt(spread / moments.sizes)
    variances = spread * rng.chisquare(freedom, shape) / freedom
    error, pair_freedom = _error(variances, moments.sizes, i, j, 0.0)
    p = _p(means[:, i] - means[:, j], error, pair_freedom)
    smallest: Array = np.sort(p.min(axis=1))
    return smallest


def _error(
    variances: Array, sizes: Array, i: Array, j: Array, least: Array | float
) -> tuple[Array, Array]:
    """Standard errors of differences, and their degrees of freedom by Welch and Satterthwaite.

    `least` is the variance that either sample is given beyond its own. Values on a lattice, as
    those of runs that reach a ceiling, may agree by chance: two values that are a step g apart
    have a variance of g^2 / 4 at most, and without it three runs at a ceiling beside three that
    are one step below would be infinitely many standard errors apart.
    """
    first = (variances[..., i] + least) / sizes[i]
    second = (variances[..., j] + least) / sizes[j]
    squared = first + second
    weights = first**2 / (sizes[i] - 1) + second**2 / (sizes[j] - 1)
    is_constant = squared == 0
    freedom = squared**2 / np.where(is_constant, 1, weights)
    return np.sqrt(squared), np.where(is_constant, 1, freedom)


def _p(means: Array, error: Array, freedom: Array) -> Array:
    """Two-sided p-values; 1 where nothing differs and nothing varies."""
    statistic = np.abs(means) / np.where(error == 0, 1, error)
    p: Array = 2 * special.stdtr(freedom, -statistic)
    return p


def _moments(samples: Sequence[Array]) -> _Moments:
    finite = samples[:-1]
    return _Moments(
        np.array([*map(float, map(len, finite)), np.inf]),
        # Exact: the mean of equal values is that value, and their variance is 0.
        np.array([*map(fmean, finite), 0.0]),
        np.array([*(sum((x - fmean(x)) ** 2) / (len(x) - 1) for x in finite), 0.0]),
    )


def _snapped(samples: Sequence[Sequence[float]]) -> list[Array]:
    """Give the samples, and a last one of a single 0, with values that are nearly one made one."""
    every = np.unique(np.concatenate([*samples, [0.0]]))
    is_new = np.concatenate([[True], np.diff(every) > _SAME * np.abs(every[1:])])
    kept = every[is_new][np.cumsum(is_new) - 1]
    return [kept[np.searchsorted(every, np.asarray(sample))] for sample in (*samples, [0.0])]


def _step(first: Array, second: Array) -> float:
    """Give the smallest difference between two values of a pair; 0 where all are equal."""
    apart = np.diff(np.unique(np.concatenate([first, second])))
    return float(apart.min()) if apart.size else 0.0
