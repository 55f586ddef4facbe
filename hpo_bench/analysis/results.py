"""Results of a suite: one record per run, one summary per method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpo_bench.records import FINISHED, jobs_of
from hpo_bench.storage import iterate_studies

_DATA = ("data", "train_size", "validation_size", "test_size", "data_sha256")
"""Attributes in which an objective says what its data are."""


@dataclass(frozen=True)
class RunResult:
    """What one run found, and what it spent; times in seconds."""

    method: str
    seed: int
    finished: str | None
    """Why it ended; None if it has not."""
    validation: float | None
    """Value of the incumbent, by which it was chosen."""
    test: float | None
    """Test accuracy of the incumbent, which no method saw."""
    incumbent: dict[str, Any]
    """Its configuration; empty while there is none."""
    configurations: int
    evaluations: int
    epochs: int
    train_seconds: float
    sampler_seconds: float
    storage_seconds: float
    wall_seconds: float
    failed: int
    """Evaluations that failed."""
    picks: dict[str, int]
    """Configurations by how they were chosen, where the method says (BOHB does)."""
    workers: int
    """How many evaluated at the same time."""

    @property
    def rest_seconds(self) -> float:
        """Time of its workers beyond training and sampler: storage, harness, waiting."""
        return self.workers * self.wall_seconds - self.train_seconds - self.sampler_seconds


@dataclass(frozen=True)
class Spread:
    """A mean over seeds, with the standard deviation between them."""

    mean: float
    deviation: float | None
    """Sample standard deviation; None with a single seed."""

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """Summarise; None if there is nothing to summarise."""
        if not values:
            return None
        return cls(fmean(values), stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True)
class MethodResult:
    """A method over its seeds; counts and times are means per run."""

    method: str
    seeds: int
    unfinished: int
    """Runs among them that have not ended yet."""
    validation: Spread | None
    test: Spread | None
    configurations: float
    evaluations: float
    epochs: float
    train_seconds: float
    sampler_seconds: float
    rest_seconds: float
    wall_seconds: float
    failed: int
    picks: dict[str, int]
    """Summed over the seeds."""


@dataclass(frozen=True)
class SuiteResult:
    """Everything that the storage holds of a suite."""

    suite: str
    metric: str
    data: dict[str, Any]
    """What the objective says of its data: the same for every run."""
    runs: list[RunResult]
    methods: list[MethodResult]
    """Best first, by the incumbent's validation value."""


def collect(storage: BaseStorage, suite: str) -> SuiteResult:
    """Read a suite's results; also while its runs go on.

    Raises:
        HpoBenchError: The storage holds no run of it.
    """
    studies = list(iterate_studies(storage, suite))
    runs = [_run(study) for study in studies]
    first = studies[0]
    metric = first.metric_names[0] if first.metric_names else "value"
    methods = [of_method(name, runs) for name in sorted({run.method for run in runs})]
    sign = -1.0 if first.direction is StudyDirection.MAXIMIZE else 1.0
    methods.sort(key=lambda m: sign * m.validation.mean if m.validation else float("inf"))
    data = {name: first.user_attrs[name] for name in _DATA if name in first.user_attrs}
    return SuiteResult(suite, metric, data, runs, methods)


def _run(study: optuna.Study) -> RunResult:
    _, method, seed = study.study_name.split("/")
    trials = study.get_trials(deepcopy=False)
    jobs = [job for trial in trials for job in jobs_of(trial)]
    best = incumbent(trials, study.direction)
    return RunResult(
        method=method,
        seed=int(seed.removeprefix("seed-")),
        finished=study.user_attrs.get(FINISHED),
        validation=best.value if best else None,
        test=best.user_attrs.get("test_accuracy") if best else None,
        incumbent=dict(best.params) if best else {},
        configurations=len(trials),
        evaluations=len(jobs),
        epochs=sum(job.epochs for job in jobs),
        train_seconds=sum(job.train_seconds for job in jobs),
        sampler_seconds=sum(job.sampler_seconds for job in jobs),
        storage_seconds=sum(job.storage_seconds for job in jobs),
        wall_seconds=sum(job.wall_seconds for job in jobs),
        failed=sum(trial.state is TrialState.FAIL for trial in trials),
        picks=dict(Counter(t.user_attrs["pick"] for t in trials if "pick" in t.user_attrs)),
        workers=study.user_attrs.get("workers_per_run", 1),
    )


def incumbent(trials: Sequence[FrozenTrial], direction: StudyDirection) -> FrozenTrial | None:
    """The best trial at full fidelity; None while there is none.

    Values at a lower fidelity are of another scale, and never compared with full ones.
    """
    complete = [t for t in trials if t.state is TrialState.COMPLETE and t.value is not None]
    if not complete:
        return None
    best = max if direction is StudyDirection.MAXIMIZE else min
    return best(complete, key=lambda trial: trial.value)  # type: ignore[arg-type, return-value]


def of_method(name: str, all_runs: Sequence[RunResult]) -> MethodResult:
    """Summarise those of the runs that are this method's, one at least."""
    runs = [run for run in all_runs if run.method == name]
    picks: Counter[str] = Counter()
    for run in runs:
        picks.update(run.picks)
    return MethodResult(
        method=name,
        seeds=len(runs),
        unfinished=sum(run.finished is None for run in runs),
        validation=Spread.of([run.validation for run in runs if run.validation is not None]),
        test=Spread.of([run.test for run in runs if run.test is not None]),
        configurations=fmean(run.configurations for run in runs),
        evaluations=fmean(run.evaluations for run in runs),
        epochs=fmean(run.epochs for run in runs),
        train_seconds=fmean(run.train_seconds for run in runs),
        sampler_seconds=fmean(run.sampler_seconds for run in runs),
        rest_seconds=fmean(run.rest_seconds for run in runs),
        wall_seconds=fmean(run.wall_seconds for run in runs),
        failed=sum(run.failed for run in runs),
        picks=dict(picks),
    )
