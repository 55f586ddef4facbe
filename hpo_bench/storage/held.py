"""The study of a run, kept in memory by the one process that may write to it.

Whoever holds a run's lease knows all that its study holds, and need not read it again: Optuna reads
a trial before it writes to it, some 80 statements for one evaluation. What is written goes to the
database first, so that no crash finds there less than was promised:

- a trial's creation, its reports, its state, and a study's attributes: when the call returns;
- parameters and attributes of a trial: with the next of those, or at `HeldStudy.write_out`, all in
  one transaction, in which a crash leaves all of them or none.

That is what Optuna itself promises of a storage with a cache. Every write may be made again: it
leaves the same rows. Names of Optuna's that are used here are private ones, as in `rdb`.
"""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
)
from optuna.exceptions import StorageInternalError
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Insert, bindparam, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from hpo_bench.storage.rdb import (
    BulkStorage,
    intermediate_row,
    to_json,
    value_row,
)
from hpo_bench.storage.rows import local_time

_Row = tuple[Any, dict[str, Any]]
"""A model of Optuna's, and what one row of its table holds."""

_INSERTS: dict[str, Callable[[Any], Any]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}
"""Databases that can insert a row or, where it is there, change it."""

_KEYS = {
    models.TrialParamModel: "param_name",
    models.TrialUserAttributeModel: "key",
    models.TrialSystemAttributeModel: "key",
    models.TrialIntermediateValueModel: "step",
    models.TrialValueModel: "objective",
}
"""What tells the rows of a trial apart in each table."""

_TRIALS: Any = models.TrialModel.__table__
_SETTLE = update(_TRIALS).where(_TRIALS.c.trial_id == bindparam("of_trial"))


def _upsert(model: Any, dialect: str) -> Insert:
    inserting = _INSERTS[dialect](model.__table__)
    unique = ("trial_id", _KEYS[model])
    own = [c.name for c in model.__table__.columns if not c.primary_key and c.name not in unique]
    return inserting.on_conflict_do_update(  # type: ignore[no-any-return]
        index_elements=list(unique), set_={name: inserting.excluded[name] for name in own}
    )


def can_hold(backend: BulkStorage) -> bool:
    """Whether a database can do what is needed."""
    return backend.engine.dialect.name in _INSERTS


