"""The axes of a grid, made of what users give: values, or Optuna's distributions."""

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

_LONG = 2**12  # values that are listed: to look one up is faster than to compute its place
_MOST_LEVELS = 2**27  # levels that Optuna may refuse are tried one by one: so many take 3 s


class Levels:
    """All values of a range with steps that Optuna accepts, however many they are."""

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
        """Say at which place a value stands, or None for one that Optuna does not accept."""
        plain = as_python(value)
        if isinstance(plain, bool | str) or not contains(self._distribution, plain):
            return None
        return level_of(self._distribution, plain, _MOST_LEVELS)


def axes_of(search_space: object, levels: object) -> dict[str, Axis]:
    """Give the axes of a grid.

    Args:
        search_space: Name to values or distribution, as `GridSampler` takes it.
        levels: How many values a range is given: for all of them, by name, or None.

    Raises:
        ValueError: One of them cannot be used; the text names it and says what is right.
    """
    if not isinstance(search_space, Mapping):
        raise ValueError(
            f"search_space: {search_space!r} cannot be used; "
            "give a dictionary of names and values or Optuna distributions"
        )
    counts = _counts(levels, search_space)
    return {name: _axis(name, axis, counts.get(name)) for name, axis in search_space.items()}


def _counts(levels: object, search_space: Mapping[str, object]) -> dict[str, int]:
    """Give the number of levels by the name of the parameter."""
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
    """Give the axis of one parameter."""
    if isinstance(axis, CategoricalDistribution):
        return Listed(name, [as_python(choice) for choice in axis.choices])
    if isinstance(axis, Range):
        return _axis_of_range(name, axis, levels)
    values = as_python(axis)
    if isinstance(values, range):
        return Run(name, values)
    if isinstance(values, str | bytes | BaseDistribution) or not isinstance(values, Sequence):
        raise ValueError(
            f"search_space[{name!r}]: {axis!r} cannot be used; "
            "give a sequence of values or an Optuna distribution"
        )
    return Listed(name, [as_python(value) for value in values])


def _axis_of_range(name: str, axis: Range, levels: int | None) -> Axis:
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
    low, high = ends(axis)
    if not axis.log:
        return _even(low, high, levels)
    spread = np.exp(_even(np.log(low), np.log(high), levels))
    return [float(v) for v in np.clip(spread, low, high)]


def _even(low: float, high: float, levels: int) -> list[float]:
    if levels == 1:
        return [low / 2 + high / 2]
    if not math.isfinite(high - low):
        # The width of the widest ranges overflows.
        return [float(low * (1 - share) + high * share) for share in np.linspace(0, 1, levels)]
    return [float(v) for v in np.linspace(low, high, levels)]
