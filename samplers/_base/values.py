"""The values of a distribution that Optuna accepts.

Optuna stores every number as a double. It accepts a value of a range with steps only if the value
is within 1e-8 steps of a multiple of the step. Far from zero, or after many steps, doubles are too
coarse for that, and Optuna refuses some levels of its own range: from 1.7e9 to 1.7e9 + 10 by 0.1 it
accepts every fifth level. In this module, such a range has only the levels that Optuna accepts. A
range with too many levels to try one by one counts as a continuum: a value is moved to the nearest
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

MOST_LEVELS = 2**20  # levels that are tried one by one in 20 ms

_EXACT = 2**53  # all integers up to this one are doubles
_TOLERANCE = 1e-8  # Optuna's tolerance, in steps
_CHUNK = 2**18  # levels that are tried at once
_WIDTHS = (1, 2**6, 2**12, 2**17)  # levels to either side that `nearest` tries, one after the other


def n_levels(distribution: BaseDistribution, most: int = MOST_LEVELS) -> int:
    """Return the number of values of a distribution; 0 for a continuum.

    Args:
        distribution: Any distribution.
        most: Most levels that are tried one by one; a range with more of them is a continuum.
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
    """Return the value of a level in [0, n_levels)."""
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
    """Return the level of a value of the distribution; None for a value between two levels."""
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
    """Return the value at a share in [0, 1] of a range, or of its logarithm if the range is log."""
    low, high = ends(distribution)
    if is_bent(distribution):
        bottom, top = _log_ends(distribution)
        try:
            value = math.exp(bottom + share * (top - bottom))
        except OverflowError:  # near the largest double, rounding up the sum can overflow
            value = high
    else:
        # Not low + share * (high - low): the width of the widest ranges overflows.
        value = low * (1 - share) + high * share
    value = min(max(value, low), high)
    return value if distribution.step is None else nearest(distribution, value)


def share_of(distribution: Range, value: float) -> float:
    """Return the share in [0, 1] at which a value of a range lies: the inverse of `at_share`."""
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
    """Return the nearest value that Optuna accepts.

    Args:
        distribution: A range with a step.
        value: A number between the ends of the range.

    Returns:
        The nearest accepted value among up to 2**17 levels to either side; `low` if Optuna accepts
        none of them.
    """
    rounded = round(value) if isinstance(distribution, IntDistribution) else value
    if contains(distribution, rounded):
        return _external(distribution, float(rounded))
    low, step = float(distribution.low), float(distribution.step or 1)
    with np.errstate(all="ignore"):  # the distance to low may overflow: then no level is found
        centre = np.rint((np.float64(value) - low) / step)
    for width in _WIDTHS:
        found = _values(distribution, centre + np.arange(-width, width + 1))
        found = found[~np.isnan(found)]
        if len(found):
            return _external(distribution, found[np.argmin(np.abs(found - value))])
    return distribution.low


class _Levels:
    """A sorted set of levels, with one bit of memory for each level.

    Args:
        flags: Whether each of the levels 0, 1, 2, ... is in the set.
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
        """Return the place of a level in the set, from 0; None if the set does not have it."""
        block, offset = divmod(level, self._BLOCK)
        if not 0 <= block < len(self._bits):
            return None
        flags = np.unpackbits(self._bits[block])
        return int(self._before[block] + flags[:offset].sum()) if flags[offset] else None


@functools.lru_cache(maxsize=64)
def _accepted_levels(distribution: Range, most: int) -> _Levels | None:
    """Return the levels that Optuna accepts; None if the range has more than `most` levels."""
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
    """Return whether Optuna surely accepts every level of a range, by a bound on the rounding."""
    low, high = distribution.low, distribution.high
    if isinstance(distribution, IntDistribution):
        return low >= -_EXACT and high <= _EXACT and high - low <= _EXACT
    # Four roundings, each of at most 2**-53 of its result: level * step, low + level * step, and in
    # Optuna value - low, and its quotient by the step.
    error = (3 * (high - low) + max(-low, high)) * 2.0**-53
    return error < _TOLERANCE * (distribution.step or 1)


def _n_steps(distribution: Range) -> int:
    """Return the number of steps from the low to the high end of a range."""
    if isinstance(distribution, IntDistribution):
        return (distribution.high - distribution.low) // distribution.step
    low, high, step = distribution.low, distribution.high, distribution.step or 1
    width = high - low
    steps = width / step if math.isfinite(width) else 2 * ((high / 2 - low / 2) / step)
    return round(min(steps, sys.float_info.max))


def _values(distribution: Range, levels: Array) -> Array:
    """Return the values of levels; nan if Optuna accepts neither a value nor its neighbours.

    The neighbours are the next doubles to either side.
    """
    with np.errstate(all="ignore"):
        exact = float(distribution.low) + levels * float(distribution.step or 1)
        values: Array = np.where(_are_accepted(distribution, exact), exact, np.nan)
        for towards in (math.inf, -math.inf):
            left = np.flatnonzero(np.isnan(values))
            moved = np.nextafter(exact[left], towards)
            values[left] = np.where(_are_accepted(distribution, moved), moved, np.nan)
    return values


def _are_accepted(distribution: Range, values: Array) -> NDArray[np.bool_]:
    """Return for each double whether Optuna accepts it, by the rules of its distributions."""
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
    """Return whether a range is log, and so wide that this matters."""
    # The ends of a narrower range may have equal logarithms in doubles.
    return distribution.log and distribution.high > distribution.low * (1 + 1e-9)


def ends(distribution: Range) -> tuple[float, float]:
    """Return the smallest and the largest double in a range."""
    if isinstance(distribution, FloatDistribution):
        return distribution.low, distribution.high
    return _double(distribution.low, math.inf), _double(distribution.high, -math.inf)


def _double(value: int, towards: float) -> float:
    """Convert an integer to a double, rounded towards `towards`, which is infinite."""
    try:
        near = float(value)
    except OverflowError:
        near = sys.float_info.max if value > 0 else -sys.float_info.max
    is_outside = near < value if towards > 0 else near > value
    return math.nextafter(near, towards) if is_outside else near


def _log_ends(distribution: Range) -> tuple[float, float]:
    """Return the logarithms of a range's ends, for integers with half a unit to either side."""
    low, high = ends(distribution)
    margin = 0.5 if isinstance(distribution, IntDistribution) else 0.0
    return math.log(low - margin), math.log(high + margin)


def _external(distribution: Range, value: float) -> int | float:
    """Convert a double to the type that Optuna passes to an objective: int or float."""
    return int(value) if isinstance(distribution, IntDistribution) else float(value)


def legal(name: str, value: Any, distribution: BaseDistribution) -> Any:
    """Return a value as Optuna stores it for a distribution.

    Args:
        name: Name of the parameter, for the error.
        value: The value.
        distribution: The distribution that the objective allows.

    Raises:
        ValueError: The distribution does not contain the value, or a storage would change it.
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
