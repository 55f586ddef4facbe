"""Means and deviations of any numbers, also of those whose sum is beyond a float."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite, nan
from statistics import fmean, stdev

_FAR = 2.0**-64
"""A power of two, by which a number is scaled without being rounded."""


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean of one value at least; NaN where infinities of both signs are among them."""
    try:
        return fmean(values)
    except OverflowError:
        return fmean([_FAR * value for value in values]) / _FAR
    except ValueError:  # infinity less infinity
        return nan


def deviation(values: Sequence[float]) -> float:
    """Sample standard deviation of two values at least; infinite where it is beyond a float."""
    if not all(map(isfinite, values)):
        return nan
    try:
        return stdev(values)
    except OverflowError:
        return inf
