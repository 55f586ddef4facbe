"""Find, open and continue the studies of a storage and their trials."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study._tell import _tell_with_warning
from optuna.trial import TrialState

from hpo_bench.errors import HpoBenchError
from hpo_bench.storage import opening
from hpo_bench.storage.opening import MeteredStorage, backend_of
from hpo_bench.storage.outages import outage
from hpo_bench.storage.rows import Fault, UnsoundError, why


@dataclass(frozen=True)
class Glance:
    """The progress of a study, read without its trials."""

    user_attrs: Mapping[str, Any]
    """User attributes of the study."""
    n_trials: int
    """Number of trials, in any state."""
    n_finished: int
    """Number of trials that are COMPLETE, PRUNED or FAIL."""


def glance(storage: MeteredStorage) -> dict[str, Glance]:
    """Read the progress of all studies by two queries: study name -> progress.

    Args:
        storage: A storage from `open_storage` or `open_existing`.
    """
    backend = backend_of(storage)
    assert backend is not None
    attributes = storage.patience.call(backend.user_attributes)
    counts = storage.patience.call(backend.trial_counts)
    return {name: Glance(found, *counts.get(name, (0, 0))) for name, found in attributes.items()}


def glance_at(study: optuna.Study) -> Glance:
    """Return the progress of one study."""
    trials = study.get_trials(deepcopy=False)
    return Glance(study.user_attrs, len(trials), sum(t.state.is_finished() for t in trials))


def load_study(storage: BaseStorage, name: str) -> optuna.Study:
    """Open an existing study, without a pruner until a method sets one.

    Raises:
        KeyError: There is no study of that name.
        UnsoundError: The study's data are invalid, or it does not have exactly one direction.
    """
    try:
        pruner = optuna.pruners.NopPruner()
        study = optuna.load_study(study_name=name, storage=storage, pruner=pruner)
        # Optuna reads these only on access: access them here, where faults are caught.
        directions, _ = study.directions, study.user_attrs
    except Exception as error:
        if isinstance(error, KeyError | HpoBenchError) or outage(error) is not None:
            raise
        raise UnsoundError(_fault_of(storage, name, error)) from error
    if len(directions) != 1:
        raise UnsoundError(Fault(name, None, "direction", f"it has {len(directions)}"))
    return study


def _fault_of(storage: BaseStorage, name: str, error: Exception) -> Fault:
    """Return the fault because of which Optuna cannot load a study."""
    backend = backend_of(storage)
    found = [] if backend is None else backend.read(name).unsound
    return found[0] if found else Fault(name, None, "study", why(error))


def all_study_names(storage: BaseStorage) -> list[str]:
    """Return the names of all studies, including those that hpo-bench did not create."""
    backend = backend_of(storage)
    if backend is None or not isinstance(storage, MeteredStorage):
        return [study.study_name for study in storage.get_all_studies()]
    return storage.patience.call(backend.study_names)


def study_names(storage: BaseStorage, suite: str | None = None) -> list[str]:
    """Return the sorted names of the runs' studies.

    Args:
        storage: The storage.
        suite: Name of the suite; None means all suites.
    """
    pattern = re.compile(rf"{'[^/]+' if suite is None else re.escape(suite)}/[^/]+/seed-\d+")
    return sorted(name for name in all_study_names(storage) if pattern.fullmatch(name))


def members(storage: BaseStorage, suite: str) -> list[str]:
    """Return the names of the suites, one per objective, that a suite's name stands for.

    A suite `NAME` of several objectives is stored as suites `NAME.OBJECTIVE`; only stored ones are
    returned. Any other name stands for itself, stored or not.
    """
    held = sorted({name.split("/")[0] for name in study_names(storage)})
    parts = [name for name in held if name.startswith(f"{suite}.")]
    return [suite] if suite in held or not parts else parts


def names_of(storage: BaseStorage, suite: str) -> list[str]:
    """Return the sorted names of a suite's studies, at least one.

    Raises:
        HpoBenchError: There is none; the error lists the suites in the storage.
    """
    names = study_names(storage, suite)
    if not names:
        known = sorted({name.split("/")[0] for name in study_names(storage)})
        held = f"it holds {', '.join(known)}" if known else "it holds no suite yet"
        raise HpoBenchError(f"no runs of suite {suite!r} in this storage; {held}")
    return names


def iterate_studies(storage: BaseStorage, suite: str) -> Iterator[optuna.Study]:
    """Open each study of a suite, by name.

    Raises:
        HpoBenchError: There is none; the error lists the suites in the storage.
        UnsoundError: The data of a study are invalid.
    """
    for name in names_of(storage, suite):
        yield load_study(storage, name)


def reopen(study: optuna.Study, frozen: optuna.trial.FrozenTrial) -> optuna.Trial:
    """Return a trial that another process left RUNNING, to continue it."""
    return optuna.Trial(study, frozen._trial_id)


def create_running(
    study: optuna.Study, template: optuna.trial.FrozenTrial
) -> optuna.trial.FrozenTrial:
    """Create a trial from a template, in one transaction, and return it.

    `study.add_trial` does not return the new trial; to find it, a caller would list all trials.
    """
    storage = study._storage
    return storage.get_trial(storage.create_new_trial(study._study_id, template))


def set_user_attrs(trial: optuna.Trial, attributes: Mapping[str, Any]) -> None:
    """Write user attributes of a trial, in one transaction if its study is held in memory."""
    opening.set_user_attrs(trial.storage, trial._trial_id, attributes)


def describe(study: optuna.Study, attributes: Mapping[str, Any]) -> None:
    """Write user attributes that a study does not have yet, in one transaction."""
    storage = study._storage
    backend = backend_of(storage)
    if backend is None or not isinstance(storage, MeteredStorage):
        for name, value in attributes.items():
            study.set_user_attr(name, value)
        return
    storage.timed(partial(backend.set_study_user_attrs, study._study_id, attributes))


def tell(
    study: optuna.Study,
    trial: optuna.Trial | int,
    value: float | None = None,
    state: TrialState | None = None,
) -> None:
    """Finish a trial, as `study.tell` does, but without its deep copy of the trial.

    The copy takes longer than the rest of `study.tell`.

    Args:
        study: The study.
        trial: The trial, or its number.
        value: The trial's value; None if it has none.
        state: The trial's state; None means COMPLETE with a valid value, else FAIL.
    """
    _tell_with_warning(study, trial, value, state)


def recorded(trial: optuna.Trial) -> optuna.trial.FrozenTrial:
    """Return the stored state of a running trial; do not change it."""
    return trial.storage.get_trial(trial._trial_id)


def unfinished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Return the RUNNING trials of a study, oldest first."""
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
