"""The record of an evaluation: the only module that writes it and reads it back.

Each finished job adds one entry to the trial's user attribute `jobs`. This write comes last, so
after a crash a job is either recorded or not. All counts come from these entries. The other
attributes repeat them for people, in the dashboard and in tables.
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
"""Trial attribute that holds one entry per finished job, as a list of `JobRecord` fields."""

CREATED = "created"
"""Study attribute that is written last at a study's creation: without it, others may be missing."""

FINISHED = "finished"
"""Study attribute that is written when a run ends: the reason why it ended."""

ENDPOINT = "endpoint"
"""Study attribute: which value of a run's incumbent verdicts use, as a key of `ENDPOINTS`."""

ENDPOINTS = {
    "held-out-test": "held_out_test",
    "held-out": "held_out",
    "retrained-test": "confirmed_test",
    "retrained": "confirmed",
    "test": "test",
    "validation": "validation",
}
"""Name of an endpoint -> its measure. The endpoint with the least selection bias is the first."""

OPTIMUM = "optimum"
"""Study attribute that holds the best possible values, as far as they are known: measure -> value.
A single number is the value of validation."""

RUN_ID = "run_id"
"""Study attribute that identifies this run among all runs of the same name, in any storage."""

IS_SIMULATED = "is_simulated"
"""Study attribute: whether its seconds come from a recording, and nobody waited for them."""

SUITE = "resolved_suite"
"""Study attribute from which the run can be repeated: the suite's file as data, without seeds."""

DIRECTORY = "DIRECTORY"
"""Placeholder in `SUITE` for a directory, which exists only on one machine."""

TRAINING_SEED = "training_seed"
"""Trial attribute: the seed of a training outside of a search (a retrained or default one)."""

FIRST_FRESH_SEED = 2**31
"""First seed of trainings outside of a search; the seeds of suites are smaller. Seeds stay below
2**32, because many generators take 32 bits."""


def confirmation_name(study_name: str) -> str:
    """Return the name of the study that retrains a run's incumbent; no run has such a name."""
    return f"{study_name}+confirm"


def default_name(suite: str, seed: int) -> str:
    """Return the name of the study that trains the objective's default configuration.

    No run has such a name.
    """
    return f"{suite}/seed-{seed:02d}+default"


def baseline_name(suite: str, seed: int, baseline: str) -> str:
    """Return the name of the study that trains a fixed configuration of a suite.

    No run has such a name.
    """
    return f"{suite}/seed-{seed:02d}+baseline-{baseline}"


def summary_name(suite: str) -> str:
    """Return the name of the study, without trials, that shows a whole suite in a dashboard."""
    return f"{suite}+summary"


