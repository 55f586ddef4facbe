"""A grid as arithmetic: which point stands at which place, without ever listing the points.

Nothing here knows Optuna. A `Lattice` numbers the points of a product of axes by mixed-radix
digits. Its memory is proportional to the axes, so a grid of 8**70 points costs no more than one
of 8 points with 70 axes.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Protocol, runtime_checkable

import numpy as np

Value = None | bool | int | float | str

_TOLERANCE = 1e-8  # Optuna's, in steps: values that are nearer to each other are one


@runtime_checkable
class Axis(Protocol):
    """The values of one parameter, and where each of them stands."""

    def __len__(self) -> int:
        """Say how many values there are."""

    def __getitem__(self, place: int) -> Value:
        """Give the value at a place."""

    def place(self, value: object) -> int | None:
        """Say at which place a value stands, or None for a value that is not on the axis."""


class Run:
    """An axis of evenly spaced integers, however many: a `range` that has at least one."""

    def __init__(self, name: str, values: range) -> None:
        if not values:
            raise ValueError(f"search_space[{name!r}]: [] cannot be used; give at least one value")
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, place: int) -> Value:
        return self._values[place]

    def place(self, value: object) -> int | None:
        """Say at which place a value stands, or None for a value that is not on the axis."""
        if isinstance(value, bool | np.bool_) or not isinstance(
            value, int | float | np.integer | np.floating
        ):
            return None
        return self._values.index(int(value)) if value in self._values else None


class Listed:
    """An axis of values that are given one by one.

    Args:
        name: The parameter's name, for the messages of errors.
        values: At least one value.

    Raises:
        ValueError: No value, a value twice, or one that a storage cannot keep.
    """

    def __init__(self, name: str, values: Sequence[Value]) -> None:
        self._values = list(values)
        if not self._values:
            raise ValueError(f"search_space[{name!r}]: [] cannot be used; give at least one value")
        self._places: dict[tuple[bool, Value], int] = {}
        for place, value in enumerate(self._values):
            if not (value is None or isinstance(value, bool | int | float | str)) or (
                value != value
            ):
                raise ValueError(
                    f"search_space[{name!r}]: {value!r} cannot be used; "
                    "give values of type str, int, float, bool or None (and not nan)"
                )
            if self._places.setdefault(_identity(value), place) != place:
                raise ValueError(
                    f"search_space[{name!r}]: {value!r} stands twice; give every value once"
                )
        doubles = [(_double(value), place) for place, value in enumerate(self._values)]
        self._doubles = sorted((v, place) for v, place in doubles if math.isfinite(v))

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, place: int) -> Value:
        return self._values[place]

    def place(self, value: object) -> int | None:
        """Say at which place a value stands, or None for a value that is not on the axis.

        Of two numbers, one may be the other but for the last digits, as 0.3 and 3 * 0.1 are.
        """
        plain: Any = value.item() if isinstance(value, np.generic) else value
        if not (plain is None or isinstance(plain, bool | int | float | str)):
            return None
        found = self._places.get(_identity(plain))
        return self._near(_double(plain)) if found is None else found

    def _near(self, value: float) -> int | None:
        """Give the place of the nearest number, if it is a 1e-8 of the gap beside it away."""
        if not self._doubles or not math.isfinite(value):
            return None
        i = bisect.bisect(self._doubles, (value, 0))
        around = range(max(i - 1, 0), min(i + 1, len(self._doubles)))
        at = min(around, key=lambda j: abs(self._doubles[j][0] - value))
        number, place = self._doubles[at]
        beside = [self._doubles[j][0] for j in (at - 1, at + 1) if 0 <= j < len(self._doubles)]
        gap = min((abs(number - other) for other in beside), default=abs(number))
        return place if abs(number - value) < _TOLERANCE * gap else None


def _double(value: Value) -> float:
    """Give a number as a double, nan for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _identity(value: Value) -> tuple[bool, Value]:
    """Tell True from 1, which are equal in Python, while 1 and 1.0 stay the same value."""
    return isinstance(value, bool), value


class Lattice:
    """The points of a product of axes, numbered lexicographically: the last axis runs fastest.

    Args:
        axes: Name to values or axis, at least one.

    Example:
        >>> grid = Lattice({"x": [1, 2], "y": ["a", "b", "c"]})
        >>> len(grid), grid.point(4), grid.index({"x": 2, "y": "b"})
        (6, {'x': 2, 'y': 'b'}, 4)
    """

    def __init__(self, axes: Mapping[str, Sequence[Value] | Axis]) -> None:
        if not axes:
            raise ValueError("search_space: {} cannot be used; give at least one parameter")
        self.axes = {name: _axis(name, values) for name, values in axes.items()}
        self.size = prod(len(axis) for axis in self.axes.values())

    def __len__(self) -> int:
        return self.size

    def point(self, index: int) -> dict[str, Value]:
        """Give the point with a number in [0, size)."""
        digits: dict[str, Value] = {}
        for name, axis in reversed(self.axes.items()):
            index, digit = divmod(index, len(axis))
            digits[name] = axis[digit]
        return {name: digits[name] for name in self.axes}

    def index(self, point: Mapping[str, object]) -> int | None:
        """Give the number of a point, or None where the point is not on this grid.

        Other parameters in `point` are left out of account; a missing one means None.
        """
        index = 0
        for name, axis in self.axes.items():
            place = axis.place(point[name]) if name in point else None
            if place is None:
                return None
            index = index * len(axis) + place
        return index


def _axis(name: str, values: Sequence[Value] | Axis) -> Axis:
    if isinstance(values, Axis):
        return values
    return Run(name, values) if isinstance(values, range) else Listed(name, values)
