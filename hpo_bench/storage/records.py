"""What is written of an evaluation, and how it is read back: the one place for both.

Every job that is done adds one entry to the trial's user attribute `jobs`, in a single write that
comes last: what a crash leaves is a job that is recorded or one that is not. Everything that is
counted is counted from these entries. The other attributes say the same for people, in the
dashboard and in tables.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpo_bench.errors import HpoBenchError
from hpo_bench.search import Outcome
from hpo_bench.storage.studies import set_user_attrs

JOBS = "jobs"

CREATED = "created"
"""Study attribute that ends a study's creation: without it, its attributes may be incomplete."""

FINISHED = "finished"
"""Study attribute that ends a run: why it ended."""

RUN_ID = "run_id"
"""Study attribute that tells this run from any other of the same name, in any storage."""

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


@dataclass(frozen=True)
class JobRecord:
    """One job that is done: its outcome and what it cost, in seconds where time is meant."""

    fidelity: int
    value: float | None
    pruned: bool
    epochs: int
    """Units of fidelity that this job trained; fewer than `fidelity` if it continued another."""
    train_seconds: float
    sampler_seconds: float
    storage_seconds: float
    wall_seconds: float
    ended: float | None = None
    """When it was recorded, in seconds since 1970: what tells the order of a run's jobs."""

    @property
    def outcome(self) -> Outcome:
        """As the search was told."""
        return Outcome(self.fidelity, self.value, self.pruned)


_COSTS = ("epochs", "train_seconds", "sampler_seconds", "storage_seconds", "wall_seconds")
_TOLD = ("worker", "error", "restarted", "bracket", "rung", "pick", TRAINING_SEED)
_RESERVED = {JOBS, *_TOLD, *_COSTS}


def jobs_of(trial: FrozenTrial) -> list[JobRecord]:
    """The jobs that were done for a trial, in their order."""
    return [JobRecord(**job) for job in trial.user_attrs.get(JOBS, [])]


def outcome_at(trial: FrozenTrial, fidelity: int) -> Outcome | None:
    """The recorded outcome of taking a trial to a fidelity; None if that is still to be done."""
    for job in jobs_of(trial):
        if job.fidelity >= fidelity or job.pruned or job.value is None:
            return job.outcome
    return None


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
    measured = trial.user_attrs.get("test_accuracy")
    return measured if measured is not None and isfinite(measured) else None


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


def checked(measurements: Mapping[str, Any]) -> dict[str, float]:
    """Make measurements of an objective fit to be recorded.

    Raises:
        HpoBenchError: One is not a number, or has a name that is taken.
    """
    made: dict[str, float] = {}
    for name, value in measurements.items():
        number = value.item() if hasattr(value, "item") else value
        if name in _RESERVED or not isinstance(number, int | float):
            raise HpoBenchError(
                f"the objective's measurement {name!r}: {value!r} cannot be recorded; expected a "
                f"number, under a name other than {', '.join(sorted(_RESERVED))}"
            )
        made[name] = number
    return made
