"""Recorded trainings in memory: the recorded configurations, and the curves of their trainings."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives.table.files import MAX_CELLS, OWN_COLUMNS, Card, Columns, read
from hpo_bench.spaces import Space, distribution

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trainings:
    """Trainings of the configurations of a grid, or of a part of a grid.

    The arrays have shape (configurations, trainings, epochs), and NaN where nothing was recorded.
    """

    levels: Mapping[str, Sequence[Any]]
    """Name -> recorded values: numbers ascending, other choices in the order of the space."""
    rows: Mapping[tuple[int, ...], int]
    """Index of each hyperparameter's level -> index of the configuration in the arrays."""
    counts: NDArray[np.int64]
    """Number of trainings of each configuration, 1 or more, shape (configurations,)."""
    values: Floats
    """Value after each epoch; NaN from the epoch in which a training failed."""
    seconds: Floats
    """Seconds of each epoch, 0 or more."""
    measured: Mapping[str, Floats]
    """Name of another measurement -> its values after each epoch."""

    @functools.cached_property
    def numeric(self) -> frozenset[str]:
        """The hyperparameters whose levels are numbers: they are searched by the level's index."""
        return frozenset(name for name, found in self.levels.items() if are_numbers(found))

    @functools.cached_property
    def searched(self) -> frozenset[str]:
        """The hyperparameters that have more than one recorded level."""
        return frozenset(name for name, found in self.levels.items() if len(found) > 1)


@dataclass(frozen=True)
class Recording:
    """The content of a table."""

    card: Card
    """Description of the table."""
    space: Space
    """Space from which the configurations come."""
    trainings: Trainings
    """The recorded trainings."""
    sha256: str
    """SHA-256 of the file, in hexadecimal."""


def load(path: Path) -> Recording:
    """Read a table, and check that it has no gaps; an unchanged file is read only once.

    Raises:
        HpoBenchError: The file does not exist, is not a table, or has gaps; the text says which.
    """
    status = path.stat() if path.exists() else None
    return _load(path, status and (status.st_size, status.st_mtime_ns, status.st_ino))


@functools.lru_cache(maxsize=8)
def _load(path: Path, _version: tuple[int, ...] | None) -> Recording:
    card, columns, sha256 = read(path)
    try:
        space: Space = {
            name: distribution(f"space.{name}", table) for name, table in card.space.items()
        }
        trainings = _gather(columns, space, card.max_fidelity)
    except (HpoBenchError, ValueError) as error:
        raise HpoBenchError(f"{path} cannot be replayed: {error}") from None
    return Recording(card, space, trainings, sha256)


def _gather(columns: Columns, space: Space, max_fidelity: int) -> Trainings:
    """Arrange the rows of a table in arrays.

    Raises:
        ValueError: A cell is invalid, an epoch is missing or appears twice, or the arrays would be
            too large.
    """
    parameters = {name: _parsed(name, columns[name], dist) for name, dist in space.items()}
    levels = {name: _levels(values, space[name]) for name, values in parameters.items()}
    places = [_places(levels[name], values) for name, values in parameters.items()]
    keys = list(zip(*places, strict=True))
    seeds, epochs = (_whole(name, columns[name]) for name in ("seed", "epoch"))
    rows = {key: row for row, key in enumerate(dict.fromkeys(keys))}
    trainings: dict[tuple[int, int], int] = {}  # (configuration, seed) -> which of its trainings
    counts = np.zeros(len(rows), dtype=np.int64)
    for key, seed in zip(keys, seeds, strict=True):
        row = rows[key]
        if (row, seed) not in trainings:
            trainings[row, seed] = counts[row]
            counts[row] += 1
    at = (
        [rows[key] for key in keys],
        [trainings[rows[key], seed] for key, seed in zip(keys, seeds, strict=True)],
        [epoch - 1 for epoch in epochs],
    )
    if not keys:
        raise ValueError("there is no row")
    if min(epochs) < 1 or max(epochs) > max_fidelity:
        raise ValueError(f"epoch: expected 1 to {max_fidelity}, the card's max_fidelity")
    shape = (len(rows), int(counts.max()), max_fidelity)
    if math.prod(shape) * (len(columns) - len(space)) > MAX_CELLS:
        told = f"{shape[0]:,} configurations x {shape[1]:,} trainings x {max_fidelity:,} epochs"
        raise ValueError(f"{told} of each measurement are more than {MAX_CELLS:,} numbers")

    def array(name: str) -> Floats:
        filled = np.full(shape, math.nan)
        filled[at] = np.asarray(columns[name], dtype=float)
        return filled

    others = [name for name in columns if name not in {*space, *OWN_COLUMNS}]
    is_there = np.zeros(shape, dtype=bool)
    is_there[at] = True
    made = Trainings(
        levels,
        rows,
        counts,
        array("value"),
        array("seconds"),
        {name: array(name) for name in others},
    )
    _check_whole(made, is_there, len(keys))
    return made


