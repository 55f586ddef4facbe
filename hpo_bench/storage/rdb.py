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
import json
from collections.abc import Container, Mapping, Sequence
from typing import Any, cast

import optuna
from optuna.distributions import distribution_to_json
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

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
        with Session(self.engine) as session, session.begin():
            # Whoever holds this row is done then, be it a lost try of our own.
            models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
            row = _started_at(session, study_id, template) if is_repeated else None
            row = row or self._get_prepared_new_trial(study_id, template, session)
            made = copy.deepcopy(template)
            made.number, made.datetime_start = cast(int, row.number), row.datetime_start
            made._trial_id = cast(int, row.trial_id)
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

    def study_names(self) -> list[str]:
        """The names of all studies, without what else is known of them."""
        return reading(self.engine, read_names)

    def read(self, name: str) -> Rows:
        """Read a study with its trials, and what is the matter with those that cannot be read.

        Raises:
            KeyError: There is none of that name.
        """
        return reading(self.engine, lambda link: read_study(link, name))


def _started_at(session: Session, study_id: int, template: FrozenTrial) -> models.TrialModel | None:
    """Find the trial that was made from a template, whose start nothing else shares."""
    at = models.TrialModel(datetime_start=template.datetime_start)._datetime_start_utc
    trial = models.TrialModel
    found = select(trial).where(trial.study_id == study_id, trial._datetime_start_utc == at)
    return session.scalars(found).one_or_none()


def write_study(study: optuna.Study, backend: BulkStorage, study_id: int) -> None:
    """Write what a study of another storage holds into an empty one: all of it or nothing.

    Made again, it leaves what is there.
    """
    attributes = {
        models.StudyUserAttributeModel: study.user_attrs,
        models.StudySystemAttributeModel: study._storage.get_study_system_attrs(study._study_id),
    }
    trials = study.get_trials(deepcopy=False)
    with Session(backend.engine) as session, session.begin():
        models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
        attribute = models.StudyUserAttributeModel
        if session.scalars(select(attribute).where(attribute.study_id == study_id)).first():
            return
        rows = [_trial(trial, study_id) for trial in trials]
        session.add_all(rows)
        session.flush()  # which gives them their ids
        entries = _entries(trials, [cast(int, row.trial_id) for row in rows])
        owner = {"study_id": study_id}
        entries |= {model: _attributes(found, owner) for model, found in attributes.items()}
        for model, found in entries.items():
            if found:
                session.execute(insert(model), found)


def _trial(trial: FrozenTrial, study_id: int) -> models.TrialModel:
    return models.TrialModel(
        study_id=study_id,
        number=trial.number,
        state=trial.state,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
    )


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
                owner | {"step": step} | _intermediate(value)
            )
        if trial.value is not None:
            number, kind = models.TrialValueModel.value_to_stored_repr(trial.value)
            found[models.TrialValueModel].append(
                owner | {"objective": 0, "value": number, "value_type": kind}
            )
    return found


def _intermediate(value: float) -> dict[str, Any]:
    model = models.TrialIntermediateValueModel
    number, kind = model.intermediate_value_to_stored_repr(value)
    return {"intermediate_value": number, "intermediate_value_type": kind}


def _attributes(attributes: Mapping[str, Any], owner: dict[str, int]) -> list[dict[str, Any]]:
    return [owner | {"key": key, "value_json": json.dumps(v)} for key, v in attributes.items()]
