"""All uses of Optuna's private names; no other module of the samplers uses them.

Optuna has no public way for a sampler to store attributes of a trial or a study, to see the trials
that a pruner hides, or to ask whether a distribution contains a value.
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
"""The storage, and the study's id and name there."""


def read_trials(study: Study) -> list[FrozenTrial]:
    """Read all trials of a study, by number; they are not copies, so do not change them."""
    return study._storage.get_all_trials(study._study_id, deepcopy=False)


def read_trial(study: Study, number: int) -> FrozenTrial:
    """Read one trial by its number.

    Raises:
        KeyError: The study has no trial with this number.
    """
    storage, study_id = study._storage, study._study_id
    return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study_id, number))


def is_same(known: FrozenTrial, trial: FrozenTrial) -> bool:
    """Return whether two trials of equal number, read at different times, are the same trial."""
    # SQLite gives ids of deleted trials to new ones, which have other start times.
    if known._trial_id != trial._trial_id:
        return False
    before, now = known.datetime_start, trial.datetime_start
    if before is None or before == now:  # it was waiting, and has started since
        return True
    if now is None:
        return False
    # MySQL stores whole seconds, but a trial that this process has just created has the fraction.
    keeps_seconds = 0 in (before.microsecond, now.microsecond)
    return keeps_seconds and abs(before - now) < timedelta(seconds=1)


def identity(study: Study) -> StudyIdentity:
    """Return a key that identifies a study among all studies that exist at the same time."""
    # The storage is a part of it, because each in-memory storage numbers its studies from 0. A weak
    # reference never equals one to another storage, whereas Python may use an `id` again.
    return weakref.ref(study._storage), study._study_id, study.study_name


def write_trial(study: Study, trial: FrozenTrial, key: str, value: Any) -> None:
    """Store a system attribute of a trial; the value must be JSON."""
    study._storage.set_trial_system_attr(trial._trial_id, key, value)


def fail_trial(study: Study, trial: FrozenTrial) -> None:
    """Set the state of a trial that must not be evaluated to FAIL."""
    study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def agree_on(study: Study, key: str, value: Any) -> Any:
    """Return the value of a study's system attribute; store `value` first if there is none.

    Args:
        study: The study.
        key: Name of the attribute.
        value: A JSON value.
    """
    storage, study_id = study._storage, study._study_id
    # Read again after the write, because another worker may have written its value meanwhile.
    if key not in storage.get_study_system_attrs(study_id):
        storage.set_study_system_attr(study_id, key, value)
    return storage.get_study_system_attrs(study_id)[key]


def retries_stale_trials(study: Study) -> bool:
    """Return whether the storage enqueues a trial again after its worker died (by heartbeat)."""
    callback = getattr(study._storage, "get_heartbeat_stale_trial_callback", lambda: None)
    return callback() is not None


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Return whether a distribution contains a value of any type."""
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (TypeError, ValueError, OverflowError):
        return False