def _check_whole(trainings: Trainings, is_there: NDArray[np.bool_], n_rows: int) -> None:
    """Check that each training has all its epochs, up to its end or its failure, exactly once."""
    if is_there.sum() != n_rows:
        raise ValueError("an epoch of a training stands there twice")
    exists = np.arange(is_there.shape[1]) < trainings.counts[:, None]
    went_well = np.isfinite(trainings.values)
    failed_before = np.cumsum(is_there & ~went_well, axis=2) > 0
    gaps = exists[:, :, None] & ~is_there & ~failed_before
    if gaps.any():
        row, _, epoch = np.argwhere(gaps)[0]
        key = next(key for key, found in trainings.rows.items() if found == row)
        named = {
            name: values[place]
            for (name, values), place in zip(trainings.levels.items(), key, strict=True)
        }
        raise ValueError(f"a training of {named} lacks epoch {epoch + 1}")
    seconds = trainings.seconds[is_there]
    if not (np.isfinite(seconds) & (seconds >= 0)).all():
        raise ValueError("seconds: expected 0 or more in every row")


def _parsed(name: str, values: Sequence[Any], dist: BaseDistribution) -> list[Any]:
    if isinstance(dist, CategoricalDistribution):
        choices = {str(choice): choice for choice in dist.choices}
        unknown = next((value for value in values if str(value) not in choices), None)
        if unknown is not None:
            raise ValueError(f"{name}: {unknown!r} is not one of the card's choices")
        return [choices[str(value)] for value in values]
    if isinstance(dist, IntDistribution):
        return _whole(name, values)
    return [float(value) for value in values]


def _whole(name: str, values: Sequence[Any]) -> list[int]:
    try:
        # Other programs write an integer as 4.0; but 4.5 must be an error, not 4.
        return [int(str(value).removesuffix(".0")) for value in values]
    except ValueError as error:
        raise ValueError(f"{name}: expected whole numbers; {error}") from None


def _places(levels: Sequence[Any], values: Sequence[Any]) -> list[int]:
    place_of = {level: place for place, level in enumerate(levels)}
    return [place_of[value] for value in values]


def _levels(values: Sequence[Any], dist: BaseDistribution) -> list[Any]:
    found = set(values)
    if isinstance(dist, CategoricalDistribution):
        levels = [choice for choice in dist.choices if choice in found]
        return sorted(levels) if are_numbers(levels) else levels
    return sorted(found)


def are_numbers(levels: Sequence[Any]) -> bool:
    """Return whether all levels are numbers, so that they have an order."""
    return all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels)


def unit(dist: BaseDistribution, value: float) -> float:
    """Return the position of a number in its range, 0 to 1, on a log scale if the range has one."""
    assert isinstance(dist, IntDistribution | FloatDistribution)
    if dist.low == dist.high:
        return 0.0
    scale = math.log if dist.log else float
    low, high = scale(dist.low), scale(dist.high)
    return (scale(value) - low) / (high - low)