class HeldStudy(_CachedStorage):
    """Optuna's storage, of which one study is kept in memory: nobody else may write to it.

    Args:
        backend: Where all is written to.
        study_id: Of the study that is kept.
        trials: All that it has by now.
    """

    def __init__(self, backend: BulkStorage, study_id: int, trials: Sequence[FrozenTrial]) -> None:
        super().__init__(backend)
        self._engine = backend.engine
        self._held_id = study_id
        dialect = backend.engine.dialect.name
        self._upserts = {model: _upsert(model, dialect) for model in _KEYS}
        self._pending: list[_Row] = []
        self._take(trials)

    def _take(self, trials: Sequence[FrozenTrial]) -> None:
        self._trials = {trial._trial_id: trial for trial in trials}
        self._ids = {trial.number: key for key, trial in self._trials.items()}
        self._open = {key for key, t in self._trials.items() if not t.state.is_finished()}
        self._space: dict[str, BaseDistribution] = {}
        for trial in trials:
            self._space |= trial.distributions

    def write_out(self) -> None:
        """Write what is not written yet."""
        if self._pending:
            self._write([])

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """As Optuna's, after what is not written yet."""
        self.write_out()
        super().set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """As Optuna's, after what is not written yet."""
        self.write_out()
        super().set_study_system_attr(study_id, key, value)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """As Optuna's."""
        if study_id != self._held_id:
            return super().create_new_trial(study_id, template_trial)
        self.write_out()
        made = self._backend._create_new_trial(study_id, template_trial)
        if made.number == len(self._trials):
            self._keep(made)
            self._space |= made.distributions
        else:  # somebody without a lease has added some, by hand
            self._take(self._backend.get_all_trials(study_id, deepcopy=False))
        return made._trial_id

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: Any
    ) -> None:
        """As Optuna's; written with what is written next."""
        if trial_id not in self._trials:
            super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
            return
        trial = self._updatable(trial_id)
        if param_name in self._space:
            check_distribution_compatibility(self._space[param_name], distribution)
        self._space[param_name] = distribution
        row = {
            "trial_id": trial_id,
            "param_name": param_name,
            "param_value": param_value_internal,
            "distribution_json": distribution_to_json(distribution),
        }
        self._pending.append((models.TrialParamModel, row))
        trial.params = {
            **trial.params,
            param_name: distribution.to_external_repr(param_value_internal),
        }
        trial.distributions = {**trial.distributions, param_name: distribution}
        self._keep(trial)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """As Optuna's; written with what is written next."""
        if trial_id not in self._trials:
            super().set_trial_user_attr(trial_id, key, value)
            return
        self._note_user_attrs(trial_id, {key: value})

    def set_trial_user_attrs(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Write several attributes of a trial of this study, in one transaction."""
        self._note_user_attrs(trial_id, attributes)
        self.write_out()

    def _note_user_attrs(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        trial = self._updatable(trial_id)
        model = models.TrialUserAttributeModel
        stored = {key: self._note(model, trial_id, key, v) for key, v in attributes.items()}
        trial.user_attrs = {**trial.user_attrs, **stored}
        self._keep(trial)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """As Optuna's; written with what is written next."""
        if trial_id not in self._trials:
            super().set_trial_system_attr(trial_id, key, value)
            return
        trial = self._updatable(trial_id)
        as_stored = self._note(models.TrialSystemAttributeModel, trial_id, key, value)
        trial.system_attrs = {**trial.system_attrs, key: as_stored}
        self._keep(trial)

    def _note(self, model: Any, trial_id: int, key: str, value: Any) -> Any:
        """Take an attribute in, to be written; give it as it is read from the database."""
        text = to_json(value)
        self._pending.append((model, {"trial_id": trial_id, "key": key, "value_json": text}))
        return value if isinstance(value, int | float | str | None) else json.loads(text)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """As Optuna's."""
        if trial_id not in self._trials:
            super().set_trial_intermediate_value(trial_id, step, intermediate_value)
            return
        trial = self._updatable(trial_id)
        row = {"trial_id": trial_id, "step": step, **intermediate_row(intermediate_value)}
        self._write([(models.TrialIntermediateValueModel, row)])
        trial.intermediate_values = {**trial.intermediate_values, step: intermediate_value}
        self._keep(trial)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """As Optuna's."""
        if trial_id not in self._trials:
            return super().set_trial_state_values(trial_id, state, values)
        trial = self._updatable(trial_id)
        if state is TrialState.RUNNING and trial.state is not TrialState.WAITING:
            return False
        now = datetime.now(UTC).replace(tzinfo=None)
        changes: dict[str, Any] = {"state": state}
        trial.state = state
        if state is TrialState.RUNNING:
            changes["datetime_start"], trial.datetime_start = now, local_time(now)
        if state.is_finished():
            changes["datetime_complete"], trial.datetime_complete = now, local_time(now)
        if values is not None:
            trial.values = values
        rows = [
            (models.TrialValueModel, {"trial_id": trial_id, "objective": at, **value_row(value)})
            for at, value in enumerate(values or [])
        ]
        self._write(rows, {"of_trial": trial_id, **changes})
        self._keep(trial)
        return True

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """As Optuna's."""
        if study_id == self._held_id and trial_number in self._ids:
            return self._ids[trial_number]
        return super().get_trial_id_from_study_id_trial_number(study_id, trial_number)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """As Optuna's; never changed afterwards, as trials are replaced by others."""
        found = self._trials.get(trial_id)
        return super().get_trial(trial_id) if found is None else found

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """As Optuna's."""
        if study_id != self._held_id:
            return super().get_all_trials(study_id, deepcopy, states)
        if states is None:
            found = list(self._trials.values())
        elif any(state in states for state in TrialState if state.is_finished()):
            found = [trial for trial in self._trials.values() if trial.state in states]
        else:  # few of many; asked for with every new trial
            found = [self._trials[key] for key in sorted(self._open)]
            found = [trial for trial in found if trial.state in states]
        return copy.deepcopy(found) if deepcopy else found

    def _updatable(self, trial_id: int) -> FrozenTrial:
        """Give a copy of a trial to be changed, in place of the one that others may look at."""
        trial = self._trials[trial_id]
        self.check_trial_is_updatable(trial_id, trial.state)
        return copy.copy(trial)

    def _keep(self, trial: FrozenTrial) -> None:
        self._trials[trial._trial_id] = trial
        self._ids[trial.number] = trial._trial_id
        keeping = self._open.discard if trial.state.is_finished() else self._open.add
        keeping(trial._trial_id)

    def _write(self, rows: Sequence[_Row], settled: dict[str, Any] | None = None) -> None:
        """Write what is pending, further rows, and how a trial is settled, in one transaction."""
        of_tables = defaultdict(list)
        for model, row in [*self._pending, *rows]:
            of_tables[model].append(row)
        try:
            with self._engine.begin() as connection:
                for model, found in of_tables.items():
                    connection.execute(self._upserts[model], found)
                if settled is not None:
                    connection.execute(_SETTLE, settled)
        except SQLAlchemyError as error:
            raise StorageInternalError(f"nothing of this was written: {error}") from error
        self._pending.clear()
