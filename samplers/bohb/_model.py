"""BOHB's model: it estimates where good configurations lie, from all results at one budget.

Falkner, Klein and Hutter 2018, "BOHB: Robust and Efficient Hyperparameter Optimization at Scale",
section 3.2. Where the paper is silent or differs from its reference implementation, HpBandSter
0.7.4, the model follows the latter; tests compare the two. The module needs only NumPy.

A configuration is a vector: a number is a coordinate in [0, 1], and a categorical parameter is the
index of its choice.
"""

from __future__ import annotations

import itertools
import math
import sys
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_IN_CACHE = 2**15
"""Kernels that are computed at a time: 256 kB, so that all passes find them in the cache.

In a single pass, 64 candidates and 8,500 points in 4 dimensions take 1.6 times as long.
"""
_FLOOR = 1e-32  # HpBandSter's smallest density: lower ones count as this one


@dataclass(frozen=True)
class Settings:
    """HpBandSter's options: N_min, q (in percent), N_s, rho and b_w of the paper's algorithm 2.

    Attributes:
        min_points_in_model: Fewest points of each density (N_min), at least 1; None, or less than
            d + 1, means d + 1 for d parameters.
        top_n_percent: Percentage of results that count as good (q), from 1 to 99.
        num_samples: Candidates per pick (N_s), at least 1.
        random_fraction: Share of random picks (rho), in [0, 1].
        bandwidth_factor: Factor that widens the kernels for candidates (b_w), above 0.
        min_bandwidth: Smallest bandwidth of a coordinate, in (0, 1].
    """

    min_points_in_model: int | None = None
    top_n_percent: int = 15
    num_samples: int = 64
    random_fraction: float = 1 / 3
    bandwidth_factor: float = 3.0
    min_bandwidth: float = 1e-3

    def split(self, n_points: int, n_dims: int) -> tuple[int, int]:
        """Return the sizes of the good and the bad set (equation 3), limited by the points.

        The bad set begins where the good one ends, as in HpBandSter; the paper counts it from the
        worst point. Both shares are rounded down, so the worst points may be in neither set.
        """
        least = max(self.min_points_in_model or 0, n_dims + 1)
        n_good = max(least, self.top_n_percent * n_points // 100)
        n_bad = max(least, (100 - self.top_n_percent) * n_points // 100)
        return min(n_good, n_points), min(n_bad, max(n_points - n_good, 0))

    def points_needed(self, n_dims: int) -> int:
        """Return the fewest points from which a model is made: by default 2 (d + 1).

        The paper asks for N_min + 2. But each of the two densities needs d + 1 points in d
        dimensions, and HpBandSter has no model before. Any larger number makes a model, too.
        """
        return next(n for n in itertools.count() if min(self.split(n, n_dims)) > n_dims)


class Density:
    """A kernel density estimate: the mean over points of a product of one kernel per coordinate.

    The kernels are Gaussian for numbers, and those of Aitchison and Aitken (1976) for choices. The
    bandwidths follow the normal reference rule. This is the `KDEMultivariate` of statsmodels, which
    the paper uses.

    Args:
        points: The points, shape (n, d).
        levels: Number of choices of each coordinate, 0 for a number; shape (d,).
        min_bandwidth: Smallest bandwidth of a coordinate, above 0.
    """

    def __init__(self, points: Array, levels: Array, min_bandwidth: float) -> None:
        n, d = points.shape
        # The normal reference rule, h = 1.06 sigma n^(-1 / (4 + d)). It is made for numbers, but
        # statsmodels applies it to the indices of choices, too.
        rule = 1.06 * np.std(points, axis=0) * n ** (-1 / (4 + d))
        self.points = points
        self.bandwidths = np.maximum(rule, min_bandwidth)
        self._numbers = np.flatnonzero(levels == 0)
        self._n_seen = {j: len(np.unique(points[:, j])) for j in np.flatnonzero(levels)}

    def __call__(self, x: Array) -> Array:
        """Return the density at points of shape (m, d), as an array of shape (m,).

        The kernel of a choice spreads over the choices in the data, and not over all choices. If
        the data have a single choice, each other choice has an infinite density or nan.
        """
        kernels = np.empty((len(x), len(self.points)))
        step = max(1, _IN_CACHE // len(x))
        columns = np.ascontiguousarray(self.points.T)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for first in range(0, len(self.points), step):
                part = slice(first, first + step)
                kernels[:, part] = self._kernels(x, columns[:, part])
            volume = np.prod(self.bandwidths[self._numbers] * math.sqrt(2 * math.pi))
            density: Array = kernels.sum(axis=1) / (len(self.points) * volume)
        return density

    def _kernels(self, x: Array, columns: Array) -> Array:
        """Return the kernels of n points at m other points, shape (m, n).

        Args:
            x: The m other points, shape (m, d).
            columns: The n points, transposed to shape (d, n).
        """
        square = np.zeros((len(x), columns.shape[1]))
        distance = np.empty_like(square)
        for j in self._numbers:
            np.subtract(x[:, j, None], columns[j], out=distance)
            distance /= self.bandwidths[j]
            distance *= distance
            square += distance
        square /= -2
        kernel: Array = np.exp(square, out=square)
        for j, n_seen in self._n_seen.items():
            h = self.bandwidths[j]
            other = np.divide(h, n_seen - 1)
            kernel *= np.where(x[:, j, None] == columns[j], 1 - h, other)
        return kernel


class Model:
    """The densities l(x) of good and g(x) of bad configurations at one budget (equation 2).

    Args:
        points: The configurations, shape (n, d); nan for an inactive parameter.
        losses: Their losses, shape (n,); inf for a failure. Of equal losses, the first is better.
        levels: Number of choices of each coordinate, 0 for a number; shape (d,).
        settings: The options; n must be at least `Settings.points_needed`.
        rng: The random generator of the values that replace nan.
    """

    def __init__(
        self,
        points: Array,
        losses: Array,
        levels: Array,
        settings: Settings,
        rng: np.random.Generator,
    ) -> None:
        self._levels = levels
        self._set = settings
        n_good, n_bad = settings.split(*points.shape)
        # A stable sort, unlike HpBandSter's: equal losses keep the order of their trials.
        ranking = np.argsort(losses, kind="stable")
        good, bad = ranking[:n_good], ranking[n_good : n_good + n_bad]
        self.good = Density(self._completed(points[good], rng), levels, settings.min_bandwidth)
        self.bad = Density(self._completed(points[bad], rng), levels, settings.min_bandwidth)

    def propose(self, rng: np.random.Generator) -> Array | None:
        """Return the best of `num_samples` candidates (lines 5 and 6 of algorithm 2).

        Returns:
            A point of shape (d,); None if no candidate has a value, in which case HpBandSter draws
            at random.
        """
        x = self.candidates(rng.random((self._set.num_samples, 1 + 2 * len(self._levels))))
        best = self.best(x)
        return None if best is None else x[best]

    def candidates(self, u: Array) -> Array:
        """Draw candidates from l'(x): l(x) with the kernels of numbers widened by b_w.

        Args:
            u: Uniform numbers in [0, 1), shape (m, 1 + 2 d), for each candidate. The first one
                picks a good point. The next d draw a number from its kernel, or decide whether a
                choice is kept. The last d pick the choice that replaces it.

        Returns:
            The candidates, shape (m, d).
        """
        d = len(self._levels)
        which, shares, choices = u[:, 0], u[:, 1 : 1 + d], u[:, 1 + d :]
        centres = self.good.points[(which * len(self.good.points)).astype(int)]
        widths = self.good.bandwidths
        # A choice is redrawn from all choices, also from those that no good point has: about one
        # pick in 25 of HpBandSter's is such a choice. Only so does the model explore them.
        kept = shares < 1 - widths
        x: Array = np.where(kept, centres, np.floor(choices * self._levels))
        numbers = self._levels == 0
        scale = self._set.bandwidth_factor * widths[numbers]
        x[:, numbers] = _truncated_normal(shares[:, numbers], centres[:, numbers], scale)
        return x

    def acquisition(self, x: Array) -> Array:
        """Return g(x) / l(x), to be minimised, at points of shape (m, d); shape (m,)."""
        good, bad = self.good(x), self.bad(x)
        with np.errstate(invalid="ignore"):
            # As in HpBandSter: nan in g counts as the floor, and nan in l makes the ratio nan.
            bad, good = np.where(bad > _FLOOR, bad, _FLOOR), np.where(good < _FLOOR, _FLOOR, good)
            ratio: Array = bad / good
        return ratio

    def best(self, x: Array) -> int | None:
        """Return the index of the candidate to evaluate; None if all values are nan."""
        # If all bad points have the same choice, the value is infinite for each other choice. Such
        # a candidate is not bad at all, and HpBandSter takes the first one.
        values = self.acquisition(x)
        if np.isposinf(values).any():
            return int(np.argmax(np.isposinf(values)))
        return None if np.isnan(values).all() else int(np.nanargmin(values))

    def _completed(self, points: Array, rng: np.random.Generator) -> Array:
        missing = np.isnan(points)
        return complete(points, self._levels, rng.random(points.shape)) if missing.any() else points


def complete(points: Array, levels: Array, u: Array) -> Array:
    """Fill in values for inactive parameters.

    A point takes its missing coordinates from a donor: a random point that has the first of them.
    It takes all that the donor has. If no point has this coordinate, the coordinate is drawn at
    random. HpBandSter fills nothing if only the first coordinate is missing, and then its model
    proposes nothing.

    Args:
        points: The points, shape (n, d), with nan for missing coordinates.
        levels: Number of choices of each coordinate, 0 for a number; shape (d,).
        u: Uniform numbers in [0, 1), shape (n, d), which pick the donor or the value.

    Returns:
        The points without nan, shape (n, d).
    """
    filled = points.copy()
    for j, n_levels in enumerate(levels):
        rows = np.flatnonzero(np.isnan(filled[:, j]))
        donors = np.flatnonzero(~np.isnan(points[:, j]))
        if len(donors) == 0:
            filled[rows, j] = np.floor(u[rows, j] * n_levels) if n_levels else u[rows, j]
            continue
        given = points[donors[(u[rows, j] * len(donors)).astype(int)]]
        filled[rows] = np.where(np.isnan(filled[rows]), given, filled[rows])
    return filled


# By the standard library, because the samplers need no SciPy. erfc keeps its precision in the lower
# tail, where 1 + erf would cancel.
_cumulative = np.vectorize(lambda z: math.erfc(-z / math.sqrt(2)) / 2, otypes=[float])
_quantile = np.vectorize(NormalDist().inv_cdf, otypes=[float])  # Wichura's AS 241


def _truncated_normal(u: Array, centres: Array, scale: Array) -> Array:
    """Draw from normal distributions truncated to [0, 1], by inversion of their distributions.

    Args:
        u: Uniform numbers in [0, 1).
        centres: Means of the distributions, in [0, 1].
        scale: Their standard deviations before the truncation, above 0.
    """
    low, high = -centres / scale, (1 - centres) / scale
    below, above = _cumulative(low), _cumulative(high)
    # `inv_cdf` is defined between 0 and 1 only, without the ends.
    share = np.clip(below + u * (above - below), sys.float_info.min, 1 - sys.float_info.epsilon)
    x: Array = np.clip(centres + scale * _quantile(share), 0, 1)
    return x
