"""Optuna's relational storage, read and written in bulk, with calls that can be repeated.

Optuna makes an object of each row, and a trial has about 30 rows: this makes reading a study
several times slower than reading its rows. Optuna also writes each call in a transaction of its
own, about 20 for a trial. The tables are Optuna's; this module uses private names of Optuna.

A failed call may have changed the database, with only its answer lost. Most of Optuna's writes can
be repeated without harm. The storage remembers the others until they succeed, so that a repeated
call first looks for the result of the call before.
"""

from __future__ import annotations

import copy
import datetime
import json
from collections.abc import Container, Mapping, Sequence
from math import isfinite
from typing import Any, cast

import optuna
from optuna.distributions import distribution_to_json
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import Connection, String, func, insert, select, type_coerce, update

from hpo_bench.storage.rows import (
    Fault,
    Rows,
    UnsoundError,
    read_names,
    read_study,
    read_trials,
    reading,
)


class BulkStorage(RDBStorage):
    """Optuna's storage, with bulk reads of whole studies, and with calls that can be repeated."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._in_doubt: dict[object, Any] = {}
        """Call that has not succeeded yet -> what identifies its result in the database."""

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """Create a study and return its id; a repeated call returns the study of the first one.

        Raises:
            DuplicatedStudyError: A study of that name exists that no earlier try created.
        """
        call = ("study", study_name)
        is_repeated = call in self._in_doubt
        self._in_doubt[call] = True
        try:
            study_id = super().create_new_study(directions, study_name)
        except DuplicatedStudyError:
            if study_name is None or not is_repeated:
                del self._in_doubt[call]
                raise
            study_id = self.get_study_id_from_name(study_name)
        del self._in_doubt[call]
        return study_id

    def _create_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None = None
    ) -> FrozenTrial:
        """Create a trial; a repeated call finds the trial of the first one by its start time.

        This replaces Optuna's own repetition, which would create a second trial.
        """
        # A repeated call passes the same template object. Without one, the first try's template is
        # used again, because its start time identifies the trial.
        call = ("trial", study_id, None if template_trial is None else id(template_trial))
        is_repeated = call in self._in_doubt
        template = template_trial or self._in_doubt.get(call)
        template = template or create_trial(state=TrialState.RUNNING)
        self._in_doubt[call] = template
        with self.engine.begin() as connection:
            # Waits until any other transaction on this study ends, also an earlier try of ours
            # that the server still carries out.
            _lock(connection, study_id)
            there = _started_at(connection, study_id, template) if is_repeated else None
            trial_id, number = there or _create_trial(connection, study_id, template)
        made = copy.deepcopy(template)
        made.number, made._trial_id = number, trial_id
        del self._in_doubt[call]
        return made

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Set a trial's state and values; a repeated call accepts the same state and values.

        Raises:
            UpdateFinishedTrialError: The trial was already finished, in another way.
        """
        call = ("state", trial_id, state)
        is_repeated = call in self._in_doubt
        self._in_doubt[call] = True
        try:
            is_set = super().set_trial_state_values(trial_id, state, values)
        except UpdateFinishedTrialError:
            is_set = is_repeated and self._is_settled(trial_id, state, values)
            if not is_set:
                del self._in_doubt[call]
                raise
        del self._in_doubt[call]
        return is_set

    def _is_settled(self, trial_id: int, state: TrialState, values: Sequence[float] | None) -> bool:
        trial = self.get_trial(trial_id)
        return trial.state is state and (values is None or trial.values == list(values))

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        # Optuna's cache asks for all trials once. Later it asks for unfinished and new ones, which
        # are few: those go through Optuna.
        if states is None and not included_trial_ids and trial_id_greater_than == -1:
            faults: list[Fault] = []
            found = reading(self.engine, lambda link: read_trials(link, study_id, faults))
            if faults:
                raise UnsoundError(faults[0])
            if found:
                return found
        return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)

    def set_study_user_attrs(self, study_id: int, attributes: Mapping[str, Any]) -> None:
        """Write the attributes that a study does not have yet, in one transaction.

        Existing attributes keep their values, so the call can be repeated.
        """
        attribute: Any = models.StudyUserAttributeModel.__table__
        with self.engine.begin() as connection:
            _lock(connection, study_id)
            there = select(attribute.c.key).where(attribute.c.study_id == study_id)
            held = set(connection.scalars(there))
            new = {key: value for key, value in attributes.items() if key not in held}
            if new:
                connection.execute(insert(attribute), _attributes(new, {"study_id": study_id}))

    def study_names(self) -> list[str]:
        """Read the names of all studies."""
        return reading(self.engine, read_names)

    def read(self, name: str) -> Rows:
        """Read a study with its trials, and the faults of trials that cannot be read.

        Raises:
            KeyError: There is no study of that name.
        """
        return reading(self.engine, lambda link: read_study(link, name))

    def user_attributes(self) -> dict[str, dict[str, Any]]:
        """Read the user attributes of all studies: study name -> attributes, possibly empty."""
        return reading(self.engine, _read_user_attributes)

    def trial_counts(self) -> dict[str, tuple[int, int]]:
        """Count the trials of each study that has some: name -> (trials, finished trials)."""
        return reading(self.engine, _read_trial_counts)


