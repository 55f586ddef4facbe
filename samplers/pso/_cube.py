"""The unit cube that a swarm moves in, and how a model sees its points. Knows NumPy only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LONG_LIST = 64  # choices of which each has a column of the model


@dataclass(frozen=True)
class Cube:
    """What each coordinate of the unit cube stands for.

    Args:
        levels: How many values each coordinate has, 0 for a continuum.
        categorical: Whether the values have no order.
        edges: The walls between the cells of coordinates whose cells are not of equal width.
    """

    levels: NDArray[np.int64]
    categorical: NDArray[np.bool_]
    edges: Mapping[int, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.levels)

    @property
    def is_finite(self) -> bool:
        """Whether there are finitely many points."""
        return bool(np.all(self.levels > 0))

    def cells(self, x: Array) -> NDArray[np.int64]:
        """Say in which cell each coordinate lies; what they say of a continuum means nothing."""
        cells = np.floor(x * self.levels).astype(np.int64)
        for j, edges in self.edges.items():
            cells[..., j] = np.searchsorted(edges, x[..., j], side="right") - 1
        return np.clip(cells, 0, np.maximum(self.levels - 1, 0))

    def middles(self, cells: NDArray[np.int64]) -> Array:
        """Give the middles of cells, beyond the last cell those of the last."""
        cells = np.clip(cells, 0, np.maximum(self.levels - 1, 0))
        middles: Array = (cells + 0.5) / np.maximum(self.levels, 1)
        for j, edges in self.edges.items():
            middles[..., j] = (edges[cells[..., j]] + edges[cells[..., j] + 1]) / 2
        return middles

    def snap(self, x: Array) -> Array:
        """Move coordinates with levels to the middle of their cells."""
        snapped: Array = np.where(self.levels > 0, self.middles(self.cells(x)), x)
        return snapped

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """Draw n points anywhere."""
        return self.snap(rng.random((n, len(self))))

    def key(self, x: Array) -> bytes:
        """Give what is equal for points that stand for the same configuration."""
        return self.snap(x).tobytes()


class Coding:
    """How a model sees points: categorical coordinates as one column per choice.

    Two choices are at distance 1. Of a long list, choices that none of the points has share a
    column: it costs no more than a short one.

    Args:
        cube: What the coordinates stand for.
        points: Those whose choices are told apart, (n, d).

    Attributes:
        owners: For each column, the index of the coordinate that it belongs to.
    """

    def __init__(self, cube: Cube, points: Array) -> None:
        self._cube = cube
        self._numeric = np.flatnonzero(~cube.categorical)
        self._choices: dict[int, NDArray[np.int64]] = {}
        owners = self._numeric.tolist()
        for j in np.flatnonzero(cube.categorical).tolist():
            choices, n_columns = np.arange(cube.levels[j]), int(cube.levels[j])
            if self._is_long(j):
                choices = np.unique(cube.cells(points)[:, j])
                n_columns = len(choices) + 1
            self._choices[j] = choices
            owners += [j] * n_columns
        self.owners = np.array(owners, dtype=np.int64)

    def _is_long(self, j: int) -> bool:
        return bool(self._cube.levels[j] > _LONG_LIST)

    def __call__(self, x: Array) -> Array:
        """Encode points, (n, d), as (n, columns)."""
        columns, cells = [x[:, self._numeric]], self._cube.cells(x)
        for j, choices in self._choices.items():
            own = cells[:, [j]] == choices
            columns.append(own * math.sqrt(0.5))
            if self._is_long(j):
                columns.append(~own.any(axis=1, keepdims=True) * math.sqrt(0.5))
        return np.concatenate(columns, axis=1)
