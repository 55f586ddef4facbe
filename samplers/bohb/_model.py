"""BOHB's model: where, of all that was evaluated at one budget, good configurations lie.

Falkner, Klein and Hutter 2018, "BOHB: Robust and Efficient Hyperparameter Optimization at Scale",
section 3.2, with what HpBandSter 0.7.4, its reference, does where the paper says nothing or
otherwise; the tests hold both side by side. Knows NumPy only.

A configuration is a vector with a coordinate in [0, 1] for each number, and with the index of the
choice for each categorical parameter.
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
"""Kernels worked out at a time: 256 kB, so that every pass over them finds them in the cache.

All at once, 64 candidates and 8,500 points in 4 dimensions take 1.6 times as long.
"""
_FLOOR = 1e-32  # HpBandSter's: below it one density is as good as another


@dataclass(frozen=True)
class Settings:
    """HpBandSter's options: N_min, q (in percent), N_s, rho and b_w of the paper's algorithm 2.

    Attributes:
        min_points_in_model: At least 1; None, or less than d + 1, stands for d + 1.
        top_n_percent: From 1 to 99.
        num_samples: At least 1.
        random_fraction: In [0, 1].
        bandwidth_factor: Above 0.
        min_bandwidth: In (0, 1], the least bandwidth of a coordinate.
    """

    min_points_in_model: int | None = None
    top_n_percent: int = 15
    num_samples: int = 64
    random_fraction: float = 1 / 3
    bandwidth_factor: float = 3.0
    min_bandwidth: float = 1e-3

    def split(self, n_points: int, n_dims: int) -> tuple[int, int]:
        """Give the sizes of the good and the bad set (equation 3), as far as the points reach.

        The bad set begins where the good one ends, as in HpBandSter; the paper counts it from the
        worst point. Both shares are rounded down, so that the very worst may be in neither.
        """
        least = max(self.min_points_in_model or 0, n_dims + 1)
        n_good = max(least, self.top_n_percent * n_points // 100)
        n_bad = max(least, (100 - self.top_n_percent) * n_points // 100)
        return min(n_good, n_points), min(n_bad, max(n_points - n_good, 0))

    def points_needed(self, n_dims: int) -> int:
        """Give the least number of points that make a model: by default 2 (d + 1).

        The paper asks for N_min + 2, but a density in d dimensions takes d + 1 points, and there
        are two of them; HpBandSter has no model before. More points always make one, too.
        """
        return next(n for n in itertools.count() if min(self.split(n, n_dims)) > n_dims)


class Density:
    """A kernel density estimate: for each point, the product of one kernel per coordinate.

    Gaussian for numbers, Aitchison and Aitken (1976) for choices, with the bandwidths of the normal
    reference rule: statsmodels' `KDEMultivariate`, which the paper chose.

    Args:
        points: Shape (n, d).
        levels: Shape (d,): the number of choices of each coordinate, 0 for a number.
        min_bandwidth: Above 0.
    """

    def __init__(self, points: Array, levels: Array, min_bandwidth: float) -> None:
        n, d = points.shape
        # The rule is meant for numbers; statsmodels applies it to the indices of choices as well.
        rule = 1.06 * np.std(points, axis=0) * n ** (-1 / (4 + d))
        self.points = points
        self.bandwidths = np.maximum(rule, min_bandwidth)
        self._numbers = np.flatnonzero(levels == 0)
        self._n_seen = {j: len(np.unique(points[:, j])) for j in np.flatnonzero(levels)}

    def __call__(self, x: Array) -> Array:
        """Give the density at points of shape (m, d).

        The kernel of a choice spreads over the choices that were seen, not over all there are.
        Where a single one was seen, every other has infinite density (or none that is a number).
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
        """Give the kernels of n points, shape (d, n), at m others, shape (m, d): (m, n)."""
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
        points: Shape (n, d); nan where a parameter was inactive.
        losses: Shape (n,); inf for what failed. Of equals, the first is the better.
        levels: Shape (d,): the number of choices of each coordinate, 0 for a number.
        settings: n is at least what they ask for, see `Settings.points_needed`.
        rng: For what takes the place of nan.
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
        # Stable, unlike HpBandSter's: which of two failures is the worse one is not left to chance.
        ranking = np.argsort(losses, kind="stable")
        good, bad = ranking[:n_good], ranking[n_good : n_good + n_bad]
        self.good = Density(self._completed(points[good], rng), levels, settings.min_bandwidth)
        self.bad = Density(self._completed(points[bad], rng), levels, settings.min_bandwidth)

    def propose(self, rng: np.random.Generator) -> Array | None:
        """Give the best of `num_samples` candidates (lines 5 and 6 of algorithm 2).

        Returns:
            Shape (d,), or None where no candidate can be compared: HpBandSter then draws at random.
        """
        x = self.candidates(rng.random((self._set.num_samples, 1 + 2 * len(self._levels))))
        best = self.best(x)
        return None if best is None else x[best]

    def candidates(self, u: Array) -> Array:
        """Draw from l'(x): from the kernels of good points, those of numbers widened by b_w.

        Args:
            u: Uniform in [0, 1), shape (m, 1 + 2 d): for each candidate what picks the good point;
                then, for each coordinate, where a number falls, or whether a choice is kept; then
                which choice is taken instead.

        Returns:
            Shape (m, d).
        """
        d = len(self._levels)
        which, shares, choices = u[:, 0], u[:, 1 : 1 + d], u[:, 1 + d :]
        centres = self.good.points[(which * len(self.good.points)).astype(int)]
        widths = self.good.bandwidths
        # A choice is redrawn from all there are, also from those that no good point has: about one
        # pick in 25 of HpBandSter's is such a choice, by which it gets to know the others.
        kept = shares < 1 - widths
        x: Array = np.where(kept, centres, np.floor(choices * self._levels))
        numbers = self._levels == 0
        scale = self._set.bandwidth_factor * widths[numbers]
        x[:, numbers] = _truncated_normal(shares[:, numbers], centres[:, numbers], scale)
        return x

    def acquisition(self, x: Array) -> Array:
        """Give g(x) / l(x), of which the least is the best, at points of shape (m, d)."""
        good, bad = self.good(x), self.bad(x)
        with np.errstate(invalid="ignore"):
            # Written so that nan in g counts as nothing, and in l makes the value nan.
            bad, good = np.where(bad > _FLOOR, bad, _FLOOR), np.where(good < _FLOOR, _FLOOR, good)
            ratio: Array = bad / good
        return ratio

    def best(self, x: Array) -> int | None:
        """Say which of the candidates to evaluate, None if none has a value.

        An infinite value is a choice that no bad point has, with the bad points all alike. It looks
        like the worst and is none: HpBandSter takes the first such candidate.
        """
        values = self.acquisition(x)
        if np.isposinf(values).any():
            return int(np.argmax(np.isposinf(values)))
        return None if np.isnan(values).all() else int(np.nanargmin(values))

    def _completed(self, points: Array, rng: np.random.Generator) -> Array:
        missing = np.isnan(points)
        return complete(points, self._levels, rng.random(points.shape)) if missing.any() else points


def complete(points: Array, levels: Array, u: Array) -> Array:
    """Fill in what inactive parameters could have been.

    A point takes over all that it lacks, as far as it is there, from a random point that has its
    first missing coordinate; where none has it, that coordinate is drawn at random. HpBandSter
    forgets to where only the first coordinate is missing, and its model then yields nothing.

    Args:
        points: Shape (n, d), with nan for what is missing.
        levels: Shape (d,): the number of choices of each coordinate, 0 for a number.
        u: Uniform in [0, 1), shape (n, d): picks the donor, or the value.
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


_cumulative = np.vectorize(lambda z: math.erfc(-z / math.sqrt(2)) / 2, otypes=[float])
_quantile = np.vectorize(NormalDist().inv_cdf, otypes=[float])  # Wichura's AS 241


def _truncated_normal(u: Array, centres: Array, scale: Array) -> Array:
    """Draw from normal distributions cut off at 0 and 1, by inverting their distributions."""
    low, high = -centres / scale, (1 - centres) / scale
    below, above = _cumulative(low), _cumulative(high)
    share = np.clip(below + u * (above - below), sys.float_info.min, 1 - sys.float_info.epsilon)
    x: Array = np.clip(centres + scale * _quantile(share), 0, 1)
    return x
