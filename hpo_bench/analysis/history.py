"""Histories: the evaluations of every run in their order, with what was spent by then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from hpo_bench.analysis.stored import Stored, read_suite
from hpo_bench.spaces import Configuration
from hpo_bench.storage.records import (
    CREATED,
    FINISHED,
    JobRecord,
    measured,
    recorded_values,
    test_accuracy,
)

Array = NDArray[np.float64]

AXES = {
    "evaluations": "evaluations",
    "epochs": "full evaluations' worth of epochs",
    "train_seconds": "training seconds",
    "wall_seconds": "wall seconds, sampler and storage included",
}
"""What a run spends: the axes on which methods can be compared."""


@dataclass(frozen=True)
class Step:
    """One evaluation: a configuration taken to a fidelity."""

    trial: int
    configuration: Configuration
    job: JobRecord
    test: float | None
    """Test accuracy, which is recorded for the last evaluation of a trial."""
    recorded: dict[str, float] = field(default_factory=dict)
    """What the levels of its configuration stand for, where it was replayed from a table."""
    held_out: float | None = None
    """Mean value of the recorded trainings that the run did not see; recorded as the test is."""
    held_out_test: float | None = None
    """Their mean test accuracy."""


@dataclass(frozen=True)
class History:
    """One run, evaluation by evaluation."""

    method: str
    seed: int
    state: str
    """`finished`; `partial`, it can go on; `failed`, it can, too, and its last evaluation failed;
    `empty`, nothing evaluated."""
    reason: str
    """Why it ended, or what its last failure was; empty where there is nothing to say."""
    steps: tuple[Step, ...]
    max_fidelity: int
    maximise: bool
    attributes: dict[str, Any]
    """What the study says of itself: options, budget, versions, machine, ..."""
    space: dict[str, BaseDistribution]

    def spent(self, axis: str) -> Array:
        """What was spent by the end of each evaluation, on one of `AXES`."""
        if axis == "evaluations":
            return np.cumsum([not step.job.is_repeat for step in self.steps], dtype=float)
        each = np.array([getattr(step.job, axis) for step in self.steps], dtype=float)
        return np.cumsum(each) / (self.max_fidelity if axis == "epochs" else 1)

    @cached_property
    def values(self) -> Array:
        """The value of each evaluation; NaN below full fidelity and where it failed."""
        return np.array([self._value(step.job) for step in self.steps], dtype=float)

    @cached_property
    def incumbents(self) -> Array:
        """The best value so far, after each evaluation; NaN before the first."""
        best = np.fmax if self.maximise else np.fmin
        return best.accumulate(self.values) if len(self.values) else self.values

    def incumbents_by(self, measure: str) -> Array:
        """The incumbent by another measure, after each evaluation; it is chosen by validation.

        NaN before the first, and where it was not measured.

        Args:
            measure: `validation`, or one of `analysis.measures.ALONG_THE_WAY`.
        """
        if measure == "validation":
            return self.incumbents
        told = (getattr(step, measure) for step in self.steps)
        values = np.array([np.nan if value is None else value for value in told], float)
        before = np.concatenate([[np.nan], self.incumbents])[:-1]
        is_new = (self.incumbents != before) & ~np.isnan(self.incumbents)
        places = np.maximum.accumulate(np.where(is_new, np.arange(len(values)), -1))
        found: Array = np.where(places < 0, np.nan, values[places])
        return found

    @property
    def incumbent(self) -> float | None:
        """The best value of all; None if there is none."""
        last = self.incumbents[-1:]
        return float(last[0]) if last.size and not np.isnan(last[0]) else None

    @property
    def is_finished(self) -> bool:
        """Whether it has had all of its budget; what others have found is not comparable."""
        return self.state == "finished"

    def _value(self, job: JobRecord) -> float:
        is_full = job.fidelity >= self.max_fidelity and not job.pruned
        return job.value if is_full and job.value is not None else np.nan


def read(storage: BaseStorage, suite: str) -> list[History]:
    """Read every run of a suite, also while runs go on.

    Raises:
        HpoBenchError: The storage holds no run of it.
    """
    return [history_of(study) for study in read_suite(storage, suite).runs]


def budget_factor(history: History) -> int:
    """How many times the suite's budget a run has."""
    factor: int = history.attributes.get("budget_factor", 1)
    return factor


def by_method(histories: Sequence[History]) -> dict[str, list[History]]:
    """Group runs by method, each group by seed."""
    groups: dict[str, list[History]] = {}
    for history in sorted(histories, key=lambda h: (h.method, h.seed)):
        groups.setdefault(history.method, []).append(history)
    return groups


def history_of(run: Stored) -> History:
    """Put the evaluations of a run in their order."""
    attributes, trials = run.attributes, run.trials
    steps = _steps(run)
    state, reason = _state(attributes, trials, steps)
    return History(
        method=run.method,
        seed=run.seed,
        state=state,
        reason=reason,
        steps=steps,
        # A study whose creation was cut short says nothing of itself, and has no evaluations.
        max_fidelity=attributes.get("max_fidelity", 1),
        maximise=run.direction is StudyDirection.MAXIMIZE,
        attributes=attributes if CREATED in attributes else {},
        space=_space(trials),
    )


def _space(trials: Sequence[FrozenTrial]) -> dict[str, BaseDistribution]:
    """Give what was searched: by most trials, for one may have failed early, or be another's."""
    found: list[dict[str, BaseDistribution]] = []
    counts: list[int] = []
    for trial in trials:
        if trial.distributions in found:
            counts[found.index(trial.distributions)] += 1
        elif trial.distributions:
            found.append(trial.distributions)
            counts.append(1)
    return found[counts.index(max(counts))] if found else {}


def _steps(run: Stored) -> tuple[Step, ...]:
    """All jobs, in the order in which they were recorded.

    Records of an earlier version have no time; of those, one bracket came after the other, and
    rung by rung within each, which is what one worker does.
    """
    found = []
    for trial, jobs in zip(run.trials, run.jobs, strict=True):
        bracket = trial.user_attrs.get("bracket", 0)
        recorded = recorded_values(trial)
        for place, job in enumerate(jobs):
            is_last = place == len(jobs) - 1
            told = _measured(trial) if is_last else (None, None, None)
            key = (job.ended or 0.0, bracket, place, trial.number)
            step = Step(trial.number, dict(trial.params), job, told[0], recorded, *told[1:])
            found.append((key, step))
    return tuple(step for _, step in sorted(found, key=lambda pair: pair[0]))


def _measured(trial: FrozenTrial) -> tuple[float | None, float | None, float | None]:
    return test_accuracy(trial), measured(trial, "held_out"), measured(trial, "held_out_test")


def _state(
    attributes: dict[str, Any], trials: Sequence[FrozenTrial], steps: Sequence[Step]
) -> tuple[str, str]:
    if FINISHED in attributes:
        return "finished", attributes[FINISHED]
    if not steps:
        return "empty", ""
    last = steps[-1]
    if last.job.value is None and not last.job.pruned:
        failed = next(trial for trial in trials if trial.number == last.trial)
        return "failed", failed.user_attrs.get("error", "")
    return "partial", ""
