"""The trials of a study, read no more often than needed, and the turns that they take."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from .private import is_same, read_trial, read_trials

if TYPE_CHECKING:
    from optuna.study import Study

_FEW = 2  # trials that are read one by one: that many cost as much as a query for all


class AnotherStudy(Exception):  # noqa: N818 - a finding, not a fault
    """The study that was known has been deleted, and another one has taken its place."""


class Trials:
    """A study's trials by number. Only those that can have changed are read again.

    To read all trials whenever one asks would cost more and more as the study grows.

    Raises:
        AnotherStudy: By every method that finds another trial under a number than before.
    """

    def __init__(self) -> None:
        self._trials: list[FrozenTrial] = []
        self._unfinished: set[int] = set()
        self._announced: FrozenTrial | None = None
        self._read_for: int | None = None

    @property
    def known(self) -> Sequence[FrozenTrial]:
        """The trials as they were when they were read last."""
        return self._trials

    def announce(self, trial: FrozenTrial) -> None:
        """Take a trial that was just created from its caller, so that it need not be read."""
        if trial.number < len(self._trials):
            known = self._trials[trial.number]
            if known.state.is_finished() or not is_same(known, trial):
                raise AnotherStudy
        self._announced = trial

    def up_to(self, study: Study, number: int) -> Sequence[FrozenTrial]:
        """Give at least the trials up to a number, as they were when it was first asked for."""
        if number != self._read_for:
            stale = [*sorted(self._unfinished), *range(len(self._trials), number + 1)]
            if len([n for n in stale if n != number]) > _FEW:
                self.all(study)
            else:
                if self._trials and not self._unfinished:
                    stale.insert(0, len(self._trials) - 1)  # to see whether it is still there
                for n in stale:
                    self._put(self._read(study, n, is_asking=n == number))
            self._read_for = number
        return self._trials

    def all(self, study: Study) -> Sequence[FrozenTrial]:
        """Give all trials as they are now."""
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
    """Say whether somebody has enqueued the trial, also one with no parameter fixed."""
    return "fixed_params" in trial.system_attrs


def fixed_params(trial: FrozenTrial) -> Mapping[str, Any]:
    """Give the parameters that were fixed when the trial was enqueued."""
    fixed: Mapping[str, Any] = trial.system_attrs.get("fixed_params", {})
    return fixed


def has_no_turn(trial: FrozenTrial) -> bool:
    """Say whether others put the trial into the study: it was enqueued, or retries a stale one.

    Both attributes are set at the trial's birth.
    """
    return not {"fixed_params", "failed_trial"}.isdisjoint(trial.system_attrs)


class Turns:
    """The turns of a study's trials: their numbers, less the trials before that have no turn."""

    def __init__(self) -> None:
        self._without: list[int] = []

    @property
    def n_without(self) -> int:
        """How many trials have no turn."""
        return len(self._without)

    def leave_out(self, number: int) -> None:
        """Give the trial of a number no turn."""
        bisect.insort(self._without, number)

    def at(self, number: int) -> int:
        """Give the turn of the trial of a number."""
        return number - bisect.bisect_left(self._without, number)

    def of(self, trial: FrozenTrial) -> int:
        """Give the turn of a trial; a retry makes up for the turn of the trial that it retries."""
        return self.at(trial.system_attrs.get("failed_trial", trial.number))
