"""Runs whose evaluations take no time: kept in memory, and written in one transaction at the end.

Through Optuna's interface a trial is some twenty transactions, which take a hundred times as long
as a replayed training. What a crash costs here is a run of a second, which is made again; the
storage holds all of a run or nothing. The tables are Optuna's: this module and `storage` are the
places that know its private names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import optuna
from optuna.distributions import distribution_to_json
from optuna.storages import InMemoryStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy import insert
from sqlalchemy.orm import Session

from hpo_bench.checkpoints import Checkpoints, Progress
from hpo_bench.storage import MeteredStorage, metered


def in_memory() -> MeteredStorage:
    """Make a storage that lasts as long as this process needs it."""
    return metered(InMemoryStorage())


def write(study: optuna.Study, storage: MeteredStorage) -> None:
    """Write a study in memory, with all that belongs to it, to a storage opened by `open_storage`.

    There may be a study of its name, without attributes and trials, which a crash left.
    """
    stored = optuna.create_study(
        storage=storage,
        study_name=study.study_name,
        direction=study.direction,
        load_if_exists=True,
    )
    owner = {"study_id": stored._study_id}
    attributes = {
        models.StudyUserAttributeModel: study.user_attrs,
        models.StudySystemAttributeModel: study._storage.get_study_system_attrs(study._study_id),
    }
    trials = study.get_trials(deepcopy=False)
    with Session(cast(Any, storage).inner._backend.engine) as session, session.begin():
        rows = [_trial(trial, stored._study_id) for trial in trials]
        session.add_all(rows)
        session.flush()  # which gives them their ids
        entries = _entries(trials, [cast(int, row.trial_id) for row in rows])
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


class InMemoryCheckpoints(Checkpoints):
    """The checkpoints of a run that no other process goes on with."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Progress, bytes]] = {}

    def prepare(self) -> None:
        """There is nothing to do."""

    def save(self, number: int, progress: Progress, state: bytes) -> None:
        """Keep the checkpoint of a trial."""
        self._kept[number] = (progress, state)

    def load(self, number: int) -> tuple[Progress, bytes] | None:
        """Give the checkpoint of a trial; None if it has none."""
        return self._kept.get(number)

    def keep_only(self, numbers: set[int]) -> None:
        """Drop the checkpoints of all other trials."""
        self._kept = {number: kept for number, kept in self._kept.items() if number in numbers}

    def is_empty(self) -> bool:
        """Whether no trial has one."""
        return not self._kept

    def remove(self) -> None:
        """Drop all of them."""
        self._kept.clear()
