"""Number the points of a grid by arithmetic, without a list of the points.

The module does not use Optuna. A `Lattice` numbers the points of a product of axes by mixed-radix
digits. Its memory is proportional to the total length of the axes, so a grid of 70 axes with 8
values each, 8**70 points, needs only 560 values.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Protocol, runtime_checkable

import numpy as np

Value = None | bool | int | float | str

_TOLERANCE = 1e-8  # Optuna's tolerance, in steps: two values that are nearer count as equal


@runtime_checkable
class Axis(Protocol):
    """The values of one parameter in a fixed order."""

    def __len__(self) -> int:
        """Return the number of values."""

    def __getitem__(self, place: int) -> Value:
        """Return the value at a place, from 0."""

    def place(self, value: object) -> int | None:
        """Return the place of a value, from 0; None if the axis does not have the value."""


class Run:
    """An axis of evenly spaced integers, which may be very many.

    Args:
        name: Name of the parameter, for errors.
        values: A range of at least one integer.

    Raises:
        ValueError: The range is empty.
    """

    def __init__(self, name: str, values: range) -> None:
        if not values:
            raise ValueError(f"search_space[{name!r}]: [] cannot be used; give at least one value")
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, place: int) -> Value:
        return self._values[place]

    def place(self, value: object) -> int | None:
        """Return the place of a value, from 0; None if the axis does not have the value."""
        if isinstance(value, bool | np.bool_) or not isinstance(
            value, int | float | np.integer | np.floating
        ):
            return None
        return self._values.index(int(value)) if value in self._values else None


class Listed:
    """An axis of listed values.

    Args:
        name: Name of the parameter, for errors.
        values: At least one value.

    Raises:
        ValueError: There is no value, a value appears twice, or a storage cannot store a value.
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
        """Return the place of a value, from 0; None if the axis does not have the value.

        Numbers that differ only in their last digits are equal: 0.3 and 3 * 0.1, for example.
        """
        plain: Any = value.item() if isinstance(value, np.generic) else value
        if not (plain is None or isinstance(plain, bool | int | float | str)):
            return None
        found = self._places.get(_identity(plain))
        return self._near(_double(plain)) if found is None else found

    def _near(self, value: float) -> int | None:
        """Return the place of the nearest number if it is nearer than 1e-8 of the gap beside it."""
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
    """Convert a number to a double; return nan for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _identity(value: Value) -> tuple[bool, Value]:
    """Return a key that differs for True and 1, which Python holds equal, but not for 1 and 1.0."""
    return isinstance(value, bool), value


class Lattice:
    """The points of a product of axes, in lexicographic order: the last axis varies fastest.

    Args:
        axes: Name to values or axis, at least one.

    Attributes:
        axes: Name to axis.
        size: Number of points.

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
        """Return the point with an index in [0, size)."""
        digits: dict[str, Value] = {}
        for name, axis in reversed(self.axes.items()):
            index, digit = divmod(index, len(axis))
            digits[name] = axis[digit]
        return {name: digits[name] for name in self.axes}

    def index(self, point: Mapping[str, object]) -> int | None:
        """Return the index of a point; None if the point is not on this grid or lacks a parameter.

        Parameters that are no axis are ignored.
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
