"""Read Optuna's tables in bulk, and validate each row: whoever wrote them, rows are only data.

A fault is reported by study, trial and field, and affects nothing else: other trials and other
studies are still read. This module uses private names of Optuna's tables.
"""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf, nan
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution, CategoricalDistribution, json_to_distribution
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Engine, String, select, type_coerce
from sqlalchemy.exc import OperationalError

from hpo_bench.errors import HpoBenchError

_METRICS = "study:metric_names"
"""Optuna's system attribute of a study that holds the names of its metrics."""

_STATES = {state.name: state for state in TrialState}
_DIRECTIONS = {direction.name: direction for direction in StudyDirection}
_NUMBERS = {"INF_POS": inf, "INF_NEG": -inf, "NAN": nan}

_WHY = 200
"""Most characters of a reason; the rest is cut off."""

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Fault:
    """One invalid entry of a storage, which readers leave out."""

    study: str
    """Name of the study; empty if the reader knows only the trial."""
    trial: int | None
    """Number of the trial; None if the study is at fault, or the number itself is invalid."""
    field: str
    """Name of the invalid field, in words."""
    why: str
    """The reason, in at most 200 characters."""

    def __str__(self) -> str:
        trial = "" if self.trial is None else f"trial {self.trial}"
        place = ", ".join(filter(None, (self.study, trial)))
        return f"{place}: {self.field}: {self.why}"


UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)
"""Errors that optuna-dashboard raises when it reads a study with invalid attributes.

It reads every attribute of a study to find its own ones: an attribute without a key makes it raise
an AttributeError.
"""


