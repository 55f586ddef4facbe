"""The study of a run, kept in memory by the one process that may write to it.

The process that holds a run's lease is the only writer of its study. It therefore never has to read
the study again, whereas Optuna reads a trial before each write: about 80 SQL statements for one
evaluation. The database holds each kind of write at the latest at this time:

- a new trial, a report, a trial's state, and a study's attributes: when the call returns;
- parameters and attributes of a trial: with the next write of the first kind, or when
  `HeldStudy.write_out` is called. All pending rows are written in one transaction, so a crash
  leaves all of them or none.

Optuna promises the same for its cached storage. Each write can be repeated: a repetition leaves the
same rows. This module uses private names of Optuna, as `rdb` does.
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
"""A table model of Optuna, and the columns of one row: name -> value."""

_INSERTS: dict[str, Callable[[Any], Any]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}
"""SQL dialect -> SQLAlchemy's insert for it, which supports ON CONFLICT DO UPDATE."""

_KEYS = {
    models.TrialParamModel: "param_name",
    models.TrialUserAttributeModel: "key",
    models.TrialSystemAttributeModel: "key",
    models.TrialIntermediateValueModel: "step",
    models.TrialValueModel: "objective",
}
"""Table model -> the column that, together with `trial_id`, is unique in the table."""

_TRIALS: Any = models.TrialModel.__table__
# SQLAlchemy reserves the names of columns for the values to set: hence `of_trial`, not `trial_id`.
_SETTLE = update(_TRIALS).where(_TRIALS.c.trial_id == bindparam("of_trial"))


def _upsert(model: Any, dialect: str) -> Insert:
    """Build the statement that inserts a row, or updates the row of the same unique key."""
    inserting = _INSERTS[dialect](model.__table__)
    unique = ("trial_id", _KEYS[model])
    own = [c.name for c in model.__table__.columns if not c.primary_key and c.name not in unique]
    return inserting.on_conflict_do_update(  # type: ignore[no-any-return]
        index_elements=list(unique), set_={name: inserting.excluded[name] for name in own}
    )


def can_hold(backend: BulkStorage) -> bool:
    """Return whether the database of a backend can insert or update a row in one statement."""
    return backend.engine.dialect.name in _INSERTS


class HeldStudy(_CachedStorage):
    """Optuna's storage with one study kept in memory, to which no other process may write.

    Trials in memory are never changed: a write replaces the trial by a changed copy. A caller can
    therefore keep a trial without copying it.

    Args:
        backend: The storage that all writes go to.
        study_id: Optuna's id of the study to keep in memory.
        trials: All trials of this study, by number.
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
        """Replace all that is in memory by these trials."""
        self._trials = {trial._trial_id: trial for trial in trials}
        self._ids = {trial.number: key for key, trial in self._trials.items()}
        self._open = {key for key, t in self._trials.items() if not t.state.is_finished()}
        self._space: dict[str, BaseDistribution] = {}
        for trial in trials:
            self._space |= trial.distributions

    def write_out(self) -> None:
        """Write all pending parameters and attributes, in one transaction."""
        if self._pending:
            self._write([])

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Write all pending rows, then set a user attribute of a study."""
        self.write_out()
        super().set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Write all pending rows, then set a system attribute of a study."""
        self.write_out()
        super().set_study_system_attr(study_id, key, value)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create a trial in the database and in memory, and return its id."""
        if study_id != self._held_id:
            return super().create_new_trial(study_id, template_trial)
        self.write_out()
        made = self._backend._create_new_trial(study_id, template_trial)
        if made.number == len(self._trials):
            self._keep(made)
            self._space |= made.distributions
        else:  # somebody without a lease has added trials by hand
            self._take(self._backend.get_all_trials(study_id, deepcopy=False))
        return made._trial_id

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: Any
    ) -> None:
        """Set a parameter of a trial; the row stays pending until the next write."""
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
        """Set a user attribute of a trial; the row stays pending until the next write."""
        if trial_id not in self._trials:
            super().set_trial_user_attr(trial_id, key, value)
            return
        self._note_user_attrs(trial_id, {key: value})

    def set_trial_user_attrs(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Write several user attributes of a trial of the held study, in one transaction."""
        self._note_user_attrs(trial_id, attributes)
        self.write_out()

    def _note_user_attrs(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        trial = self._updatable(trial_id)
        model = models.TrialUserAttributeModel
        stored = {key: self._note(model, trial_id, key, v) for key, v in attributes.items()}
        trial.user_attrs = {**trial.user_attrs, **stored}
        self._keep(trial)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set a system attribute of a trial; the row stays pending until the next write."""
        if trial_id not in self._trials:
            super().set_trial_system_attr(trial_id, key, value)
            return
        trial = self._updatable(trial_id)
        as_stored = self._note(models.TrialSystemAttributeModel, trial_id, key, value)
        trial.system_attrs = {**trial.system_attrs, key: as_stored}
        self._keep(trial)

    def _note(self, model: Any, trial_id: int, key: str, value: Any) -> Any:
        """Add an attribute to the pending rows; return the value that a reader would get."""
        # JSON makes lists of tuples and strings of integer keys: memory and database must agree.
        text = to_json(value)
        self._pending.append((model, {"trial_id": trial_id, "key": key, "value_json": text}))
        return value if isinstance(value, int | float | str | None) else json.loads(text)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Write a reported value of a trial, with all pending rows."""
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
        """Write a trial's state and values, with all pending rows.

        Returns:
            False if the trial should become RUNNING but is not WAITING; else True.
        """
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
        """Return the id of the trial with a number, from memory for the held study."""
        if study_id == self._held_id and trial_number in self._ids:
            return self._ids[trial_number]
        return super().get_trial_id_from_study_id_trial_number(study_id, trial_number)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial, from memory for the held study; do not change it."""
        found = self._trials.get(trial_id)
        return super().get_trial(trial_id) if found is None else found

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the trials of a study by number, from memory for the held study."""
        if study_id != self._held_id:
            return super().get_all_trials(study_id, deepcopy, states)
        if states is None:
            found = list(self._trials.values())
        elif any(state in states for state in TrialState if state.is_finished()):
            found = [trial for trial in self._trials.values() if trial.state in states]
        else:  # few of many: samplers ask for the running trials with every new trial
            found = [self._trials[key] for key in sorted(self._open)]
            found = [trial for trial in found if trial.state in states]
        return copy.deepcopy(found) if deepcopy else found

    def _updatable(self, trial_id: int) -> FrozenTrial:
        """Return a copy of a trial that may be changed; raise if the trial is finished."""
        # Callers hold trials from this storage without copies: change a copy.
        trial = self._trials[trial_id]
        self.check_trial_is_updatable(trial_id, trial.state)
        return copy.copy(trial)

    def _keep(self, trial: FrozenTrial) -> None:
        """Put a trial into memory, in place of its former version."""
        self._trials[trial._trial_id] = trial
        self._ids[trial.number] = trial._trial_id
        keeping = self._open.discard if trial.state.is_finished() else self._open.add
        keeping(trial._trial_id)

    def _write(self, rows: Sequence[_Row], settled: dict[str, Any] | None = None) -> None:
        """Write the pending rows, further rows and a trial's new state, in one transaction.

        Args:
            rows: Rows to write after the pending ones.
            settled: The changed columns of the trials table, with the trial's id as `of_trial`.

        Raises:
            StorageInternalError: The database refused; no row was written, all stay pending.
        """
        # One statement per table takes all its rows, whatever their number.
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
