"""What is written of an evaluation, and how it is read back: the one place for both.

Every job that is done adds one entry to the trial's user attribute `jobs`, in a single write that
comes last: what a crash leaves is a job that is recorded or one that is not. Everything that is
counted is counted from these entries. The other attributes say the same for people, in the
dashboard and in tables.
"""

from __future__ import annotations

import reprlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Annotated, Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field, TypeAdapter, ValidationError

from hpo_bench.errors import HpoBenchError
from hpo_bench.search import Outcome
from hpo_bench.storage.rows import Fault, UnsoundError
from hpo_bench.storage.studies import set_user_attrs

JOBS = "jobs"

CREATED = "created"
"""Study attribute that ends a study's creation: without it, its attributes may be incomplete."""

FINISHED = "finished"
"""Study attribute that ends a run: why it ended."""

ENDPOINT = "endpoint"
"""Study attribute that says which value of a run's winner verdicts use; one of `ENDPOINTS`."""

ENDPOINTS = {
    "held-out-test": "held_out_test",
    "held-out": "held_out",
    "retrained-test": "confirmed_test",
    "retrained": "confirmed",
    "test": "test",
    "validation": "validation",
}
"""Name of an endpoint -> the measure that it is. What flatters a search least stands first."""

OPTIMUM = "optimum"
"""Study attribute with the best that there can be, as far as it is known: measure -> value. A lone
number is that of validation."""

RUN_ID = "run_id"
"""Study attribute that tells this run from any other of the same name, in any storage."""

IS_SIMULATED = "is_simulated"
"""Study attribute: whether the seconds of its evaluations are recorded ones, not waited for."""

SUITE = "resolved_suite"
"""Study attribute that repeats the run: what its suite's file says, without seeds."""

DIRECTORY = "DIRECTORY"
"""What stands there for a directory of one machine."""

TRAINING_SEED = "training_seed"
"""Trial attribute of what is trained outside of a search: by which seed."""

FIRST_FRESH_SEED = 2**31
"""Those of what is trained outside of a search begin here; a suite's own are below. Many generators
take 32 bits and no more."""


def confirmation_name(study_name: str) -> str:
    """Name the study in which a run's incumbent is trained again; no run has such a name."""
    return f"{study_name}+confirm"


def default_name(suite: str, seed: int) -> str:
    """Name the study in which the objective's default is trained; no run has such a name."""
    return f"{suite}/seed-{seed:02d}+default"


def baseline_name(suite: str, seed: int, baseline: str) -> str:
    """Name the study in which a suite's fixed configuration is trained; no run has such a name."""
    return f"{suite}/seed-{seed:02d}+baseline-{baseline}"


def summary_name(suite: str) -> str:
    """Name the study that shows a whole suite in a dashboard; it has no trials."""
    return f"{suite}+summary"


