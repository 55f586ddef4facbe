"""Optuna's relational storage, read and written in bulk, and written once whatever happens.

Optuna makes an object of every row, and a trial has some thirty: reading a study so takes several
times as long as its rows do, and writing it, a transaction for every call, some twenty times. The
tables are Optuna's; the names that are used here are private ones.

A call that fails may have been carried out, if only its answer was lost. Most of Optuna's writes
give the same when they are made again; those that do not are remembered here until they have
succeeded, so that the same call, made again, first looks what the one before it has done.
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
    """Optuna's storage, which reads a whole study at once, and whose calls can be repeated."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._in_doubt: dict[object, Any] = {}
        """Calls that have not succeeded yet -> what tells their traces."""

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """Create a study; made again, find the one that was created."""
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
        """Create a trial; made again, find the one that was created, by its start.

        Optuna repeats this by itself, and would not see that it had succeeded before.
        """
        call = ("trial", study_id, None if template_trial is None else id(template_trial))
        is_repeated = call in self._in_doubt
        template = template_trial or self._in_doubt.get(call)
        template = template or create_trial(state=TrialState.RUNNING)
        self._in_doubt[call] = template
        with self.engine.begin() as connection:
            # Whoever holds this row is done then, be it a lost try of our own.
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
        """Settle a trial; made again, see that it is settled so."""
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
        if states is None and not included_trial_ids and trial_id_greater_than == -1:
            faults: list[Fault] = []
            found = reading(self.engine, lambda link: read_trials(link, study_id, faults))
            if faults:
                raise UnsoundError(faults[0])
            if found:
                return found
        return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)

    def set_study_user_attrs(self, study_id: int, attributes: Mapping[str, Any]) -> None:
        """Write attributes that a study does not have yet, in one transaction.

        Made again, it leaves what is there.
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
        """The names of all studies, without what else is known of them."""
        return reading(self.engine, read_names)

    def read(self, name: str) -> Rows:
        """Read a study with its trials, and what is the matter with those that cannot be read.

        Raises:
            KeyError: There is none of that name.
        """
        return reading(self.engine, lambda link: read_study(link, name))

    def user_attributes(self) -> dict[str, dict[str, Any]]:
        """The user attributes of every study, by its name; of one that has none, an empty one."""
        return reading(self.engine, _read_user_attributes)

    def trial_counts(self) -> dict[str, tuple[int, int]]:
        """How many trials every study has, and how many of them are finished, by its name."""
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
    # As text: a state that Optuna does not know is no reason to see no other study.
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
    """Read an attribute; where somebody else has written what is no JSON, that is its value."""
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return text


def _started_at(
    connection: Connection, study_id: int, template: FrozenTrial
) -> tuple[int, int] | None:
    """Find the trial that was made from a template, whose start nothing else shares.

    Returns:
        Its id and its number.
    """
    is_it = (
        _TRIALS.c.study_id == study_id,
        _TRIALS.c.datetime_start == _utc(template.datetime_start),
    )
    found = connection.execute(select(_TRIALS.c.trial_id, _TRIALS.c.number).where(*is_it))
    return cast("tuple[int, int] | None", found.one_or_none())


def _create_trial(connection: Connection, study_id: int, template: FrozenTrial) -> tuple[int, int]:
    """Write a trial with all that belongs to it; give its id and its number."""
    created = connection.execute(insert(_TRIALS), _head(template, study_id))
    (trial_id,) = cast("tuple[int]", created.inserted_primary_key)
    # Counted once it is there, when SQLite has locked out whoever creates another.
    before = _TRIALS.c.study_id == study_id, _TRIALS.c.trial_id < trial_id
    number = connection.execute(select(func.count()).where(*before)).scalar_one()
    numbered = update(_TRIALS).where(_TRIALS.c.trial_id == trial_id)
    connection.execute(numbered, {"number": number})
    _insert(connection, _entries([template], [trial_id]))
    return trial_id, number


def _utc(local: datetime.datetime | None) -> datetime.datetime | None:
    return local and local.astimezone(datetime.UTC).replace(tzinfo=None)


def write_study(study: optuna.Study, backend: BulkStorage, study_id: int) -> None:
    """Write what a study of another storage holds into an empty one: all of it or nothing.

    Made again, it leaves what is there.
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
    """Be the only one to change a study until the end of the transaction.

    Raises:
        KeyError: There is none.
    """
    study = select(_STUDIES.c.study_id).where(_STUDIES.c.study_id == study_id)
    if connection.execute(study.with_for_update()).first() is None:
        raise KeyError(models.NOT_FOUND_MSG)


def _insert(connection: Connection, entries: Mapping[Any, list[dict[str, Any]]]) -> None:
    for model, found in entries.items():
        if found:
            connection.execute(insert(model.__table__), found)


def _head(trial: FrozenTrial, study_id: int) -> dict[str, Any]:
    return {
        "study_id": study_id,
        "number": trial.number,
        "state": trial.state,
        "datetime_start": _utc(trial.datetime_start),
        "datetime_complete": _utc(trial.datetime_complete),
    }


def _entries(trials: list[FrozenTrial], ids: list[int]) -> dict[Any, list[dict[str, Any]]]:
    """What the tables hold of the trials, an entry a row."""
    found: dict[Any, list[dict[str, Any]]] = {
        models.TrialParamModel: [],
        models.TrialUserAttributeModel: [],
        models.TrialSystemAttributeModel: [],
        models.TrialIntermediateValueModel: [],
        models.TrialValueModel: [],
    }
    texts: dict[int, str] = {}  # of distributions, which the trials share
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
    """What a row holds of a value that was reported."""
    model = models.TrialIntermediateValueModel
    number, kind = model.intermediate_value_to_stored_repr(value)
    return {"intermediate_value": number, "intermediate_value_type": kind}


def value_row(value: float) -> dict[str, Any]:
    """What a row holds of a trial's value."""
    number, kind = models.TrialValueModel.value_to_stored_repr(value)
    return {"value": number, "value_type": kind}


def _attributes(attributes: Mapping[str, Any], owner: dict[str, int]) -> list[dict[str, Any]]:
    return [owner | {"key": key, "value_json": to_json(v)} for key, v in attributes.items()]


def to_json(value: Any) -> str:
    """As `json.dumps`, which takes some 20 times as long for a number."""
    kind = type(value)
    if kind is int or (kind is float and isfinite(value)):
        return repr(value)
    return json.dumps(value)
