"""Make the axes of a grid from a user's values or Optuna distributions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from samplers._base.arguments import as_python, checked_integer
from samplers._base.private import contains
from samplers._base.values import Range, ends, level_of, n_levels, nearest, value_at

from ._lattice import Axis, Listed, Run, Value

_LONG = 2**12  # most values of an axis to list: a look-up is faster than computing a place
_MOST_LEVELS = 2**27  # most levels of an axis to try one by one whether Optuna accepts them: 3 s


class Levels:
    """The axis of all values that Optuna accepts of a range with steps, without a list of them.

    Args:
        distribution: A range with a step.
    """

    def __init__(self, distribution: Range) -> None:
        self._distribution = distribution
        self._size = n_levels(distribution, _MOST_LEVELS)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, place: int) -> Value:
        value: Value = value_at(self._distribution, place, _MOST_LEVELS)
        return value

    def __iter__(self) -> Iterator[Value]:
        return (self[place] for place in range(len(self)))

    def place(self, value: object) -> int | None:
        """Return the place of a value, from 0; None if Optuna does not accept the value."""
        plain = as_python(value)
        if isinstance(plain, bool | str) or not contains(self._distribution, plain):
            return None
        return level_of(self._distribution, plain, _MOST_LEVELS)


def axes_of(search_space: object, levels: object) -> dict[str, Axis]:
    """Make the axes of a grid: name to axis.

    Args:
        search_space: Name to values or distribution, as for `GridSampler`.
        levels: Number of values of each range, for all ranges or by name, at least 1; None: all
            values.

    Raises:
        ValueError: An argument cannot be used; the text names it and a correct value.
    """
    if not isinstance(search_space, Mapping):
        raise ValueError(
            f"search_space: {search_space!r} cannot be used; "
            "give a dictionary of names and values or Optuna distributions"
        )
    counts = _counts(levels, search_space)
    return {name: _axis(name, axis, counts.get(name)) for name, axis in search_space.items()}


def _counts(levels: object, search_space: Mapping[str, object]) -> dict[str, int]:
    """Check the argument `levels`; return it as name to number of levels."""
    if levels is None:
        return {}
    if not isinstance(levels, Mapping):
        n = checked_integer("levels", levels, ">= 1", lambda n: n >= 1)
        return dict.fromkeys(search_space, n)
    for name, n in levels.items():
        if name not in search_space:
            raise ValueError(
                f"levels[{name!r}]: there is no such parameter; give {sorted(search_space)}"
            )
        axis = search_space[name]
        if n is not None and not isinstance(axis, Range):
            raise ValueError(f"levels[{name!r}]: {n!r} cannot be used; {axis!r} is no range")
    return {
        name: checked_integer(f"levels[{name!r}]", n, ">= 1", lambda n: n >= 1)
        for name, n in levels.items()
        if n is not None
    }


def _axis(name: str, axis: Any, levels: int | None) -> Axis:
    """Make the axis of one parameter."""
    if isinstance(axis, CategoricalDistribution):
        return Listed(name, [as_python(choice) for choice in axis.choices])
    if isinstance(axis, Range):
        return _axis_of_range(name, axis, levels)
    values = as_python(axis)
    if isinstance(values, range):
        return Run(name, values)
    # A text is a sequence, too, but its characters are hardly meant as values.
    if isinstance(values, str | bytes | BaseDistribution) or not isinstance(values, Sequence):
        raise ValueError(
            f"search_space[{name!r}]: {axis!r} cannot be used; "
            "give a sequence of values or an Optuna distribution"
        )
    return Listed(name, [as_python(value) for value in values])


def _axis_of_range(name: str, axis: Range, levels: int | None) -> Axis:
    """Make the axis of a range: all its values, or so many levels, evenly spread."""
    size = n_levels(axis, _MOST_LEVELS)
    if size and (levels is None or levels >= size or axis.low == axis.high):
        if isinstance(axis, IntDistribution):
            every = range(axis.low, axis.high + 1, axis.step)
            if len(every) == size:
                return Run(name, every)
        return Levels(axis) if size > _LONG else Listed(name, list(Levels(axis)))
    if levels is None:
        raise ValueError(
            f"search_space[{name!r}]: {axis} has more values than a grid can tell apart; "
            f"give it a longer step, explicit values, or levels={{{name!r}: 5}}"
        )
    if axis.step is None:
        return Listed(name, list(dict.fromkeys(_spread(axis, levels))))
    if isinstance(axis, FloatDistribution) and size:
        places = {round(p) for p in _even(0, size - 1, levels)}
        return Listed(name, [value_at(axis, place, _MOST_LEVELS) for place in sorted(places)])
    steps = {round((value - axis.low) / axis.step) for value in _spread(axis, levels)}
    return Listed(name, sorted({nearest(axis, axis.low + n * axis.step) for n in steps}))


def _spread(axis: Range, levels: int) -> list[float]:
    """Spread values over a range from end to end, geometrically if the range is log."""
    low, high = ends(axis)
    if not axis.log:
        return _even(low, high, levels)
    spread = np.exp(_even(np.log(low), np.log(high), levels))
    return [float(v) for v in np.clip(spread, low, high)]


def _even(low: float, high: float, levels: int) -> list[float]:
    """Spread values evenly from `low` to `high`; a single value is the middle."""
    if levels == 1:
        return [low / 2 + high / 2]
    if not math.isfinite(high - low):
        # The width of the widest ranges overflows.
        return [float(low * (1 - share) + high * share) for share in np.linspace(0, 1, levels)]
    # linspace computes the last value before it sets it to high: for a range up to the largest
    # double, this overflows with a warning.
    with np.errstate(over="ignore"):
        return [float(v) for v in np.linspace(low, high, levels)]