Count = Annotated[int, Field(strict=True, ge=0, le=2**53)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Seconds = Annotated[float, Field(strict=True, ge=-1, le=1e12)]
"""A duration in seconds. The bounds keep any sum of durations finite; a rounded difference of two
clock readings may be slightly negative."""


@dataclass(frozen=True)
class JobRecord:
    """One finished job: its outcome and its cost."""

    fidelity: Count
    """Fidelity that the job reached, in units of the objective (often epochs)."""
    value: Number | None
    """Validation value at this fidelity; None if the evaluation failed."""
    pruned: Annotated[bool, Field(strict=True)]
    """Whether a pruner ended the evaluation."""
    epochs: Count
    """Units of fidelity that this job trained; fewer than `fidelity` if it continued another."""
    train_seconds: Seconds
    """Seconds of training, validation and test."""
    sampler_seconds: Seconds
    """Seconds spent in the method."""
    storage_seconds: Seconds
    """Seconds spent in the storage, without outages."""
    wall_seconds: Seconds
    """All seconds from the worker's previous record to this one, without outages."""
    ended: Number | None = None
    """Time of the record, in seconds since 1970; it defines the order of a run's jobs."""
    repeats: Count | None = None
    """Number of the trial whose record answered this job at no cost; None if it was evaluated."""

    @property
    def is_repeat(self) -> bool:
        """Whether the value came from an earlier trial, without an evaluation."""
        return self.repeats is not None

    @property
    def outcome(self) -> Outcome:
        """The outcome that the search was told."""
        return Outcome(self.fidelity, self.value, self.pruned)


_COSTS = ("epochs", "train_seconds", "sampler_seconds", "storage_seconds", "wall_seconds")
_TOLD = ("worker", "error", "traceback", "restarted", "bracket", "rung", "pick", TRAINING_SEED)
_RESERVED = {JOBS, *_TOLD, *_COSTS}


_JOBS_OF_A_TRIAL = TypeAdapter(list[JobRecord])


def jobs_of(trial: FrozenTrial) -> list[JobRecord]:
    """Read the finished jobs of a trial, in their order.

    Unknown fields, which a newer version may have written, are ignored.

    Raises:
        UnsoundError: The attribute `jobs` does not hold a list of job records.
    """
    try:
        return _JOBS_OF_A_TRIAL.validate_python(trial.user_attrs.get(JOBS, []))
    except ValidationError as error:
        (_, field, told), *_ = told_of(error)
        raise UnsoundError(Fault("", trial.number, f"{JOBS}.{field}", told)) from None


def told_of(error: ValidationError) -> Iterator[tuple[tuple[int | str, ...], str, str]]:
    """Yield each fault of a validation: its location, its dotted field, and the reason."""
    for details in error.errors(include_url=False, include_context=False):
        place = details["loc"]
        told = f"{reprlib.repr(details['input'])}: {details['msg']}"
        yield place, ".".join(map(str, place)), told


def outcome_at(trial: FrozenTrial, fidelity: int) -> Outcome | None:
    """Return the recorded outcome of training a trial to a fidelity; None if still to be done.

    A job that failed or was pruned below this fidelity is an outcome, too.
    """
    for job in jobs_of(trial):
        if job.fidelity >= fidelity or job.pruned or job.value is None:
            return job.outcome
    return None


def recorded_values(trial: FrozenTrial) -> dict[str, float]:
    """Return the numbers for which the level indices of a replayed trial stand: name -> number.

    The result is empty if the trial replays no table. It is also empty for a snapped trial: its
    parameters are numbers already, and the replayed configuration is only the nearest one.
    """
    told = trial.user_attrs
    if "snap_distance" in told:
        return {}
    found = {name: told.get(f"recorded_{name}") for name in trial.params}
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def incumbent(trials: Sequence[FrozenTrial], direction: StudyDirection) -> FrozenTrial | None:
    """Return the best trial at full fidelity; None if there is none yet.

    Values at different fidelities are not comparable, so pruned trials do not count.
    """
    complete = [t for t in trials if t.state is TrialState.COMPLETE and t.value is not None]
    if not complete:
        return None
    best = max if direction is StudyDirection.MAXIMIZE else min
    return best(complete, key=lambda trial: trial.value)  # type: ignore[arg-type, return-value]


def test_accuracy(trial: FrozenTrial) -> float | None:
    """Return the measurement `test_accuracy` of a trial; None if it is absent or not finite."""
    return measured(trial, "test_accuracy")


def measured(trial: FrozenTrial, name: str) -> float | None:
    """Return a measurement of a trial by its name; None if it is absent or not finite."""
    value = trial.user_attrs.get(name)
    return value if value is not None and isfinite(value) else None


def write(trial: optuna.Trial, jobs: Sequence[JobRecord], told: Mapping[str, Any]) -> None:
    """Record all jobs of a trial so far, in one write.

    Args:
        trial: A RUNNING trial.
        jobs: The recorded jobs, and the new one at the end.
        told: Further attributes to write for people.
    """
    *before, new = jobs
    jobs = [*before, new if new.ended is not None else replace(new, ended=time.time())]
    totals = {cost: sum(getattr(job, cost) for job in jobs) for cost in _COSTS}
    set_user_attrs(trial, {**told, **totals, JOBS: [dict(vars(job)) for job in jobs]})


def measurements_of(trial: FrozenTrial) -> dict[str, float]:
    """Return all measurements that the objective took of a trial: name -> number."""
    return {
        name: value
        for name, value in trial.user_attrs.items()
        if name not in _RESERVED and isinstance(value, int | float)
    }


def as_number(value: Any) -> float:
    """Convert a value of an objective to a float.

    Args:
        value: A number, a NumPy scalar, or an array or tensor of one element.

    Raises:
        TypeError: The value is a text, a truth value, a complex number, or an object without a
            conversion to float.
        ValueError: The value is an array of several elements.
        OverflowError: The value is too large for a float.
    """
    held = _held(value)
    if isinstance(held, bool) or not hasattr(type(held), "__float__"):
        raise TypeError(f"expected a number, got {reprlib.repr(value)}")
    return float(held)


def _held(value: Any) -> Any:
    """Return the Python value inside a NumPy or tensor scalar; any other value as it is."""
    return value.item() if callable(getattr(value, "item", None)) else value


def checked(measurements: Mapping[str, Any]) -> dict[str, float]:
    """Convert the measurements of an objective to numbers that can be recorded.

    Integers below 2**63 stay integers; all other numbers become floats.

    Raises:
        HpoBenchError: A measurement is not a number, or its name is reserved or not storable.
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
        # A tensor of two elements raises RuntimeError; other classes may raise anything.
        except Exception as error:
            raise HpoBenchError(
                f"the objective's measurement {name!r} cannot be recorded: {reprlib.repr(value)} "
                f"is no number that a float holds"
            ) from error
        held = _held(value)
        made[name] = held if isinstance(held, int) and abs(held) < _MAX_WHOLE else number
    return made


def own_name(name: str, value: Any) -> str:
    """Return the name for recording an attribute that a user's function has set.

    It is the attribute's own name, or `own_<name>` if that is reserved. `test_accuracy` is reserved
    for floats, because reports use it as the test value.
    """
    is_taken = name in _RESERVED or (name == "test_accuracy" and not isinstance(value, float))
    return f"own_{name}" if is_taken else name


MAX_NAME = 512
"""Most characters of a name in Optuna's tables: PostgreSQL refuses more, SQLite accepts any."""

STORABLE = f"name of 1 to {MAX_NAME} characters, without NUL and halves of characters"
"""The condition of `is_storable`, in words for an error."""

_MAX_WHOLE = 2**63
"""Integers below are recorded as integers; many programs read no larger ones."""


def is_storable(name: object) -> bool:
    """Return whether every supported database stores a name unchanged."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or "\0" in name:
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
