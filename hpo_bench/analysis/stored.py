"""A suite as its storage holds it, read once for all that is made of it, and looked at once.

Whoever wrote the storage: what is not sound in it is named and left out, a trial or a whole study,
and everything else is there. What is given to others here has the types that it says.
"""

from __future__ import annotations

import re
import reprlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Annotated, Any, Literal

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field, TypeAdapter, ValidationError, create_model

from hpo_bench.storage.opening import MeteredStorage, backend_of
from hpo_bench.storage.records import (
    ENDPOINTS,
    IS_SIMULATED,
    Count,
    JobRecord,
    confirmation_name,
    default_name,
    told_of,
)
from hpo_bench.storage.rows import Fault, Rows, UnsoundError
from hpo_bench.storage.studies import all_study_names, load_study, names_of

DEFAULT = "(default)"
"""What stands for a method where the objective's default was trained; no method has that name."""

_MAX_DEPTH = 50
"""Tables and lists within each other in an attribute: what shows it goes down as deep."""

_MAX_NUMBER = 2**53
"""Of a trial, or of a seed: what every format holds."""

_MAX_DIGITS = 1000
"""Of a seed: Python reads no number of 5000."""

Text = Annotated[str, Field(strict=True)]
Few = Annotated[int, Field(strict=True, ge=1, le=10**6)]
Whole = Annotated[int, Field(strict=True, ge=0, lt=_MAX_NUMBER)]
Table = dict[str, Any]


_DIRECTION: Any = Literal["minimize", "maximize"] | None

_ENDPOINT: Any = Literal[tuple(ENDPOINTS)] | None

_RESOLVED: Any = create_model(
    "_RESOLVED",
    objective=create_model("_OBJECTIVE", options=(Table, {})),
    methods=dict[str, Table],
)
"""What a study says of its suite's file, as far as it is looked into."""

_STUDY = TypeAdapter(
    create_model(
        "_STUDY",
        created=(Text | None, None),
        finished=(Text | None, None),
        run_id=(Text | None, None),
        suite=(Text | None, None),
        method=(Text | None, None),
        method_options=(Table | None, None),
        pruner=(Text | None, None),
        pruner_options=(Table | None, None),
        seed=(Whole | None, None),
        max_fidelity=(Annotated[int, Field(strict=True, ge=1, lt=_MAX_NUMBER)], 1),
        workers_per_run=(Few, 1),
        budget_factor=(Few, 1),
        direction=(_DIRECTION, None),
        resolved_suite=(_RESOLVED | None, None),
        endpoint=(_ENDPOINT, None),
        is_simulated=(Annotated[bool, Field(strict=True)] | None, None),
    )
)
"""Attributes of a study that are looked into; all others are text to be shown."""


_Measured = Annotated[float, Field(strict=True)] | None


@dataclass(frozen=True)
class _TrialAttributes:
    """Those of a trial that are looked into."""

    jobs: list[JobRecord] = field(default_factory=list)
    test_accuracy: _Measured = None
    held_out: _Measured = None
    held_out_test: _Measured = None
    pick: Text = ""
    bracket: Count = 0
    error: Text = ""
    traceback: Text = ""


_TRIALS = TypeAdapter(list[_TrialAttributes])  # at once: one by one takes several times as long
_NAMES = TypeAdapter(Annotated[list[Text], Field(min_length=1, max_length=1)] | None)


@dataclass(frozen=True)
class Stored:
    """A study with its trials, all of which are sound."""

    name: str
    direction: StudyDirection
    metric: str
    attributes: dict[str, Any]
    trials: Sequence[FrozenTrial]
    jobs: Sequence[list[JobRecord]]
    """Of each trial."""

    @property
    def method(self) -> str:
        """Of a run's study: its method."""
        return self.name.split("/")[1]

    @property
    def is_simulated(self) -> bool:
        """Whether its seconds are recorded ones that nobody waited for."""
        options = self.attributes.get("objective_options")
        # Studies that were written before the attribute was have it in their objective's options.
        clock = options.get("clock") if isinstance(options, dict) else None
        return bool(self.attributes.get(IS_SIMULATED, clock == "simulated"))

    @property
    def seed(self) -> int:
        """Of the run, or of what belongs to it; a study cut short says it by its name alone."""
        return _seed(self.name)


@dataclass(frozen=True)
class StoredSuite:
    """All studies of a suite that are sound."""

    name: str
    runs: list[Stored]
    """One at least."""
    confirmations: dict[str, Stored]
    """Name of a run's study -> the study in which its incumbent was trained again."""
    baselines: dict[str, list[Stored]]
    """Name of a fixed configuration -> the studies in which it was trained, by the seeds of runs.
    The objective's default is called `(default)`, one that the suite names `(name)`."""
    left_out: list[Fault] = field(default_factory=list)
    """What is not sound."""


def read_suite(storage: BaseStorage, suite: str) -> StoredSuite:
    """Read every study of a suite, also while runs go on.

    Raises:
        HpoBenchError: The storage holds no run of it.
        UnsoundError: It holds none that is sound.
    """
    read = _Reader(storage)
    runs = list(read.alike(read.studies(names_of(storage, suite))))
    if not runs:
        raise UnsoundError(read.faults[0])
    held = set(all_study_names(storage))
    again = {run.name: confirmation_name(run.name) for run in runs}
    fixed = _fixed(suite, {run.seed for run in runs}, held)
    names = [name for name in again.values() if name in held]
    told = {study.name: study for study in read.studies([*names, *fixed])}
    baselines: dict[str, list[Stored]] = {}
    for name, label in fixed.items():
        if name in told:
            baselines.setdefault(label, []).append(told[name])
    return StoredSuite(
        suite,
        runs,
        {run: told[name] for run, name in again.items() if name in told},
        baselines,
        read.faults,
    )