Count = Annotated[int, Field(strict=True, ge=0, le=2**53)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Seconds = Annotated[float, Field(strict=True, ge=-1, le=1e12)]
"""A duration: with a sum of them, of however many, can be reckoned. Clocks round, also below 0."""


@dataclass(frozen=True)
class JobRecord:
    """One job that is done: its outcome and what it cost, in seconds where time is meant."""

    fidelity: Count
    value: Number | None
    pruned: Annotated[bool, Field(strict=True)]
    epochs: Count
    """Units of fidelity that this job trained; fewer than `fidelity` if it continued another."""
    train_seconds: Seconds
    sampler_seconds: Seconds
    storage_seconds: Seconds
    wall_seconds: Seconds
    ended: Number | None = None
    """When it was recorded, in seconds since 1970: what tells the order of a run's jobs."""
    repeats: Count | None = None
    """The trial from whose record it was answered, at no cost; None if it was done."""

    @property
    def is_repeat(self) -> bool:
        """Whether the run knew the value, and nothing was done."""
        return self.repeats is not None

    @property
    def outcome(self) -> Outcome:
        """As the search was told."""
        return Outcome(self.fidelity, self.value, self.pruned)


_COSTS = ("epochs", "train_seconds", "sampler_seconds", "storage_seconds", "wall_seconds")
_TOLD = ("worker", "error", "traceback", "restarted", "bracket", "rung", "pick", TRAINING_SEED)
_RESERVED = {JOBS, *_TOLD, *_COSTS}


_JOBS_OF_A_TRIAL = TypeAdapter(list[JobRecord])


def jobs_of(trial: FrozenTrial) -> list[JobRecord]:
    """The jobs that were done for a trial, in their order.

    What a newer version has written beside what is known here is left aside.

    Raises:
        UnsoundError: Its attribute holds something else.
    """
    try:
        return _JOBS_OF_A_TRIAL.validate_python(trial.user_attrs.get(JOBS, []))
    except ValidationError as error:
        (_, field, told), *_ = told_of(error)
        raise UnsoundError(Fault("", trial.number, f"{JOBS}.{field}", told)) from None


def told_of(error: ValidationError) -> Iterator[tuple[tuple[int | str, ...], str, str]]:
    """Say what was found not to be sound: each place, its field in words, and the reason."""
    for details in error.errors(include_url=False, include_context=False):
        place = details["loc"]
        told = f"{reprlib.repr(details['input'])}: {details['msg']}"
        yield place, ".".join(map(str, place)), told


def outcome_at(trial: FrozenTrial, fidelity: int) -> Outcome | None:
    """The recorded outcome of taking a trial to a fidelity; None if that is still to be done."""
    for job in jobs_of(trial):
        if job.fidelity >= fidelity or job.pruned or job.value is None:
            return job.outcome
    return None


def recorded_values(trial: FrozenTrial) -> dict[str, float]:
    """Give what the levels of a trial stand for, where it replays a table: name -> number.

    Empty where nothing was replayed, and where the configuration is its own: then the nearest
    recorded one was replayed, whose numbers are others.
    """
    told = trial.user_attrs
    if "snap_distance" in told:
        return {}
    found = {name: told.get(f"recorded_{name}") for name in trial.params}
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def incumbent(trials: Sequence[FrozenTrial], direction: StudyDirection) -> FrozenTrial | None:
    """The best trial at full fidelity; None while there is none.

    Values at a lower fidelity are of another scale, and never compared with full ones.
    """
    complete = [t for t in trials if t.state is TrialState.COMPLETE and t.value is not None]
    if not complete:
        return None
    best = max if direction is StudyDirection.MAXIMIZE else min
    return best(complete, key=lambda trial: trial.value)  # type: ignore[arg-type, return-value]


def test_accuracy(trial: FrozenTrial) -> float | None:
    """What was measured on the test images; None if nothing was, or nothing that is a number."""
    return measured(trial, "test_accuracy")


def measured(trial: FrozenTrial, name: str) -> float | None:
    """Give a measurement of a trial; None if it has none of that name, or none that is finite."""
    value = trial.user_attrs.get(name)
    return value if value is not None and isfinite(value) else None


def write(trial: optuna.Trial, jobs: Sequence[JobRecord], told: Mapping[str, Any]) -> None:
    """Record all jobs of a trial so far.

    Args:
        trial: Still RUNNING.
        jobs: Those before, and the new one.
        told: Further attributes, for people.
    """
    *before, new = jobs
    jobs = [*before, new if new.ended is not None else replace(new, ended=time.time())]
    totals = {cost: sum(getattr(job, cost) for job in jobs) for cost in _COSTS}
    set_user_attrs(trial, {**told, **totals, JOBS: [dict(vars(job)) for job in jobs]})


def measurements_of(trial: FrozenTrial) -> dict[str, float]:
    """What the objective measured of a trial."""
    return {
        name: value
        for name, value in trial.user_attrs.items()
        if name not in _RESERVED and isinstance(value, int | float)
    }


def as_number(value: Any) -> float:
    """Give what an objective means as a number; also a NumPy scalar, and an array or tensor of one.

    Raises:
        TypeError: It is none: text, a truth value, several numbers, a complex one.
        OverflowError: It is beyond what a float holds.
    """
    held = _held(value)
    if isinstance(held, bool) or not hasattr(type(held), "__float__"):
        raise TypeError(f"expected a number, got {reprlib.repr(value)}")
    return float(held)


def _held(value: Any) -> Any:
    """Take a number out of what NumPy or a library of tensors holds it in."""
    return value.item() if callable(getattr(value, "item", None)) else value


def checked(measurements: Mapping[str, Any]) -> dict[str, float]:
    """Make measurements of an objective fit to be recorded; whole numbers stay so.

    Raises:
        HpoBenchError: One is not a number, or has a name that is taken or that no database takes.
    """
    made: dict[str, float] = {}
    for name, value in dict(measurements).items():
        if name in _RESERVED or not is_storable(name):
            raise HpoBenchError(
                f"the objective's measurement {reprlib.repr(name)} cannot be recorded; expected a "
                f"{STORABLE}, other than {', '.join(sorted(_RESERVED))}"
            )
        try:
            number = as_number(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise HpoBenchError(
                f"the objective's measurement {name!r} cannot be recorded: {reprlib.repr(value)} "
                f"is no number that a float holds"
            ) from error
        held = _held(value)
        made[name] = held if isinstance(held, int) and abs(held) < _MAX_WHOLE else number
    return made


def own_name(name: str, value: Any) -> str:
    """Give the name under which a function's attribute is recorded: its own, unless it is taken.

    `test_accuracy` is what reports take for the test, where it is a number.
    """
    is_taken = name in _RESERVED or (name == "test_accuracy" and not isinstance(value, float))
    return f"own_{name}" if is_taken else name


MAX_NAME = 512
"""Characters of a name in Optuna's tables: PostgreSQL refuses more, SQLite does not count."""

STORABLE = f"name of 1 to {MAX_NAME} characters, without NUL and halves of characters"
"""What `is_storable` expects, in words."""

_MAX_WHOLE = 2**63
"""Whole numbers are kept as such below, as far as other programs read them."""


def is_storable(name: object) -> bool:
    """Whether every database takes a name as it is."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or "\0" in name:
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
