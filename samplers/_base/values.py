"""The values of a distribution that Optuna accepts.

Optuna keeps every number as a double. It accepts a value of a range with steps only if the value is
within 1e-8 steps of a multiple of the step. Far from zero, or after many steps, doubles are too
coarse for that, and Optuna refuses some levels of its own range: from 1.7e9 to 1.7e9 + 10 by 0.1 it
accepts every fifth. Here such a range has the levels that Optuna accepts, and no others. A range
with more levels than can be tried one by one is a continuum: its values are moved to the nearest
value that Optuna accepts.
"""

from __future__ import annotations

import functools
import math
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from .private import contains

Array = NDArray[np.float64]
Range = IntDistribution | FloatDistribution

MOST_LEVELS = 2**20  # to try so many one by one takes 20 ms

_EXACT = 2**53  # up to here every integer is a double
_TOLERANCE = 1e-8  # Optuna's, in steps
_CHUNK = 2**18  # levels that are tried at once
_WIDTHS = (1, 2**6, 2**12, 2**17)  # how many levels to either side are tried, one after the other


def n_levels(distribution: BaseDistribution, most: int = MOST_LEVELS) -> int:
    """Count the values of a distribution; 0 stands for a continuum.

    Args:
        distribution: Of any kind.
        most: A range whose levels must be tried one by one is a continuum if it has more than this.
    """
    if isinstance(distribution, Range):
        if distribution.step is None:
            return 1 if distribution.low == distribution.high else 0
        if _accepts_every_level(distribution):
            return _n_steps(distribution) + 1
        accepted = _accepted_levels(distribution, most)
        return 0 if accepted is None else len(accepted)
    assert isinstance(distribution, CategoricalDistribution)
    return len(distribution.choices)


def value_at(distribution: BaseDistribution, level: int, most: int = MOST_LEVELS) -> Any:
    """Give the value with a number in [0, n_levels)."""
    if isinstance(distribution, Range):
        if distribution.step is None:
            return distribution.low
        if _accepts_every_level(distribution):
            return min(distribution.low + level * distribution.step, distribution.high)
        accepted = _accepted_levels(distribution, most)
        assert accepted is not None
        [value] = _values(distribution, np.array([accepted[level]]))
        return _external(distribution, value)
    assert isinstance(distribution, CategoricalDistribution)
    return distribution.choices[level]


def level_of(distribution: BaseDistribution, value: Any, most: int = MOST_LEVELS) -> int | None:
    """Give the number of a value of the distribution, or None for a value between two levels."""
    if isinstance(distribution, Range):
        low, step = distribution.low, distribution.step
        if step is None:
            return 0
        if _accepts_every_level(distribution):
            level: int = round((value - low) / step)
            return level
        accepted = _accepted_levels(distribution, most)
        assert accepted is not None
        return accepted.place(round((float(value) - float(low)) / float(step)))
    assert isinstance(distribution, CategoricalDistribution)
    return int(distribution.to_internal_repr(value))


def at_share(distribution: Range, share: float) -> int | float:
    """Give the value at a share in [0, 1] of a range; of its logarithm where the range is log."""
    low, high = ends(distribution)
    if is_bent(distribution):
        bottom, top = _log_ends(distribution)
        try:
            value = math.exp(bottom + share * (top - bottom))
        except OverflowError:  # near the largest double, the sum may be rounded up
            value = high
    else:
        # Not low + share * (high - low), whose width overflows for the widest ranges.
        value = low * (1 - share) + high * share
    value = min(max(value, low), high)
    return value if distribution.step is None else nearest(distribution, value)


def share_of(distribution: Range, value: float) -> float:
    """Give the share in [0, 1] at which a value of a range lies: the inverse of `at_share`."""
    low, high = ends(distribution)
    if is_bent(distribution):
        bottom, top = _log_ends(distribution)
        share = (math.log(value) - bottom) / (top - bottom)
    elif math.isfinite(high - low):
        share = (value - low) / (high - low) if low < high else 0.5
    else:
        share = (value / 2 - low / 2) / (high / 2 - low / 2)
    return min(max(float(share), 0.0), 1.0)


def nearest(distribution: Range, value: float) -> int | float:
    """Give the nearest value that Optuna accepts, of the levels around a value.

    Args:
        distribution: With a step.
        value: Between the ends of the distribution.

    Returns:
        The nearest value, or `low` where Optuna accepts none of those levels.
    """
    rounded = round(value) if isinstance(distribution, IntDistribution) else value
    if contains(distribution, rounded):
        return _external(distribution, float(rounded))
    low, step = float(distribution.low), float(distribution.step or 1)
    with np.errstate(all="ignore"):  # the distance to low may overflow: then there is no centre
        centre = np.rint((np.float64(value) - low) / step)
    for width in _WIDTHS:
        found = _values(distribution, centre + np.arange(-width, width + 1))
        found = found[~np.isnan(found)]
        if len(found):
            return _external(distribution, found[np.argmin(np.abs(found - value))])
    return distribution.low