def _read_user_attributes(connection: Connection) -> dict[str, dict[str, Any]]:
    study, attribute = models.StudyModel, models.StudyUserAttributeModel
    query = select(study.study_name, attribute.key, attribute.value_json).outerjoin(attribute)
    found: dict[str, dict[str, Any]] = {}
    for name, key, text in connection.execute(query):
        attributes = found.setdefault(name, {})
        if key is not None:
            attributes[key] = _parsed(text)
    return found


def _read_trial_counts(connection: Connection) -> dict[str, tuple[int, int]]:
    study, trial = models.StudyModel, models.TrialModel
    # As text: a state that Optuna does not know would otherwise fail the query for all studies.
    state_name = type_coerce(trial.state, String)
    query = select(study.study_name, state_name, func.count(trial.trial_id)).join(trial)
    found: dict[str, tuple[int, int]] = {}
    for name, state, count in connection.execute(query.group_by(study.study_name, trial.state)):
        n_trials, n_finished = found.get(name, (0, 0))
        found[name] = n_trials + count, n_finished + (count if state in _FINISHED else 0)
    return found


_STUDIES: Any = models.StudyModel.__table__
_TRIALS: Any = models.TrialModel.__table__


_FINISHED = {state.name for state in TrialState if state.is_finished()}


def _parsed(text: Any) -> Any:
    """Parse an attribute's JSON; return the text itself if it is not JSON."""
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return text


def _started_at(
    connection: Connection, study_id: int, template: FrozenTrial
) -> tuple[int, int] | None:
    """Find the trial that was created from a template, by its start time (in microseconds).

    Only one process at a time creates trials in a study, so no other trial has this start time.

    Returns:
        The trial's id and number; None if there is no such trial.
    """
    is_it = (
        _TRIALS.c.study_id == study_id,
        _TRIALS.c.datetime_start == _utc(template.datetime_start),
    )
    found = connection.execute(select(_TRIALS.c.trial_id, _TRIALS.c.number).where(*is_it))
    return cast("tuple[int, int] | None", found.one_or_none())


def _create_trial(connection: Connection, study_id: int, template: FrozenTrial) -> tuple[int, int]:
    """Insert a trial with its parameters, values and attributes; return its id and number."""
    created = connection.execute(insert(_TRIALS), _head(template, study_id))
    (trial_id,) = cast("tuple[int]", created.inserted_primary_key)
    # Count after the insert: from then on SQLite keeps other processes from creating a trial.
    before = _TRIALS.c.study_id == study_id, _TRIALS.c.trial_id < trial_id
    number = connection.execute(select(func.count()).where(*before)).scalar_one()
    numbered = update(_TRIALS).where(_TRIALS.c.trial_id == trial_id)
    connection.execute(numbered, {"number": number})
    _insert(connection, _entries([template], [trial_id]))
    return trial_id, number


def _utc(local: datetime.datetime | None) -> datetime.datetime | None:
    """Convert a local time, as trials have it, to UTC, as the tables have it."""
    return local and local.astimezone(datetime.UTC).replace(tzinfo=None)


