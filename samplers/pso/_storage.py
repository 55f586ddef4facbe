"""Optuna's storage as a sampler needs it.

Optuna has no public way for samplers to keep attributes, or to see the trials that a pruner hides,
so its private names are used here and nowhere else. Each sampler's folder is a package of its own
and holds the same copy of this file.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

StudyIdentity = tuple["weakref.ref[BaseStorage]", int, str]

# Set at birth on the trials of enqueue_trial and of RetryHeartbeatStaleTrialCallback.
FOREIGN = frozenset({"fixed_params", "failed_trial"})

_FEW = 2  # trials that are read one by one: that many cost as much as a query for all


class Trials:
    """A study's trials by number, of which only those that can have changed are read again.

    Whatever asks the storage for all trials pays for each of them, at every trial.
    """

    def __init__(self) -> None:
        self._trials: list[FrozenTrial] = []
        self._unfinished: set[int] = set()
        self._announced: FrozenTrial | None = None
        self._read_for: int | None = None

    def announce(self, trial: FrozenTrial) -> None:
        """Take the next trial as it was born, so that it need not be read."""
        self._announced = trial

    def up_to(self, study: Study, number: int) -> Sequence[FrozenTrial]:
        """Give the trials up to a number at least, as they were when it was first asked for."""
        if number != self._read_for:
            stale = [*sorted(self._unfinished), *range(len(self._trials), number + 1)]
            if len([n for n in stale if n != number]) > _FEW:
                self.all(study)
            else:
                for n in stale:
                    self._put(self._read(study, n, is_asking=n == number))
            self._read_for = number
        return self._trials

    def all(self, study: Study) -> Sequence[FrozenTrial]:
        """Give all trials as they are now."""
        self._trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
        self._unfinished = {t.number for t in self._trials if not t.state.is_finished()}
        self._read_for = None
        return self._trials

    def _read(self, study: Study, number: int, *, is_asking: bool) -> FrozenTrial:
        known = self._announced
        if is_asking and known is not None and known.number == number:
            return known
        storage, study_id = study._storage, study._study_id
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
        return storage.get_trial(trial_id)

    def _put(self, trial: FrozenTrial) -> None:
        self._trials[trial.number : trial.number + 1] = [trial]
        if trial.state.is_finished():
            self._unfinished.discard(trial.number)
        else:
            self._unfinished.add(trial.number)


def identity(study: Study) -> StudyIdentity:
    """Give what tells a study from all others; in-memory storages number theirs from 0.

    A reference to a storage that is gone equals none to another, while an `id` may come again.
    """
    return weakref.ref(study._storage), study._study_id, study.study_name


def write_trial(study: Study, trial: FrozenTrial, key: str, value: Any) -> None:
    """Keep an attribute with a trial."""
    study._storage.set_trial_system_attr(trial._trial_id, key, value)


def fail_trial(study: Study, trial: FrozenTrial) -> None:
    """End a trial that must not be evaluated."""
    study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def agree_on(study: Study, key: str, value: Any) -> Any:
    """Give what the study keeps under a key; where there is nothing yet, let it keep `value`."""
    storage, study_id = study._storage, study._study_id
    if key not in storage.get_study_system_attrs(study_id):
        storage.set_study_system_attr(study_id, key, value)
    return storage.get_study_system_attrs(study_id)[key]


def retries_stale_trials(study: Study) -> bool:
    """Say whether the storage puts trials whose worker is gone into the study again."""
    callback = getattr(study._storage, "get_heartbeat_stale_trial_callback", lambda: None)
    return callback() is not None


def stop(study: Study) -> bool:
    """End the optimisation loop; say whether there is one."""
    try:
        study.stop()
    except RuntimeError:
        return False
    return True


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Say whether a distribution has a value."""
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (TypeError, ValueError):
        return False


def legal(name: str, value: Any, distribution: BaseDistribution) -> Any:
    """Give a value as a distribution has it.

    Raises:
        ValueError: The distribution does not have it.
    """
    if not contains(distribution, value):
        raise ValueError(
            f"search_space[{name!r}]: {value!r} cannot be used; the objective allows {distribution}"
        )
    return distribution.to_external_repr(distribution.to_internal_repr(value))