class _Levels:
    """A set of levels in ascending order, kept as one bit for each level.

    Args:
        flags: For each level 0, 1, 2, ... whether it is in the set.
    """

    _BLOCK = 2**12

    def __init__(self, flags: NDArray[np.bool_]) -> None:
        blocks = np.pad(flags, (0, -len(flags) % self._BLOCK)).reshape(-1, self._BLOCK)
        self._bits = np.packbits(blocks, axis=1)
        self._before = np.concatenate([[0], np.cumsum(blocks.sum(axis=1))])

    def __len__(self) -> int:
        return int(self._before[-1])

    def __getitem__(self, place: int) -> int:
        block = int(np.searchsorted(self._before, place, side="right")) - 1
        inside = np.flatnonzero(np.unpackbits(self._bits[block]))
        return block * self._BLOCK + int(inside[place - self._before[block]])

    def place(self, level: int) -> int | None:
        """Count the levels of the set below a level; None for a level that is not in the set."""
        block, offset = divmod(level, self._BLOCK)
        if not 0 <= block < len(self._bits):
            return None
        flags = np.unpackbits(self._bits[block])
        return int(self._before[block] + flags[:offset].sum()) if flags[offset] else None


@functools.lru_cache(maxsize=64)
def _accepted_levels(distribution: Range, most: int) -> _Levels | None:
    """Give the levels that Optuna accepts; None where there are too many to try."""
    n = _n_steps(distribution) + 1
    if n > most:
        return None
    low, step = float(distribution.low), float(distribution.step or 1)
    flags = np.empty(n, dtype=np.bool_)
    with np.errstate(all="ignore"):
        for start in range(0, n, _CHUNK):
            levels = np.arange(start, min(start + _CHUNK, n), dtype=np.float64)
            reached = np.rint((_values(distribution, levels) - low) / step)
            flags[start : start + len(levels)] = reached == levels
    return _Levels(flags)


def _accepts_every_level(distribution: Range) -> bool:
    low, high = distribution.low, distribution.high
    if isinstance(distribution, IntDistribution):
        return low >= -_EXACT and high <= _EXACT and high - low <= _EXACT
    # In steps: the roundings of level * step, of low + level * step, and of what Optuna computes,
    # value - low and its quotient by step; each is at most 2**-53 of its result.
    error = (3 * (high - low) + max(-low, high)) * 2.0**-53
    return error < _TOLERANCE * (distribution.step or 1)


def _n_steps(distribution: Range) -> int:
    if isinstance(distribution, IntDistribution):
        return (distribution.high - distribution.low) // distribution.step
    low, high, step = distribution.low, distribution.high, distribution.step or 1
    width = high - low
    steps = width / step if math.isfinite(width) else 2 * ((high / 2 - low / 2) / step)
    return round(min(steps, sys.float_info.max))


def _values(distribution: Range, levels: Array) -> Array:
    """Give the values of levels; nan where Optuna accepts neither a value nor its neighbours."""
    with np.errstate(all="ignore"):
        exact = float(distribution.low) + levels * float(distribution.step or 1)
        values: Array = np.where(_are_accepted(distribution, exact), exact, np.nan)
        for towards in (math.inf, -math.inf):
            left = np.flatnonzero(np.isnan(values))
            moved = np.nextafter(exact[left], towards)
            values[left] = np.where(_are_accepted(distribution, moved), moved, np.nan)
    return values


def _are_accepted(distribution: Range, values: Array) -> NDArray[np.bool_]:
    """Say which of many doubles Optuna accepts, by the rules of its distributions."""
    bottom, top = ends(distribution)
    low, step = float(distribution.low), float(distribution.step or 1)
    if isinstance(distribution, IntDistribution):
        on_step = (values - low) % step == 0
    else:
        steps = (values - low) / step
        on_step = np.abs(steps - np.rint(steps)) < _TOLERANCE
    accepted: NDArray[np.bool_] = (bottom <= values) & (values <= top) & on_step
    return accepted


def is_bent(distribution: Range) -> bool:
    """Say whether a range is log, and so wide that this matters.

    The ends of a narrow range may have the same logarithm as doubles, with nothing in between.
    """
    return distribution.log and distribution.high > distribution.low * (1 + 1e-9)


def ends(distribution: Range) -> tuple[float, float]:
    """Give the smallest and the largest double of a range."""
    if isinstance(distribution, FloatDistribution):
        return distribution.low, distribution.high
    return _double(distribution.low, math.inf), _double(distribution.high, -math.inf)


def _double(value: int, towards: float) -> float:
    """Give an integer as a double, rounded towards an infinity."""
    try:
        near = float(value)
    except OverflowError:
        near = sys.float_info.max if value > 0 else -sys.float_info.max
    is_outside = near < value if towards > 0 else near > value
    return math.nextafter(near, towards) if is_outside else near


def _log_ends(distribution: Range) -> tuple[float, float]:
    """Give the logarithms of a range's ends, of integers with half a unit to either side."""
    low, high = ends(distribution)
    margin = 0.5 if isinstance(distribution, IntDistribution) else 0.0
    return math.log(low - margin), math.log(high + margin)


def _external(distribution: Range, value: float) -> int | float:
    """Give a double in the type in which Optuna passes it to the objective."""
    return int(value) if isinstance(distribution, IntDistribution) else float(value)


def legal(name: str, value: Any, distribution: BaseDistribution) -> Any:
    """Give a value as Optuna keeps it for a distribution.

    Raises:
        ValueError: The distribution does not contain it, or a storage would change it.
    """
    if not contains(distribution, value):
        raise ValueError(
            f"search_space[{name!r}]: {value!r} cannot be used; the objective allows {distribution}"
        )
    kept = distribution.to_external_repr(distribution.to_internal_repr(value))
    if isinstance(distribution, IntDistribution) and kept != value:
        raise ValueError(
            f"search_space[{name!r}]: {value!r} cannot be used; Optuna keeps numbers as doubles, "
            f"and would make it {kept!r}"
        )
    return kept