def write_study(study: optuna.Study, backend: BulkStorage, study_id: int) -> None:
    """Copy a study of another storage into an empty study, in one transaction.

    A repeated call changes nothing.

    Args:
        study: The study to copy: attributes and trials.
        backend: The storage to write to.
        study_id: Optuna's id of the empty study there.
    """
    attributes: dict[Any, dict[str, Any]] = {
        models.StudyUserAttributeModel: study.user_attrs,
        models.StudySystemAttributeModel: study._storage.get_study_system_attrs(study._study_id),
    }
    trials = study.get_trials(deepcopy=False)
    with backend.engine.begin() as connection:
        _lock(connection, study_id)
        (attribute, *_) = attributes
        there = select(attribute.study_id).where(attribute.study_id == study_id)
        if connection.execute(there).first() is not None:
            return
        if trials:
            connection.execute(insert(_TRIALS), [_head(trial, study_id) for trial in trials])
        in_order = _TRIALS.c.study_id == study_id
        ids = select(_TRIALS.c.trial_id).where(in_order).order_by(_TRIALS.c.number)
        entries = _entries(trials, list(connection.scalars(ids)))
        owner = {"study_id": study_id}
        entries |= {model: _attributes(found, owner) for model, found in attributes.items()}
        _insert(connection, entries)


def _lock(connection: Connection, study_id: int) -> None:
    """Lock a study's row until the end of the transaction.

    Raises:
        KeyError: There is no such study.
    """
    study = select(_STUDIES.c.study_id).where(_STUDIES.c.study_id == study_id)
    if connection.execute(study.with_for_update()).first() is None:
        raise KeyError(models.NOT_FOUND_MSG)


def _insert(connection: Connection, entries: Mapping[Any, list[dict[str, Any]]]) -> None:
    for model, found in entries.items():
        if found:
            connection.execute(insert(model.__table__), found)


def _head(trial: FrozenTrial, study_id: int) -> dict[str, Any]:
    """Return a trial's row in the table of trials: column -> value."""
    return {
        "study_id": study_id,
        "number": trial.number,
        "state": trial.state,
        "datetime_start": _utc(trial.datetime_start),
        "datetime_complete": _utc(trial.datetime_complete),
    }


def _entries(trials: list[FrozenTrial], ids: list[int]) -> dict[Any, list[dict[str, Any]]]:
    """Return the rows of trials in all other tables: table model -> rows (column -> value)."""
    found: dict[Any, list[dict[str, Any]]] = {
        models.TrialParamModel: [],
        models.TrialUserAttributeModel: [],
        models.TrialSystemAttributeModel: [],
        models.TrialIntermediateValueModel: [],
        models.TrialValueModel: [],
    }
    # By identity: trials share their distributions, so each is converted to JSON once.
    texts: dict[int, str] = {}
    for trial, trial_id in zip(trials, ids, strict=True):
        owner = {"trial_id": trial_id}
        for name, value in trial.params.items():
            dist = trial.distributions[name]
            if id(dist) not in texts:
                texts[id(dist)] = distribution_to_json(dist)
            found[models.TrialParamModel].append(
                owner
                | {
                    "param_name": name,
                    "param_value": dist.to_internal_repr(value),
                    "distribution_json": texts[id(dist)],
                }
            )
        found[models.TrialUserAttributeModel] += _attributes(trial.user_attrs, owner)
        found[models.TrialSystemAttributeModel] += _attributes(trial.system_attrs, owner)
        for step, value in trial.intermediate_values.items():
            found[models.TrialIntermediateValueModel].append(
                owner | {"step": step} | intermediate_row(value)
            )
        found[models.TrialValueModel] += [
            owner | {"objective": at} | value_row(value)
            for at, value in enumerate(trial.values or [])
        ]
    return found


def intermediate_row(value: float) -> dict[str, Any]:
    """Return the columns that store a reported value, which may be infinite or NaN."""
    model = models.TrialIntermediateValueModel
    number, kind = model.intermediate_value_to_stored_repr(value)
    return {"intermediate_value": number, "intermediate_value_type": kind}


def value_row(value: float) -> dict[str, Any]:
    """Return the columns that store a trial's value, which may be infinite."""
    number, kind = models.TrialValueModel.value_to_stored_repr(value)
    return {"value": number, "value_type": kind}


def _attributes(attributes: Mapping[str, Any], owner: dict[str, int]) -> list[dict[str, Any]]:
    return [owner | {"key": key, "value_json": to_json(v)} for key, v in attributes.items()]


def to_json(value: Any) -> str:
    """Return the same text as `json.dumps`, for a number about 20 times as fast."""
    kind = type(value)
    if kind is int or (kind is float and isfinite(value)):
        return repr(value)
    return json.dumps(value)