class UnsoundError(HpoBenchError):
    """The storage holds invalid data of a study, so nothing can work with this study."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"the storage holds what cannot be used: {fault}")
        self.fault = fault

    def __reduce__(self) -> tuple[type[UnsoundError], tuple[Fault]]:
        # An exception is pickled by its message alone, and could not leave a worker process.
        return UnsoundError, (self.fault,)


@dataclass
class Rows:
    """The content of all tables about one study."""

    name: str
    """Name of the study."""
    directions: list[StudyDirection]
    """Direction of each objective value."""
    metrics: Any
    """Names of the objective values, not validated; None if the study has none."""
    attributes: dict[str, Any]
    """User attributes of the study."""
    trials: list[FrozenTrial] = field(default_factory=list)
    """Readable trials, in the order of their creation."""
    left_out: list[Fault] = field(default_factory=list)
    """Faults of the trials that cannot be read, one for each."""
    unsound: list[Fault] = field(default_factory=list)
    """Faults of the study itself."""


def why(error: Exception) -> str:
    """Return an error's class and text, cut to the length of a fault's reason."""
    return f"{type(error).__name__}: {error}"[:_WHY]


@contextmanager
def _bytes_for_no_text(connection: Connection) -> Iterator[Connection]:
    """Make a SQLite connection return text that is not UTF-8 as bytes, which readers refuse."""
    raw: Any = connection.connection.dbapi_connection
    raw.text_factory = _text_or_bytes
    try:
        yield connection
    finally:
        # The connection goes back to the pool.
        raw.text_factory = str


def _text_or_bytes(stored: bytes) -> str | bytes:
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


def reading(engine: Engine, read: Callable[[Connection], _Result]) -> _Result:
    """Call a function that reads, with a connection; repeat it if SQLite has invalid UTF-8.

    Args:
        engine: The engine that gives the connection.
        read: The function; it must change nothing.

    Returns:
        The result of `read`.
    """
    with engine.connect() as connection:
        try:
            return read(connection)
        except OperationalError as error:
            # Only in this case, because a Python function for each text slows down all reads.
            if "Could not decode to UTF-8" not in str(error):
                raise
        with _bytes_for_no_text(connection):
            return read(connection)


def read_names(connection: Connection) -> list[str]:
    """Read the names of all studies whose name is text."""
    names = connection.execute(select(models.StudyModel.study_name))
    return [name for (name,) in names if isinstance(name, str)]


def read_study(connection: Connection, name: str) -> Rows:
    """Read a study with its trials and faults.

    Raises:
        KeyError: There is no study of that name.
    """
    study = models.StudyModel
    found = connection.execute(select(study.study_id).where(study.study_name == name)).first()
    if found is None:
        raise KeyError(name)
    rows = Rows(name, [], None, {})
    _read_directions(connection, found[0], rows)
    _read_attributes(connection, found[0], rows)
    rows.trials = read_trials(connection, found[0], rows.left_out, name)
    return rows


def _read_directions(connection: Connection, study_id: int, rows: Rows) -> None:
    model = models.StudyDirectionModel
    query = select(type_coerce(model.direction, String)).where(model.study_id == study_id)
    for (text,) in connection.execute(query.order_by(model.objective)):
        if text in _DIRECTIONS:
            rows.directions.append(_DIRECTIONS[text])
        else:
            told = f"{text!r} is none of {', '.join(_DIRECTIONS)}"
            rows.unsound.append(Fault(rows.name, None, "direction", told[:_WHY]))


def _read_attributes(connection: Connection, study_id: int, rows: Rows) -> None:
    user, system = models.StudyUserAttributeModel, models.StudySystemAttributeModel
    told = select(user.key, user.value_json).where(user.study_id == study_id)
    metrics = select(system.value_json).where(system.study_id == study_id, system.key == _METRICS)
    for key, text in connection.execute(told):
        try:
            rows.attributes[_name(key)] = json.loads(text)
        except Exception as error:
            rows.unsound.append(Fault(rows.name, None, f"attribute {key!r}", why(error)))
    for (text,) in connection.execute(metrics):
        try:
            rows.metrics = json.loads(text)
        except Exception as error:
            rows.unsound.append(Fault(rows.name, None, "metric names", why(error)))


def read_trials(
    connection: Connection, study_id: int, faults: list[Fault], study_name: str | None = None
) -> list[FrozenTrial]:
    """Read the trials of a study in the order of their creation.

    Args:
        connection: A connection to the database.
        study_id: Optuna's id of the study.
        faults: A list to which the faults of unreadable trials are added.
        study_name: Name of the study for the faults; None looks it up if needed.
    """
    # Read the states first: each query sees the database at its own time, and callers never read a
    # finished trial again. A trial that finishes between the queries so counts as running, and is
    # read again; in the other order it would be kept as finished without its values.
    heads = _read_heads(connection, study_id)
    read = _Trials(connection, study_id)
    found = []
    for key, *head in heads:
        try:
            found.append(read.trial(key, *head))
        except Exception as error:
            told = read.wrong.get(key) or ("trial", why(error))
            name = study_name or _name_of(connection, study_id)
            faults.append(Fault(name, head[0] if isinstance(head[0], int) else None, *told))
    return found


def _name_of(connection: Connection, study_id: int) -> str:
    study = models.StudyModel
    query = select(study.study_name).where(study.study_id == study_id)
    return str(connection.execute(query).scalar())


def _read_heads(connection: Connection, study_id: int) -> list[Any]:
    """Read the rows of the table of trials: id, number, state, start, end, by creation."""
    trial = models.TrialModel
    # As text: one state or time that Optuna cannot parse would fail the query for all trials.
    told = (
        type_coerce(trial.state, String),
        *(
            type_coerce(time, String)
            for time in (trial._datetime_start_utc, trial._datetime_complete_utc)
        ),
    )
    heads = select(trial.trial_id, trial.number, *told)
    of_study = heads.where(trial.study_id == study_id).order_by(trial.trial_id)
    return list(connection.execute(of_study))


class _Trials:
    """The parameters, values and attributes of a study's trials, one query for each table."""

    def __init__(self, connection: Connection, study_id: int) -> None:
        self._connection = connection
        self._study_id = study_id
        self._known: dict[str, BaseDistribution] = {}  # by its text, which the trials share
        self.wrong: dict[int, tuple[str, str]] = {}
        """Id of an unreadable trial -> its invalid field, and the reason."""
        param, value = models.TrialParamModel, models.TrialValueModel
        step = models.TrialIntermediateValueModel
        user, system = models.TrialUserAttributeModel, models.TrialSystemAttributeModel
        self._params = self._read(
            param.param_id,
            "parameter",
            self._param,
            (param.param_name, param.param_value, param.distribution_json),
        )
        kind = type_coerce(value.value_type, String)
        self._values = self._read(
            value.objective, "value", _number, (value.objective, value.value, kind)
        )
        kind = type_coerce(step.intermediate_value_type, String)
        self._steps = self._read(
            step.trial_intermediate_value_id,
            "value at step",
            _number,
            (step.step, step.intermediate_value, kind),
        )
        self._users = self._read(
            user.trial_user_attribute_id, "attribute", json.loads, (user.key, user.value_json)
        )
        self._systems = self._read(
            system.trial_system_attribute_id,
            "system attribute",
            json.loads,
            (system.key, system.value_json),
        )

    def trial(self, key: int, number: int, state: str, start: object, end: object) -> FrozenTrial:
        """Build a trial from its rows.

        Args:
            key: Optuna's id of the trial.
            number: The trial's number in its study.
            state: Name of its state.
            start: Its start time in UTC, or None.
            end: Its end time in UTC, or None.

        Raises:
            Exception: A row is invalid; `wrong` then has the field and the reason, if known.
        """
        if key in self.wrong:
            raise ValueError(self.wrong[key])
        if not isinstance(number, int):
            raise TypeError(f"its number is {number!r}")
        if state not in _STATES:
            raise ValueError(f"its state is {state!r}, which is none of {', '.join(_STATES)}")
        params, values = self._params[key], self._values[key]
        return FrozenTrial(
            number=number,
            state=_STATES[state],
            value=None,
            values=list(values.values()) or None,
            datetime_start=local_time(start),
            datetime_complete=local_time(end),
            params={name: value for name, (value, _) in params.items()},
            distributions={name: dist for name, (_, dist) in params.items()},
            user_attrs=self._users[key],
            system_attrs=self._systems[key],
            intermediate_values=self._steps[key],
            trial_id=key,
        )

    def _read(
        self, order: Any, field: str, decode: Callable[..., Any], columns: tuple[Any, ...]
    ) -> dict[int, dict[Any, Any]]:
        """Read the rows of a table, in the order of their writing: trial id -> name -> value.

        Args:
            order: The column to order by, which also tells the table.
            field: The kind of the field, for faults.
            decode: Makes a value of the columns after the first.
            columns: The name's column (or step, or index), then those of the value.
        """
        model = order.class_
        query = select(model.trial_id, *columns).join(models.TrialModel)
        of_study = query.where(models.TrialModel.study_id == self._study_id).order_by(order)
        found: dict[int, dict[Any, Any]] = defaultdict(dict)
        is_named = columns[0].type.python_type is str
        for trial_id, name, *row in self._connection.execute(of_study):
            try:
                if is_named is not isinstance(name, str):
                    raise TypeError("its name is no text")
                found[trial_id][name] = decode(*row)
            except Exception as error:
                self.wrong.setdefault(trial_id, (f"{field} {name!r}", why(error)))
        return found

    def _param(self, value: float, text: str) -> tuple[Any, BaseDistribution]:
        if not isinstance(value, int | float):
            raise TypeError(f"{value!r} is no number")
        dist = self._known.get(text)
        if dist is None:
            dist = self._known[text] = json_to_distribution(text)
        if isinstance(dist, CategoricalDistribution) and not 0 <= value < len(dist.choices):
            raise ValueError(f"it has no choice {value!r}")
        return dist.to_external_repr(value), dist


def _name(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError("its name is no text")
    return key


def _number(value: object, kind: str) -> float:
    if kind in _NUMBERS:
        return _NUMBERS[kind]
    if kind != "FINITE" or not isinstance(value, float | int):
        raise ValueError(f"{value!r}, as {kind!r}")
    return float(value)


def local_time(utc: Any) -> datetime.datetime | None:
    """Convert a UTC time of the tables (on SQLite a text) to local time, as Optuna returns it."""
    if utc is None:
        return None
    time = datetime.datetime.fromisoformat(utc) if isinstance(utc, str) else utc
    return time.replace(tzinfo=datetime.UTC).astimezone().replace(tzinfo=None)
