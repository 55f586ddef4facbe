"""The objective `table`, which replays a table of recorded trainings from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection

from hpo_bench.errors import InputError, one_of
from hpo_bench.objectives.table.files import check_path
from hpo_bench.objectives.table.replay import Clock, Replay, recorded_values
from hpo_bench.objectives.table.trainings import Trainings, load, unit
from hpo_bench.spaces import Configuration, Space, check_value


class Table(Replay):
    """Replays the trainings of a table that `hpo-bench record` wrote.

    Without `snap`, the space holds the recorded configurations, and another configuration is an
    error. With `snap`, the space is the one from which the recorded configurations come, and the
    nearest recorded configuration is replayed. The distance is Euclidean in the unit cube of the
    space (on a log scale if the range has one), among configurations with the same choices. The
    measurement `snap_distance` records it, and `recorded_<name>` the replayed numbers.
    """

    def __init__(
        self,
        table: str | Path,
        *,
        data_dir: str | Path | None = None,
        snap: bool = False,
        clock: Clock = "measured",
        seed: int = 0,
    ) -> None:
        """Check the settings, and read the table.

        Args:
            table: A file ending in `.csv`, `.csv.gz` or `.parquet`, or the name of a table that
                comes with the package.
            data_dir: The directory to which a relative path refers; None: the working directory.
            snap: Whether to replay the nearest recorded configuration instead of an error.
            clock: `"simulated"` charges the recorded seconds without waiting; `"measured"` charges
                the time of the look-up.
            seed: Seed of the run, which chooses among the trainings of a configuration.

        Raises:
            InputError: A setting cannot be used.
            HpoBenchError: The table does not exist, cannot be read, or has gaps.
            MissingExtraError: It is a Parquet file, and pyarrow is not installed.
        """
        super().__init__(clock=clock, seed=seed)
        for field, path in (("table", table), ("data_dir", data_dir or "")):
            if not isinstance(path, str | Path):
                raise InputError(field, path, "expected a path")
        if not isinstance(snap, bool):
            raise InputError("snap", snap, "expected true or false")
        self._recording = load(_find(table, Path(data_dir or "").expanduser()).absolute())
        self._snap = snap
        card = self._recording.card
        self.metric_name = card.metric
        self.fidelity_name = card.fidelity
        self.max_fidelity = card.max_fidelity

    @property
    def trainings(self) -> Trainings:
        """The recorded trainings of the table."""
        return self._recording.trainings

    @property
    def directions(self) -> list[StudyDirection]:
        """The direction on the table's card, in a list of one."""
        return [StudyDirection[self._recording.card.direction.upper()]]

    @property
    def search_space(self) -> Space:
        """The recorded levels; with `snap` the ranges and choices from which they come."""
        if not self._snap:
            return super().search_space
        levels = self.trainings.levels
        return {name: d for name, d in self._recording.space.items() if len(levels[name]) > 1}

    @property
    def default(self) -> Configuration | None:
        """The recorded objective's default configuration; None if it cannot be replayed."""
        named = self._recording.card.default
        space = self.search_space
        if named is None or not named.keys() >= space.keys():
            return None
        if not self._snap:
            levels = self.trainings.levels
            named = {n: _index(levels[n], named[n], dist) for n, dist in space.items()}
        default = {name: named[name] for name in space}
        try:
            self.locate(default)
        except InputError:
            return None
        return default

    def locate(self, configuration: Configuration) -> tuple[tuple[int, ...], dict[str, float]]:
        """Find the recorded configuration; with `snap` the nearest one.

        Returns:
            The index of each hyperparameter's level, and the measurements to record about it.

        Raises:
            InputError: Nothing was recorded there, or a value is outside the space.
        """
        if not self._snap:
            return super().locate(configuration)
        space = self.search_space
        if configuration.keys() != space.keys():
            expected = f"expected a value of each: {', '.join(space)}"
            raise InputError("configuration", configuration, expected)
        point = []
        for name, dist in space.items():
            value = check_value(f"configuration.{name}", configuration[name], dist)
            is_choice = isinstance(dist, CategoricalDistribution)
            levels = self.trainings.levels[name]
            if is_choice and value not in levels:
                raise InputError(f"configuration.{name}", value, f"only {levels} were recorded")
            point.append(levels.index(value) if is_choice else unit(dist, value))
        key, distance = self._nearest(np.array(point), configuration)
        return key, {**recorded_values(self.trainings, key), "snap_distance": distance}

    def describe(self) -> Mapping[str, Any]:
        """Describe the table: its name, hash and size, and the data that it was recorded on."""
        recording = self._recording
        card = recording.card
        data = {**card.data}
        trained_on = data.pop("data", None)
        what = f": {card.description}" if card.description else ""
        of = "" if trained_on is None else f"; trained on {trained_on}"
        return {
            "data": f"recorded trainings {card.name!r}{what}{of}",
            **data,
            "table_sha256": recording.sha256,
            "recorded_configurations": len(recording.trainings.rows),
            "recorded_trainings": int(recording.trainings.counts.sum()),
        }

    def _nearest(
        self, point: NDArray[np.float64], configuration: Configuration
    ) -> tuple[tuple[int, ...], float]:
        away = self._points - point
        # The coordinates of choices are indices: another choice is infinitely far away.
        away[:, self._are_choices] = np.where(away[:, self._are_choices] == 0, 0.0, np.inf)
        distances = np.sqrt((away**2).sum(axis=1))
        nearest = int(distances.argmin())
        if not np.isfinite(distances[nearest]):
            raise InputError("configuration", configuration, "nothing with these choices recorded")
        return self._keys[nearest], float(distances[nearest])

    @cached_property
    def _keys(self) -> list[tuple[int, ...]]:
        return list(self.trainings.rows)

    @cached_property
    def _are_choices(self) -> NDArray[np.bool_]:
        kinds = [isinstance(d, CategoricalDistribution) for d in self.search_space.values()]
        return np.array(kinds)

    @cached_property
    def _points(self) -> NDArray[np.float64]:
        """The recorded configurations in the unit cube, shape (configurations, searched names).

        A choice is the index of its level.
        """
        levels = self.trainings.levels
        searched = [place for place, name in enumerate(levels) if name in self.search_space]
        scales = [
            range(len(levels[name]))
            if isinstance(dist, CategoricalDistribution)
            else [unit(dist, level) for level in levels[name]]
            for name, dist in self.search_space.items()
        ]
        return np.array(
            [
                [scale[key[place]] for scale, place in zip(scales, searched, strict=True)]
                for key in self._keys
            ]
        )


def shipped() -> dict[str, Path]:
    """Return the tables that come with the package: name -> file."""
    folder = Path(str(files("hpo_bench") / "tables"))
    return {path.name.removesuffix(".csv.gz"): path for path in sorted(folder.glob("*.csv.gz"))}


def _index(levels: Sequence[Any], value: Any, dist: BaseDistribution) -> Any:
    """Return a value as the space has it: a choice, or the index of a level.

    A number without a level gives -1, which is outside of every space of levels.
    """
    if isinstance(dist, CategoricalDistribution):
        return value
    return levels.index(value) if value in levels else -1


def _find(table: str | Path, directory: Path) -> Path:
    if table in shipped():
        return shipped()[str(table)]
    path = directory / Path(table).expanduser()
    try:
        check_path("table", path)
    except InputError as error:
        expected = f"{error.expected}; or the name of a table: {one_of(str(table), shipped())}"
        raise InputError("table", str(table), expected) from None
    return path
