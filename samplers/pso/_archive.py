"""What has been evaluated, and which coordinates a configuration has. Knows NumPy only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ._cube import Array, Cube
from ._rungs import Rungs

Taken = Callable[[Array], bool]
Mask = NDArray[np.bool_]

DIGITS = 12  # of a stored coordinate: what is stored is what is used, so none is lost
_SAME = 1e-9  # of a range: points that are nearer to each other are one
_MOST_VALUES = 64  # of a coordinate on which others may depend


class Conditions:
    """Which coordinates a point has, learnt from those that evaluated points had.

    In a tree, whether a coordinate exists depends on one that exists more often, its parent: with
    every value of the parent it was there always or never. With a value of the parent that was
    never seen it is taken to be missing; without such a parent, to be there.
    """

    def __init__(self, cube: Cube) -> None:
        self._cube = cube
        self._parents = np.flatnonzero((cube.levels > 0) & (cube.levels <= _MOST_VALUES))
        n, d = len(self._parents), len(cube)
        # By parent, its value (0: it is missing) and coordinate: was the coordinate there, or not?
        self._with = np.zeros((n, _MOST_VALUES + 1, d), dtype=np.bool_)
        self._without = np.zeros((n, _MOST_VALUES + 1, d), dtype=np.bool_)
        self._counts = np.zeros(d, dtype=np.int64)
        self._n = 0
        self._rules: list[tuple[int, int]] | None = None  # (coordinate, place of its parent)

    def see(self, x: Array, active: Mask) -> None:
        """Take account of an evaluated point."""
        values = np.where(active, self._cube.cells(x) + 1, 0)[self._parents]
        places = np.arange(len(self._parents))
        self._with[places, values] |= active
        self._without[places, values] |= ~active
        self._counts += active
        self._n += 1
        self._rules = None

    def active(self, x: Array) -> Mask:
        """Say which coordinates points have, (n, d) to (n, d)."""
        if self._rules is None:
            self._rules = self._learn()
        active, cells = np.ones(x.shape, dtype=np.bool_), self._cube.cells(x)
        for j, place in self._rules:
            parent = self._parents[place]
            values = np.where(active[:, parent], cells[:, parent] + 1, 0)
            active[:, j] = self._with[place, values, j]
        return active

    def _learn(self) -> list[tuple[int, int]]:
        """Find the parents; those of parents come first."""
        contradicts = np.any(self._with & self._without, axis=1)
        rules = []
        for j in np.argsort(-self._counts, kind="stable"):
            if self._counts[j] == self._n:
                continue
            could_be = ~contradicts[:, j] & (self._counts[self._parents] > self._counts[j])
            places = np.flatnonzero(could_be)
            if len(places):
                # Of several, a categorical one, then the one with fewest values.
                parents = self._parents[places]
                order = np.lexsort((self._cube.levels[parents], ~self._cube.categorical[parents]))
                rules.append((int(j), int(places[order[0]])))
        return rules


class Archive:
    """Evaluated points by number, whatever the order in which they were told.

    A coordinate that a configuration does not have stands in the middle: there, no distance and no
    key tells its points apart.
    """

    def __init__(self, cube: Cube) -> None:
        self._cube = cube
        self._conditions: Conditions | None = None
        self._points = np.empty((64, len(cube)))
        self._values = np.empty(64)
        self._numbers = np.empty(64, dtype=np.int64)
        self._masks: list[Mask | None] = []
        self._rungs = Rungs()
        self._estimated = 0  # so many evaluations the estimates take account of
        self._n = 0
        self._seen: set[bytes] = set()

    def __len__(self) -> int:
        return self._n

    @property
    def points(self) -> Array:
        """Where was looked, (n, d)."""
        return self._points[: self._n]

    @property
    def values(self) -> Array:
        """What was found there, (n,); what was given up on is estimated, or infinity."""
        if self._estimated != self._n:
            for places, values in self._rungs.estimates():
                self._values[places] = values
            self._estimated = self._n
        return self._values[: self._n]

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Of the evaluations, (n,)."""
        return self._numbers[: self._n]

    def remember(
        self,
        number: int,
        x: Array,
        value: float | None,
        active: Mask | None,
        reports: Mapping[int, float],
    ) -> None:
        """Take account of an evaluation.

        Args:
            number: Of the evaluation.
            x: Where it was made, (d,).
            value: What was found; None if it was given up on.
            active: Which coordinates the point has; None for all.
            reports: What was found before, by step: by these, what was given up on is estimated.
        """
        if self._n == len(self._values):
            self._points = np.concatenate([self._points, self._points])
            self._values = np.concatenate([self._values, self._values])
            self._numbers = np.concatenate([self._numbers, self._numbers])
        self._points[self._n] = self._cube.snap(x if active is None else np.where(active, x, 0.5))
        self._numbers[self._n] = number
        self._values[self._n] = math.inf if value is None else value
        if value is None:
            self._rungs.prune(self._n, reports)
        else:
            self._rungs.finish(value, reports)
        self._masks.append(active)
        self._n += 1
        if active is not None and self._conditions is None:
            self._conditions = Conditions(self._cube)
            for point, mask in zip(self.points[:-1], self._masks[:-1], strict=True):
                self._learn(point, mask)
        self._learn(x, active)
        self._seen.add(self._key(self.points[-1]))

    def _learn(self, x: Array, active: Mask | None) -> None:
        if self._conditions is not None:
            every = np.ones(len(self._cube), dtype=np.bool_)
            self._conditions.see(x, every if active is None else active)

    def canonical(self, xs: Array) -> Array:
        """Give points as they are remembered, (n, d) to (n, d)."""
        if self._conditions is not None:
            xs = np.where(self._conditions.active(xs), xs, 0.5)
        return self._cube.snap(xs)

    def active(self, place: int) -> Mask | None:
        """Say which coordinates an evaluated point had; None for all."""
        return self._masks[place]

    def _key(self, x: Array) -> bytes:
        # As many digits as a stored move has.
        return np.where(self._cube.levels > 0, x, np.round(x, DIGITS)).tobytes()

    def taken(
        self, running: Array, fixed: Mapping[int, float] | None, *, in_continuum: bool
    ) -> Taken:
        """Give a test of points: were they evaluated, or are they being evaluated?

        Args:
            running: Points that are being evaluated, (n, d).
            fixed: Coordinates of the asking trial that somebody else has chosen; None for none.
            in_continuum: Whether points of a continuum are tested as well, for which `fixed` is
                None: moves that stop at a wall or at the velocity's limit end at one point.
        """
        running = self.canonical(running)
        # Where a tree has branches without a continuum, its configurations would come again, too.
        is_tested = in_continuum and fixed is None
        if self._cube.is_finite or self._conditions is not None or is_tested:
            busy = {self._key(x) for x in running}
            return lambda x: (key := self._key(self._one(x))) in self._seen or key in busy
        if fixed is None:
            return lambda _: False
        # Trials that are enqueued together move the same particle. Where the velocity stops at its
        # limit, or the particle at a wall, their moves would end at one point.
        points = np.concatenate([self.points, running])
        return lambda x: bool(np.any(np.all(np.abs(points - self._one(x)) < _SAME, axis=1)))

    def _one(self, x: Array) -> Array:
        one: Array = self.canonical(x[None])[0]
        return one


def stacked(points: Iterable[Array], d: int) -> Array:
    """Give points as one array, (n, d)."""
    return np.array(list(points), dtype=np.float64).reshape(-1, d)
