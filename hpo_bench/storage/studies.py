"""The studies that a storage holds, and their trials: found, opened, taken up."""

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
    """What tells how far a study has come."""

    user_attrs: Mapping[str, Any]
    n_trials: int
    n_finished: int
    """How many trials are finished, in whatever state."""


def glance(storage: MeteredStorage) -> dict[str, Glance]:
    """Look at all studies of a storage that `open_storage` opened: two queries, however many."""
    backend = backend_of(storage)
    assert backend is not None
    attributes = storage.patience.call(backend.user_attributes)
    counts = storage.patience.call(backend.trial_counts)
    return {name: Glance(found, *counts.get(name, (0, 0))) for name, found in attributes.items()}


def glance_at(study: optuna.Study) -> Glance:
    """Look at one study."""
    trials = study.get_trials(deepcopy=False)
    return Glance(study.user_attrs, len(trials), sum(t.state.is_finished() for t in trials))


def load_study(storage: BaseStorage, name: str) -> optuna.Study:
    """Open an existing study for work; its pruner is off until a method sets one.

    Raises:
        KeyError: There is none of that name.
        UnsoundError: The storage holds something else there than a study of one direction.
    """
    try:
        pruner = optuna.pruners.NopPruner()
        study = optuna.load_study(study_name=name, storage=storage, pruner=pruner)
        directions, _ = study.directions, study.user_attrs
    except Exception as error:
        if isinstance(error, KeyError | HpoBenchError) or outage(error) is not None:
            raise
        raise UnsoundError(_fault_of(storage, name, error)) from error
    if len(directions) != 1:
        raise UnsoundError(Fault(name, None, "direction", f"it has {len(directions)}"))
    return study


def _fault_of(storage: BaseStorage, name: str, error: Exception) -> Fault:
    """Say what is the matter with a study that Optuna cannot load."""
    backend = backend_of(storage)
    found = [] if backend is None else backend.read(name).unsound
    return found[0] if found else Fault(name, None, "study", why(error))


def all_study_names(storage: BaseStorage) -> list[str]:
    """Names of all studies, whoever made them."""
    backend = backend_of(storage)
    if backend is None or not isinstance(storage, MeteredStorage):
        return [study.study_name for study in storage.get_all_studies()]
    return storage.patience.call(backend.study_names)


def study_names(storage: BaseStorage, suite: str | None = None) -> list[str]:
    """Names of the studies of one suite, or of every suite, sorted; not those of others."""
    pattern = re.compile(rf"{'[^/]+' if suite is None else re.escape(suite)}/[^/]+/seed-\d+")
    return sorted(name for name in all_study_names(storage) if pattern.fullmatch(name))


def members(storage: BaseStorage, suite: str) -> list[str]:
    """Names of the suites that a suite of several objectives stands for, of those that are there.

    A suite of one objective stands for itself, whether it is there or not.
    """
    held = sorted({name.split("/")[0] for name in study_names(storage)})
    parts = [name for name in held if name.startswith(f"{suite}.")]
    return [suite] if suite in held or not parts else parts


def names_of(storage: BaseStorage, suite: str) -> list[str]:
    """Name the studies of a suite.

    Raises:
        HpoBenchError: There is none; the text lists the suites that the storage does hold.
    """
    names = study_names(storage, suite)
    if not names:
        known = sorted({name.split("/")[0] for name in study_names(storage)})
        held = f"it holds {', '.join(known)}" if known else "it holds no suite yet"
        raise HpoBenchError(f"no runs of suite {suite!r} in this storage; {held}")
    return names


def iterate_studies(storage: BaseStorage, suite: str) -> Iterator[optuna.Study]:
    """Open every study of a suite.

    Raises:
        HpoBenchError: There is none; the text lists the suites that the storage does hold.
    """
    for name in names_of(storage, suite):
        yield load_study(storage, name)


def reopen(study: optuna.Study, frozen: optuna.trial.FrozenTrial) -> optuna.Trial:
    """Take up a trial that another process left RUNNING."""
    return optuna.Trial(study, frozen._trial_id)


def create_running(
    study: optuna.Study, template: optuna.trial.FrozenTrial
) -> optuna.trial.FrozenTrial:
    """Like `study.add_trial`, in a single write, and say which trial it has become."""
    storage = study._storage
    return storage.get_trial(storage.create_new_trial(study._study_id, template))


def set_user_attrs(trial: optuna.Trial, attributes: Mapping[str, Any]) -> None:
    """Write attributes of a trial, in one transaction where this process alone writes to it."""
    opening.set_user_attrs(trial.storage, trial._trial_id, attributes)


def describe(study: optuna.Study, attributes: Mapping[str, Any]) -> None:
    """Write attributes of a study, which has none of them yet, in one transaction."""
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
    """Finish a trial; as `study.tell`, whose copy of the trial takes longer than all else there."""
    _tell_with_warning(study, trial, value, state)


def recorded(trial: optuna.Trial) -> optuna.trial.FrozenTrial:
    """What the storage holds of a trial under way."""
    return trial.storage.get_trial(trial._trial_id)


def unfinished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that a process which is gone left RUNNING, oldest first."""
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
