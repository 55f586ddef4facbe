"""Replaying recorded trainings: an evaluation is looked up, epoch by epoch."""

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

TEST = "test_accuracy"


class Replay(Objective):
    """An objective whose trainings are all recorded.

    Numbers are searched by the index of their level, 0 being the lowest, so that every method
    sees the recorded ones, and sees them evenly spaced; the values themselves are measurements,
    `recorded_<name>`. What has a single level is not searched.

    Which of the recorded trainings of a configuration is replayed depends on the run's seed and
    the configuration alone.
    """

    is_instant = True

    def __init__(self, *, clock: Clock = "measured", seed: int = 0) -> None:
        """Check the settings.

        Args:
            clock: `"simulated"` counts the recorded seconds as spent, without waiting;
                `"measured"` what looking them up takes.
            seed: Of the run; draws the trainings.

        Raises:
            InputError: A setting cannot be used.
        """
        if clock not in get_args(Clock):
            raise InputError("clock", clock, one_of(str(clock), get_args(Clock)))
        self.is_simulated = clock == "simulated"
        self._seed = seed

    @property
    def has_test(self) -> bool:  # type: ignore[override]
        """Whether test accuracies were recorded."""
        return TEST in self.trainings.measured

    @property
    def has_held_out(self) -> bool:  # type: ignore[override]
        """Whether each configuration was trained twice at least: a run sees one of these."""
        return int(self.trainings.counts.min()) > 1

    @property
    @abstractmethod
    def trainings(self) -> Trainings:
        """What is replayed; loaded on first use."""

    @property
    def search_space(self) -> Space:
        """The recorded levels: by index, or by name where they are choices."""
        return {
            name: IntDistribution(0, len(levels) - 1)
            if name in self.trainings.numeric
            else CategoricalDistribution(levels)
            for name, levels in self.trainings.levels.items()
            if len(levels) > 1
        }

    @property
    def optimum(self) -> dict[str, float]:
        """The best that full trainings came to.

        `validation` and `test` are of the best single training, which is what a run can see;
        `held_out` and `held_out_test` are of the configuration with the best mean over trainings,
        which is what the trainings that a run does not see come to on average.
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
        """Load the trainings."""
        _ = self.trainings

    def start(self, configuration: Configuration) -> Replayed:
        """Begin to replay a training of a configuration.

        Raises:
            InputError: A name is missing, another is given, or nothing was recorded there.
        """
        key, told = self.locate(configuration)
        trainings = self.trainings
        row = trainings.rows[key]
        which = _drawn(self._seed, key, int(trainings.counts[row]))
        return Replayed(trainings, row, which, told | {"recorded_training": which}, self)

    def locate(self, configuration: Configuration) -> tuple[tuple[int, ...], dict[str, float]]:
        """Find the recorded configuration; give it by its levels, and what to record of it.

        Raises:
            InputError: There is none.
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
        """Go on from a checkpoint.

        Raises:
            HpoBenchError: It is damaged.
        """
        replayed = self.start(configuration)
        try:
            replayed.fidelity = int(json.loads(checkpoint)["epoch"])
        except (ValueError, KeyError, TypeError) as error:
            raise HpoBenchError(f"the checkpoint is damaged: {error}") from error
        return replayed


class Replayed(Evaluation):
    """One recorded training."""

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
        """Look up the value after the next epoch; NaN if the training failed there."""
        epoch = self.fidelity
        self.fidelity += 1
        self.simulated_seconds = float(self._seconds[epoch]) if self._is_simulated else 0.0
        return float(self._values[epoch])

    def measurements(self) -> dict[str, float]:
        """Look up what was measured after the last epoch; say which training it is, and of what."""
        epoch = self.fidelity - 1
        measured = {n: float(found[epoch]) for n, found in self._measured.items()}
        return {**measured, **self._held_out(epoch), **self._told}

    def _held_out(self, epoch: int) -> dict[str, float]:
        """Give the means of the configuration's other trainings, which the run does not see.

        Those that failed are left out; where all did, there is no mean.
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
        """Note the epoch."""
        return json.dumps({"epoch": self.fidelity}).encode()


def recorded_values(trainings: Trainings, key: tuple[int, ...]) -> dict[str, float]:
    """Name the numbers of a recorded configuration as measurements."""
    return {
        f"recorded_{name}": levels[place]
        for (name, levels), place in zip(trainings.levels.items(), key, strict=True)
        if name in trainings.numeric
    }


def _place(trainings: Trainings, name: str, value: Any) -> int:
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
    # A checksum would not do: those of two seeds differ by the same bits for every configuration.
    digest = blake2b(f"{seed}/{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % count
