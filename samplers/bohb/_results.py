"""Collect the results at each budget from the trials of a study."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from samplers._base.spaces import digest_of

from ._model import Array
from ._space import Space

_WHOLE = "whole"  # the budget of evaluations that were not pruned


def has_result(trial: FrozenTrial) -> bool:
    """Return whether a trial is COMPLETE, or PRUNED after a report."""
    # With a strict pruner, the first COMPLETE trial comes late: pruned ones must count.
    pruned = trial.state == TrialState.PRUNED and bool(trial.intermediate_values)
    return pruned or trial.state == TrialState.COMPLETE


class Results:
    """The losses of a study's trials at each budget; finished trials are entered once.

    Args:
        space: The search space; trials with values outside of it are left out.
        direction: Direction of the study.
        needed: Number of results at a budget that make a model.
    """

    def __init__(self, space: Space, direction: StudyDirection, needed: int) -> None:
        self.space = space
        self.digest = digest_of(space.distributions)
        self.points = np.empty((0, len(space.levels)))  # a row for each trial number
        self._sign = -1.0 if direction == StudyDirection.MAXIMIZE else 1.0
        self._needed = needed
        self._reports: dict[int, dict[int, float]] = {}  # step -> trial number -> loss
        self._largest = 0  # largest step with enough results; reports below it are dropped
        self._values: dict[int, float] = {}  # number of a COMPLETE or FAIL trial -> loss
        self._last_step = -1  # last step of the longest COMPLETE trial
        self._retried: set[int] = set()
        self._pending: list[int] = []
        self._n_read = 0
        self._all: dict[int, float] | None = None  # result of `_whole` until the next update

    @property
    def budget(self) -> int | str | None:
        """The largest budget with enough results for a model: "whole", or a step, or None."""
        if len(self._whole()) >= self._needed:
            return _WHOLE
        return self._largest if len(self._at_step(self._largest)) >= self._needed else None

    def at(self, budget: int | str) -> tuple[Array, Array]:
        """Return the results at a budget.

        Returns:
            The numbers of the trials with a result, ascending, and their losses, to be minimised.
        """
        # By number and not by arrival, because a restarted process does not know the arrival.
        results = self._at_step(budget) if isinstance(budget, int) else self._whole()
        numbers = np.fromiter(results.keys(), np.int64, len(results))
        losses = np.fromiter(results.values(), np.float64, len(results))
        if (numbers[1:] > numbers[:-1]).all():  # usually true; sorting is the slowest step here
            return numbers, losses
        order = np.argsort(numbers)
        return numbers[order], losses[order]

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        """Enter the changes since the last call; `trials` are those of the study, by number."""
        self._all = None
        candidates = [*self._pending, *range(self._n_read, len(trials))]
        self._reserve(len(trials))
        for number in range(self._n_read, len(trials)):
            # A trial that died with its worker says nothing about its configuration.
            for retried in trials[number].system_attrs.get("retry_history", ()):
                self._retried.add(retried)
                self._values.pop(retried, None)
        self._n_read = len(trials)
        self._pending = [n for n in candidates if not trials[n].state.is_finished()]
        for number in candidates:
            self._enter(trials[number])

    def _enter(self, trial: FrozenTrial) -> None:
        x = self.space.encode(trial.params)
        if x is None:
            return
        self.points[trial.number] = x
        for step, value in trial.intermediate_values.items():
            self._report(trial.number, step, value)
        if trial.state == TrialState.COMPLETE:
            self._values[trial.number] = self._loss(trial.value)
            self._last_step = max([self._last_step, *trial.intermediate_values])
        elif trial.state == TrialState.FAIL and trial.number not in self._retried:
            self._values[trial.number] = math.inf

    def _report(self, number: int, step: int, value: float) -> None:
        if step < self._largest:
            return
        results = self._reports.setdefault(step, {})
        results[number] = self._loss(value)
        if len(results) >= self._needed and step > self._largest:
            self._largest = step
            self._reports = {s: r for s, r in self._reports.items() if s >= step}

    def _loss(self, value: float | None) -> float:
        # HpBandSter treats each value that is not finite as a failure, also minus infinity.
        return self._sign * value if value is not None and math.isfinite(value) else math.inf

    def _at_step(self, step: int) -> dict[int, float]:
        return self._reports.get(step, {})

    def _whole(self) -> dict[int, float]:
        """Return the results of whole evaluations, and of pruned ones that came as far."""
        if self._all is None:
            self._all = {**self._at_step(self._last_step), **self._values}
        return self._all

    def _reserve(self, n_trials: int) -> None:
        missing = n_trials - len(self.points)
        if missing > 0:
            # At least double the rows, so that a growing study is copied rarely.
            room = np.full((max(missing, len(self.points)), self.points.shape[1]), np.nan)
            self.points = np.concatenate([self.points, room])
