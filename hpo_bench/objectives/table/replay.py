"""Replay recorded trainings: an evaluation looks its values up, epoch by epoch."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from hashlib import blake2b
from math import fsum, isfinite
from numbers import Integral
from typing import Any, Literal, get_args

import numpy as np
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.study import StudyDirection

from hpo_bench.errors import HpoBenchError, InputError, one_of
from hpo_bench.objectives.base import Evaluation, Objective
from hpo_bench.objectives.table.trainings import Trainings
from hpo_bench.spaces import Configuration, Space

Clock = Literal["measured", "simulated"]
"""Seconds that a replayed epoch counts: those of the look-up, or the recorded ones."""

TEST = "test_accuracy"
"""Name of the recorded measurement that is the test value."""


class Replay(Objective):
    """An objective that replays recorded trainings.

    A method searches a number by the index of its level; 0 is the lowest level. Each method
    therefore proposes only recorded numbers, and sees them evenly spaced. The numbers themselves
    are the measurements `recorded_<name>`. A hyperparameter of a single level is not searched.

    If a configuration has several recorded trainings, the run's seed and the configuration alone
    determine which one is replayed.
    """

    is_instant = True

    def __init__(self, *, clock: Clock = "measured", seed: int = 0) -> None:
        """Check the settings.

        Args:
            clock: `"simulated"` charges the recorded seconds without waiting; `"measured"` charges
                the time of the look-up.
            seed: Seed of the run, which chooses among the trainings of a configuration.

        Raises:
            InputError: A setting cannot be used.
        """
        if clock not in get_args(Clock):
            raise InputError("clock", clock, one_of(str(clock), get_args(Clock)))
        self.is_simulated = clock == "simulated"
        self._seed = seed

    @property
    def has_test(self) -> bool:  # type: ignore[override]
        """Whether the table has test accuracies."""
        return TEST in self.trainings.measured

    @property
    def has_held_out(self) -> bool:  # type: ignore[override]
        """Whether each configuration has two trainings or more, of which a run sees only one."""
        return int(self.trainings.counts.min()) > 1

    @property
    @abstractmethod
    def trainings(self) -> Trainings:
        """The recorded trainings, loaded on first use."""

    @property
    def search_space(self) -> Space:
        """The recorded levels: their indices for numbers, the levels themselves for choices."""
        return {
            name: IntDistribution(0, len(levels) - 1)
            if name in self.trainings.numeric
            else CategoricalDistribution(levels)
            for name, levels in self.trainings.levels.items()
            if len(levels) > 1
        }

    @property
    def optimum(self) -> dict[str, float]:
        """The best recorded values of full trainings: measure -> value.

        `validation` and `test` are the values of the best single training, as a run can see it.
        `held_out` and `held_out_test` are the best means over the trainings of a configuration, as
        a run does not see them.
        """
        trainings, is_max = self.trainings, self.directions[0] is StudyDirection.MAXIMIZE
        recorded = {"validation": trainings.values, "test": trainings.measured.get(TEST)}
        made = {}
        for name, found in recorded.items():
            last = None if found is None else found[:, :, -1]
            if last is None or not np.isfinite(last).any():
                continue
            best = np.nanmax if is_max or name == "test" else np.nanmin
            made[name] = float(best(last))
            if self.has_held_out:
                held_out = {"validation": "held_out", "test": "held_out_test"}[name]
                there = last[np.isfinite(last).any(axis=1)]
                made[held_out] = float(best(np.nanmean(there, axis=1)))
        return made

    def prepare(self) -> None:
        """Load the recorded trainings."""
        _ = self.trainings

    def start(self, configuration: Configuration) -> Replayed:
        """Start the replay of a training of a configuration.

        Raises:
            InputError: A name is missing or unknown, or nothing was recorded there.
        """
        key, told = self.locate(configuration)
        trainings = self.trainings
        row = trainings.rows[key]
        which = _drawn(self._seed, key, int(trainings.counts[row]))
        return Replayed(trainings, row, which, told | {"recorded_training": which}, self)

    def locate(self, configuration: Configuration) -> tuple[tuple[int, ...], dict[str, float]]:
        """Find a recorded configuration.

        Returns:
            The index of each hyperparameter's level, and the measurements to record about it.

        Raises:
            InputError: Nothing was recorded there.
        """
        trainings = self.trainings
        searched = trainings.searched
        if configuration.keys() != searched:
            names = [name for name in trainings.levels if name in searched]
            expected = f"expected a value of each: {', '.join(names)}"
            raise InputError("configuration", configuration, expected)
        key = tuple(
            _place(trainings, name, configuration[name]) if name in searched else 0
            for name in trainings.levels
        )
        if key not in trainings.rows:
            raise InputError("configuration", configuration, "nothing was recorded there")
        return key, recorded_values(trainings, key)

    def restore(self, configuration: Configuration, checkpoint: bytes) -> Replayed:
        """Continue a replay from a checkpoint.

        Raises:
            InputError: A name is missing or unknown, or nothing was recorded there.
            HpoBenchError: The checkpoint is damaged.
        """
        replayed = self.start(configuration)
        try:
            replayed.fidelity = int(json.loads(checkpoint)["epoch"])
        except (ValueError, KeyError, TypeError) as error:
            raise HpoBenchError(f"the checkpoint is damaged: {error}") from error
        return replayed


class Replayed(Evaluation):
    """The replay of one recorded training.

    Args:
        trainings: All recorded trainings.
        row: Index of the configuration in their arrays.
        which: Index of the training among those of the configuration.
        told: Measurements that are the same after every epoch.
        objective: The objective, whose clock decides the seconds.
    """

    def __init__(
        self,
        trainings: Trainings,
        row: int,
        which: int,
        told: Mapping[str, float],
        objective: Replay,
    ) -> None:
        self._trainings = trainings
        self._row = row
        self._which = which
        self._values = trainings.values[row, which]
        self._seconds = trainings.seconds[row, which]
        self._measured = {name: found[row, which] for name, found in trainings.measured.items()}
        self._told = told
        self._is_simulated = objective.is_simulated
        self._has_held_out = objective.has_held_out

    def advance(self) -> float:
        """Return the recorded value after the next epoch; NaN if the training failed there."""
        epoch = self.fidelity
        self.fidelity += 1
        self.simulated_seconds = float(self._seconds[epoch]) if self._is_simulated else 0.0
        return float(self._values[epoch])

    def measurements(self) -> dict[str, float]:
        """Return the recorded measurements after the last epoch, and those of the configuration."""
        epoch = self.fidelity - 1
        measured = {n: float(found[epoch]) for n, found in self._measured.items()}
        return {**measured, **self._held_out(epoch), **self._told}

    def _held_out(self, epoch: int) -> dict[str, float]:
        """Return the means over the configuration's other trainings, which the run does not see.

        Failed trainings are left out; if all have failed, there is no mean.
        """
        if not self._has_held_out:
            return {}
        recorded = {"held_out": self._trainings.values}
        if TEST in self._trainings.measured:
            recorded["held_out_test"] = self._trainings.measured[TEST]
        made = {}
        for name, found in recorded.items():
            all_of_them = found[self._row, :, epoch].tolist()
            others = [v for i, v in enumerate(all_of_them) if i != self._which and isfinite(v)]
            if others:
                made[name] = fsum(others) / len(others)
        return made

    def checkpoint(self) -> bytes:
        """Return the current epoch as JSON."""
        return json.dumps({"epoch": self.fidelity}).encode()


def recorded_values(trainings: Trainings, key: tuple[int, ...]) -> dict[str, float]:
    """Return the numbers of a recorded configuration as measurements `recorded_<name>`."""
    return {
        f"recorded_{name}": levels[place]
        for (name, levels), place in zip(trainings.levels.items(), key, strict=True)
        if name in trainings.numeric
    }


def _place(trainings: Trainings, name: str, value: Any) -> int:
    """Return the index of the level that a value of the search space means."""
    levels = trainings.levels[name]
    if name not in trainings.numeric:
        if value not in levels:
            raise InputError(f"configuration.{name}", value, f"expected one of {list(levels)}")
        return int(levels.index(value))
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or value not in range(len(levels)):
        expected = f"expected the index of a level, 0 to {len(levels) - 1} for {list(levels)}"
        raise InputError(f"configuration.{name}", value, expected)
    return int(value)


def _drawn(seed: int, key: tuple[int, ...], count: int) -> int:
    """Choose one of `count` trainings by the seed and the configuration."""
    # A CRC would not do: the CRCs of two seeds differ by the same bits for every configuration.
    digest = blake2b(f"{seed}/{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % count