def _fixed(suite: str, seeds: set[int], held: set[str]) -> dict[str, str]:
    """Name the studies of fixed configurations -> what each is called; the default first."""
    defaults = [default_name(suite, seed) for seed in sorted(seeds)]
    found = {name: DEFAULT for name in defaults if name in held}
    pattern = re.compile(rf"{re.escape(suite)}/seed-(\d{{1,16}})\+baseline-([\w.+-]+)", re.ASCII)
    for name in sorted(held):
        match = pattern.fullmatch(name)
        if match is not None and int(match[1]) in seeds:
            found[name] = f"({match[2]})"
    return found


class _Reader:
    """Reads studies, and takes note of what is not sound."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage
        self.faults: list[Fault] = []

    def studies(self, names: Iterable[str]) -> Iterator[Stored]:
        """Give those that are sound, each without its trials that are not."""
        for name in names:
            rows = _rows(self._storage, name)
            rows.unsound += _unsound(rows)
            if rows.unsound:
                self.faults += rows.unsound
            else:
                trials, jobs = _sound_trials(rows)
                self.faults += rows.left_out
                metric = rows.metrics[0] if rows.metrics else "value"
                yield Stored(name, rows.directions[0], metric, rows.attributes, trials, jobs)

    def alike(self, runs: Iterable[Stored]) -> Iterator[Stored]:
        """Give those that can stand in one table: no two of one seed, all of one direction."""
        every = list(runs)
        usual = Counter(run.direction for run in every).most_common(1)
        taken: set[tuple[str, int]] = set()
        for run in every:
            if run.direction is not usual[0][0]:
                told = f"{run.direction.name.lower()}, unlike most runs of its suite"
                self.faults.append(Fault(run.name, None, "direction", told))
            elif (run.method, run.seed) in taken:
                self.faults.append(Fault(run.name, None, "name", "another run has this seed"))
            else:
                taken.add((run.method, run.seed))
                yield run


def _rows(storage: BaseStorage, name: str) -> Rows:
    backend = backend_of(storage)
    if backend is not None and isinstance(storage, MeteredStorage):
        return storage.patience.call(lambda: backend.read(name))
    study = load_study(storage, name)
    return Rows(
        name,
        study.directions,
        study.metric_names,
        study.user_attrs,
        study.get_trials(deepcopy=False),
    )


def _unsound(rows: Rows) -> Iterator[Fault]:
    """Say what is the matter with a study as a whole."""
    if not 0 <= _seed(rows.name) < _MAX_NUMBER:
        yield Fault(rows.name, None, "seed", f"expected one below {_MAX_NUMBER}")
    if len(rows.directions) != 1 and not rows.unsound:
        told = f"it has {len(rows.directions)}, expected one"
        yield Fault(rows.name, None, "direction", told)
    for name, adapter, values in (("", _STUDY, rows.attributes), ("metric", _NAMES, rows.metrics)):
        try:
            adapter.validate_python(values)
        except ValidationError as error:
            for _, place, told in told_of(error):
                yield Fault(rows.name, None, ".".join(filter(None, (name, place))), told)
    for key, value in rows.attributes.items():
        if _is_deep(value, _MAX_DEPTH):
            yield Fault(rows.name, None, key, f"it is nested more than {_MAX_DEPTH} deep")


def _sound_trials(rows: Rows) -> tuple[list[FrozenTrial], list[list[JobRecord]]]:
    """Give the trials of a study that are sound, with their jobs; note the others there."""
    wrong: dict[int, tuple[str, str]] = {}  # by place
    taken: set[int] = set()
    for place, trial in enumerate(rows.trials):
        if (fault := _fault_of(trial, taken)) is not None:
            wrong[place] = fault
        taken.add(trial.number)
    attributes = [trial.user_attrs for trial in rows.trials]
    try:
        read = _TRIALS.validate_python(attributes)
    except ValidationError as error:
        for (number, *_), name, why in told_of(error):
            wrong.setdefault(int(number), (name.partition(".")[2], why))
        read = []
    if not wrong:
        return rows.trials, [each.jobs for each in read]
    rows.left_out += [Fault(rows.name, rows.trials[n].number, *wrong[n]) for n in sorted(wrong)]
    kept = [place for place in range(len(rows.trials)) if place not in wrong]
    read = _TRIALS.validate_python([attributes[place] for place in kept])
    return [rows.trials[place] for place in kept], [each.jobs for each in read]


def _fault_of(trial: FrozenTrial, taken: set[int]) -> tuple[str, str] | None:
    """Give the field and the reason if a trial's values are not sound; its attributes apart."""
    values = trial.values
    if not 0 <= trial.number < _MAX_NUMBER or trial.number in taken:
        return "number", f"{trial.number} is of another trial, or of none"
    if values is None:
        is_missing = trial.state is TrialState.COMPLETE
        return ("value", "a trial that is complete has none") if is_missing else None
    if len(values) != 1 or not isfinite(values[0]):
        return "value", f"{reprlib.repr(values)}, expected one finite number"
    return None


def _is_deep(value: Any, depth: int) -> bool:
    if not isinstance(value, list | dict):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_is_deep(each, depth - 1) for each in inner)


def _seed(name: str) -> int:
    digits: str = re.findall(r"/seed-(\d+)", name)[-1]
    return int(digits) if len(digits) < _MAX_DIGITS else -1
