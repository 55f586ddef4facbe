"""What a run may spend, and what it has spent: the only place where effort is counted."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.study import StudyDirection
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hpo_bench.objectives import Objective
from hpo_bench.storage.records import JobRecord, jobs_of

FREE_REPEATS = 20
"""By default. A method that has converged asks for nothing but repeats, and each takes it time."""


class Budget(BaseModel):
    """What one run may spend; it ends at whichever limit comes first.

    A new evaluation starts only while every limit is unspent, so that at most the last
    evaluation goes beyond.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    epochs: int | None = Field(default=None, gt=0)
    """Epochs of training (units of fidelity), over all configurations."""
    evaluations: int | None = Field(default=None, gt=0)
    """Evaluations; continuing a configuration to a higher fidelity counts as one more."""
    seconds: float | None = Field(default=None, gt=0)
    """Seconds of the run: training, sampler, storage and harness."""
    target: float | None = None
    """A value that, once reached at full fidelity, ends the run."""
    free_repeats: int = Field(default=FREE_REPEATS, ge=0, le=10**6)
    """How many repeats in a row cost nothing: of a configuration that the run has evaluated, to
    that fidelity at least, it knows the value. The next repeat is charged; 0 charges every one."""

    @model_validator(mode="after")
    def _is_bounded(self) -> Budget:
        if self.epochs is None and self.evaluations is None and self.seconds is None:
            raise ValueError("expected a limit: epochs, evaluations or seconds")
        return self

    def definition(self) -> dict[str, Any]:
        """What tells runs apart; budgets of versions that charged all repeats say nothing of it."""
        told = self.model_dump(exclude_none=True)
        return told if self.free_repeats else {k: v for k, v in told.items() if k != "free_repeats"}

    def times(self, factor: int) -> Budget:
        """So many times as much; the target stays."""
        limits = {"epochs": self.epochs, "evaluations": self.evaluations, "seconds": self.seconds}
        more = {name: limit and factor * limit for name, limit in limits.items()}
        return self.model_copy(update=more)

    def configurations(self, epochs_each: float, evaluations_each: float = 1.0) -> int | None:
        """How many configurations of that cost it allows; None if time decides."""
        allowed = [] if self.evaluations is None else [self.evaluations / evaluations_each]
        allowed += [] if self.epochs is None else [self.epochs / epochs_each]
        return math.ceil(min(allowed)) if allowed else None


@dataclass
class Spent:
    """What a run has spent so far, and the best value it has for it."""

    direction: StudyDirection
    max_fidelity: int
    """Where a value is the best of anything: those at fewer epochs are of another scale."""
    epochs: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    best: float | None = None
    ended: float = 0.0
    """When the last job was recorded, in seconds since 1970."""

    def add(self, job: JobRecord) -> None:
        """Count one more job."""
        self.epochs += job.epochs
        self.evaluations += not job.is_repeat
        self.seconds += job.wall_seconds
        self.ended = max(self.ended, job.ended or 0.0)
        is_full = job.fidelity >= self.max_fidelity and not job.pruned
        if is_full and job.value is not None:
            is_best = self.best is None or self._reaches(job.value, self.best)
            self.best = job.value if is_best else self.best

    def exhausts(self, budget: Budget, epochs: int = 0, evaluations: int = 0) -> str | None:
        """Which limit is reached, in words; None while another evaluation may start.

        Args:
            budget: The limits.
            epochs: Those that evaluations under way are going to spend.
            evaluations: How many are under way.
        """
        target = budget.target
        if target is not None and self.best is not None and self._reaches(self.best, target):
            return "target reached"
        limits = (
            ("epochs", self.epochs + epochs, budget.epochs),
            ("evaluations", self.evaluations + evaluations, budget.evaluations),
            ("seconds", self.seconds, budget.seconds),
        )
        for name, spent, limit in limits:
            if limit is not None and spent >= limit:
                return f"{name} spent"
        return None

    def share(self, budget: Budget, epochs_under_way: int = 0) -> float:
        """The share of the budget that is spent, 0 to 1, by the limit that is nearest."""
        pairs = (
            (self.epochs + epochs_under_way, budget.epochs),
            (self.evaluations, budget.evaluations),
            (self.seconds, budget.seconds),
        )
        return min(1.0, max(spent / limit for spent, limit in pairs if limit is not None))

    def _reaches(self, value: float, other: float) -> bool:
        return value >= other if self.direction is StudyDirection.MAXIMIZE else value <= other


def spent_by(objective: Objective, trials: Iterable[optuna.trial.FrozenTrial]) -> Spent:
    """Add up what the trials of a run have recorded."""
    spent = Spent(objective.directions[0], objective.max_fidelity)
    for trial in trials:
        for job in jobs_of(trial):
            spent.add(job)
    return spent
