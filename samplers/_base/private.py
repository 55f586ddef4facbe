"""Optuna's private names, which are used in this file and nowhere else.

Optuna has no public way for a sampler to keep attributes with a trial or a study, to see the trials
that a pruner hides, or to ask whether a distribution has a value.
"""

from __future__ import annotations

import weakref
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

StudyIdentity = tuple["weakref.ref[BaseStorage]", int, str]


def read_trials(study: Study) -> list[FrozenTrial]:
    """Read all trials of a study; they are not copied, and must not be changed."""
    return study._storage.get_all_trials(study._study_id, deepcopy=False)


def read_trial(study: Study, number: int) -> FrozenTrial:
    """Read one trial by its number.

    Raises:
        KeyError: The study has no trial of that number.
    """
    storage, study_id = study._storage, study._study_id
    return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study_id, number))


def is_same(known: FrozenTrial, trial: FrozenTrial) -> bool:
    """Say whether two trials of one number, read at different times, are one trial.

    SQLite gives the ids of deleted trials to new ones, but these start at another time.
    """
    if known._trial_id != trial._trial_id:
        return False
    before, now = known.datetime_start, trial.datetime_start
    if before is None or before == now:  # it was waiting, and has started since
        return True
    if now is None:
        return False
    # MySQL keeps whole seconds, while a trial that was just created has the fraction, too.
    keeps_seconds = 0 in (before.microsecond, now.microsecond)
    return keeps_seconds and abs(before - now) < timedelta(seconds=1)


def identity(study: Study) -> StudyIdentity:
    """Give what identifies a study among all that exist at one time.

    The storage is part of it, because each in-memory storage numbers its studies from 0. It is a
    weak reference, which never equals one to another storage; Python may use an `id` again.
    """
    return weakref.ref(study._storage), study._study_id, study.study_name


def write_trial(study: Study, trial: FrozenTrial, key: str, value: Any) -> None:
    """Keep an attribute with a trial."""
    study._storage.set_trial_system_attr(trial._trial_id, key, value)


def fail_trial(study: Study, trial: FrozenTrial) -> None:
    """Let a trial fail that must not be evaluated."""
    study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def agree_on(study: Study, key: str, value: Any) -> Any:
    """Give the value that the study keeps under a key; without one, store `value` first."""
    storage, study_id = study._storage, study._study_id
    if key not in storage.get_study_system_attrs(study_id):
        storage.set_study_system_attr(study_id, key, value)
    return storage.get_study_system_attrs(study_id)[key]


def retries_stale_trials(study: Study) -> bool:
    """Say whether the storage enqueues a trial again when its worker is gone."""
    callback = getattr(study._storage, "get_heartbeat_stale_trial_callback", lambda: None)
    return callback() is not None


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Say whether a distribution contains a value."""
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (TypeError, ValueError, OverflowError):
        return False
