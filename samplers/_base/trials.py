"""The trials of a study, read as rarely as possible, and their turns."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from .private import is_same, read_trial, read_trials

if TYPE_CHECKING:
    from optuna.study import Study

_FEW = 2  # most trials that are read one by one: so many cost as much as one query for all


class AnotherStudy(Exception):  # noqa: N818 - a finding, not a fault
    """The known study was deleted, and another study with its name exists now."""


class Trials:
    """The trials of a study, by number; only trials that can have changed are read again.

    If every request read all trials, its cost would grow with the study.

    Raises:
        AnotherStudy: A method finds another trial under a number than before.
    """

    def __init__(self) -> None:
        self._trials: list[FrozenTrial] = []
        self._unfinished: set[int] = set()
        self._announced: FrozenTrial | None = None
        self._read_for: int | None = None

    @property
    def known(self) -> Sequence[FrozenTrial]:
        """The trials as of the last read."""
        return self._trials

    def announce(self, trial: FrozenTrial) -> None:
        """Enter a trial that was just created, so that it need not be read."""
        if trial.number < len(self._trials):
            known = self._trials[trial.number]
            if known.state.is_finished() or not is_same(known, trial):
                raise AnotherStudy
        self._announced = trial

    def up_to(self, study: Study, number: int) -> Sequence[FrozenTrial]:
        """Return at least the trials up to a number, as of the first call with this number."""
        if number != self._read_for:
            stale = [*sorted(self._unfinished), *range(len(self._trials), number + 1)]
            if len([n for n in stale if n != number]) > _FEW:
                self.all(study)
            else:
                if self._trials and not self._unfinished:
                    stale.insert(0, len(self._trials) - 1)  # this read would notice another study
                for n in stale:
                    self._put(self._read(study, n, is_asking=n == number))
            self._read_for = number
        return self._trials

    def all(self, study: Study) -> Sequence[FrozenTrial]:
        """Read and return all trials as they are now."""
        trials = read_trials(study)
        if len(trials) < len(self._trials) or not all(map(is_same, self._trials[:1], trials)):
            raise AnotherStudy
        self._trials = trials
        self._unfinished = {t.number for t in self._trials if not t.state.is_finished()}
        self._read_for = None
        return self._trials

    def _read(self, study: Study, number: int, *, is_asking: bool) -> FrozenTrial:
        known = self._announced
        if is_asking and known is not None and known.number == number:
            return known
        try:
            return read_trial(study, number)
        except KeyError as error:
            raise AnotherStudy from error

    def _put(self, trial: FrozenTrial) -> None:
        if trial.number == len(self._trials):
            self._trials.append(trial)
        elif is_same(self._trials[trial.number], trial):
            self._trials[trial.number] = trial
        else:
            raise AnotherStudy
        if trial.state.is_finished():
            self._unfinished.discard(trial.number)
        else:
            self._unfinished.add(trial.number)


def is_enqueued(trial: FrozenTrial) -> bool:
    """Return whether a user enqueued the trial, also if it has no fixed parameter."""
    return "fixed_params" in trial.system_attrs


def fixed_params(trial: FrozenTrial) -> Mapping[str, Any]:
    """Return the parameters that were fixed when the trial was enqueued: name -> value."""
    fixed: Mapping[str, Any] = trial.system_attrs.get("fixed_params", {})
    return fixed


def has_no_turn(trial: FrozenTrial) -> bool:
    """Return whether the trial was enqueued, by a user or as the retry of a stale trial."""
    # Optuna sets both attributes when it creates the trial, so the answer never changes.
    return not {"fixed_params", "failed_trial"}.isdisjoint(trial.system_attrs)


class Turns:
    """The turns of a study's trials.

    The turn of a trial is its number minus the number of earlier trials without a turn.
    """

    def __init__(self) -> None:
        self._without: list[int] = []

    @property
    def n_without(self) -> int:
        """Number of trials without a turn."""
        return len(self._without)

    def leave_out(self, number: int) -> None:
        """Enter the trial with a number as one without a turn."""
        bisect.insort(self._without, number)

    def at(self, number: int) -> int:
        """Return the turn of the trial with a number, from 0."""
        return number - bisect.bisect_left(self._without, number)

    def of(self, trial: FrozenTrial) -> int:
        """Return the turn of a trial, from 0; a retry has the turn of the trial that it retries."""
        return self.at(trial.system_attrs.get("failed_trial", trial.number))
