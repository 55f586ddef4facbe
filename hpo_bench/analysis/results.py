"""Results of a suite: one record per run, one summary per method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from hpo_bench.analysis.endpoint import Endpoint, endpoint_of
from hpo_bench.analysis.means import deviation, mean
from hpo_bench.analysis.measures import is_maximised
from hpo_bench.analysis.stored import Stored, StoredSuite, read_suite
from hpo_bench.spaces import key_of
from hpo_bench.storage.records import (
    FINISHED,
    incumbent,
    measured,
    recorded_values,
    test_accuracy,
)
from hpo_bench.storage.rows import Fault

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
    held_out: float | None
    """Mean value of its configuration's recorded trainings that the run did not see."""
    held_out_test: float | None
    """Their mean test accuracy."""
    incumbent: dict[str, Any]
    """Its configuration; empty while there is none."""
    configurations: int
    """Those that the method proposed."""
    distinct: int
    """How many different ones are among them."""
    evaluations: int
    """Those that were done."""
    repeats: int
    """Those that were answered from the run's own record, at no cost."""
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
    budget_factor: int = 1
    """How many times the suite's budget it had."""
    confirmations: int = 0
    """How often its incumbent was trained again, by fresh seeds."""
    unconfirmed: int = 0
    """How often training it again failed: it found something that does not always train."""
    confirmed: float | None = None
    """Mean validation value of those that did not fail."""
    confirmed_deviation: float | None = None
    """Sample standard deviation between them; None of a single one."""
    confirmed_test: float | None = None
    confirmed_test_deviation: float | None = None
    recorded: dict[str, float] = field(default_factory=dict)
    """What the levels of the incumbent stand for, where it was replayed from a table."""

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
        return cls(mean(values), deviation(values) if len(values) > 1 else None)


@dataclass(frozen=True)
class MethodResult:
    """A method over its seeds; counts and times are means per run."""

    method: str
    seeds: int
    unfinished: int
    """Runs among them that have not ended yet."""
    validation: Spread | None
    test: Spread | None
    endpoint: Spread | None
    """Of what verdicts use; None where it is not measured yet."""
    configurations: float
    distinct: float
    evaluations: float
    epochs: float
    train_seconds: float
    sampler_seconds: float
    rest_seconds: float
    wall_seconds: float
    failed: int
    picks: dict[str, int]
    """Summed over the seeds."""
    budget_factor: int = 1
    confirmed: Spread | None = None
    """Of the incumbents trained again: mean over runs of their means."""
    confirmed_test: Spread | None = None


@dataclass(frozen=True)
class SuiteResult:
    """Everything that the storage holds of a suite."""

    suite: str
    metric: str
    endpoint: Endpoint
    data: dict[str, Any]
    """What the objective says of its data: the same for every run."""
    runs: list[RunResult]
    methods: list[MethodResult]
    """Best first, by the endpoint."""
    baselines: list[RunResult]
    """Fixed configurations, trained by the seeds of the runs: the objective's default, which comes
    first, and those that the suite names; their names stand for the method."""
    left_out: list[Fault]
    """What the storage holds of it that is not sound."""
    maximise: bool = True
    """Whether more of the value is better."""
    is_simulated: bool = False
    """Whether the seconds of evaluations are recorded ones, which nobody waited for."""


def names_of(runs: Sequence[RunResult]) -> list[str]:
    """Name the methods, or baselines, of runs, in their order."""
    return list(dict.fromkeys(run.method for run in runs))


def collect(storage: BaseStorage, suite: str) -> SuiteResult:
    """Read a suite's results; also while its runs go on.

    Raises:
        HpoBenchError: The storage holds no run of it.
    """
    return results_of(read_suite(storage, suite))


def results_of(stored: StoredSuite) -> SuiteResult:
    """Sum up a suite that was read."""
    runs = [_confirmed(_run(run), stored.confirmations.get(run.name)) for run in stored.runs]
    first = stored.runs[0]
    endpoint = endpoint_of(stored.runs, runs)
    names = sorted({run.method for run in runs})
    methods = [of_method(name, runs, endpoint.measure) for name in names]
    maximise = first.direction is StudyDirection.MAXIMIZE
    sign = -1.0 if is_maximised(endpoint.measure, maximise=maximise) else 1.0
    methods.sort(key=lambda m: sign * m.endpoint.mean if m.endpoint else float("inf"))
    return SuiteResult(
        suite=stored.name,
        metric=first.metric,
        endpoint=endpoint,
        data={name: first.attributes[name] for name in _DATA if name in first.attributes},
        runs=runs,
        methods=methods,
        baselines=[
            replace(_run(study), method=name)
            for name, studies in stored.baselines.items()
            for study in studies
        ],
        left_out=stored.left_out,
        maximise=maximise,
        is_simulated=first.is_simulated,
    )


def _run(study: Stored) -> RunResult:
    trials, attributes = study.trials, study.attributes
    jobs = [job for done in study.jobs for job in done]
    best = incumbent(trials, study.direction)
    return RunResult(
        method=study.method,
        seed=study.seed,
        finished=attributes.get(FINISHED),
        validation=best.value if best else None,
        test=test_accuracy(best) if best else None,
        held_out=measured(best, "held_out") if best else None,
        held_out_test=measured(best, "held_out_test") if best else None,
        incumbent=dict(best.params) if best else {},
        configurations=len(trials),
        distinct=len({key_of(trial.params) for trial in trials}),
        evaluations=sum(not job.is_repeat for job in jobs),
        repeats=sum(job.is_repeat for job in jobs),
        epochs=sum(job.epochs for job in jobs),
        train_seconds=sum(job.train_seconds for job in jobs),
        sampler_seconds=sum(job.sampler_seconds for job in jobs),
        storage_seconds=sum(job.storage_seconds for job in jobs),
        wall_seconds=sum(job.wall_seconds for job in jobs),
        failed=sum(trial.state is TrialState.FAIL for trial in trials),
        picks=dict(Counter(t.user_attrs["pick"] for t in trials if "pick" in t.user_attrs)),
        workers=attributes.get("workers_per_run", 1),
        budget_factor=attributes.get("budget_factor", 1),
        recorded=recorded_values(best) if best else {},
    )


def _confirmed(run: RunResult, again: Stored | None) -> RunResult:
    """Add what a run's incumbent came to when it was trained again."""
    trials = [] if again is None else again.trials
    trained = [trial for trial in trials if trial.value is not None]
    values = [trial.value for trial in trained if trial.value is not None]
    tests = [found for trial in trained if (found := test_accuracy(trial)) is not None]
    value, test = Spread.of(values), Spread.of(tests)
    return replace(
        run,
        confirmations=len(values),
        unconfirmed=sum(trial.state is TrialState.FAIL for trial in trials),
        confirmed=None if value is None else value.mean,
        confirmed_deviation=None if value is None else value.deviation,
        confirmed_test=None if test is None else test.mean,
        confirmed_test_deviation=None if test is None else test.deviation,
    )


def of_method(name: str, all_runs: Sequence[RunResult], endpoint: str) -> MethodResult:
    """Summarise those of the runs that are this method's, one at least.

    Args:
        name: The method's.
        all_runs: Of all methods.
        endpoint: The measure that verdicts use.
    """
    runs = [run for run in all_runs if run.method == name]
    picks: Counter[str] = Counter()
    for run in runs:
        picks.update(run.picks)
    return MethodResult(
        method=name,
        seeds=len(runs),
        unfinished=sum(run.finished is None for run in runs),
        validation=_spread(runs, "validation"),
        test=_spread(runs, "test"),
        endpoint=_spread(runs, endpoint),
        configurations=mean([run.configurations for run in runs]),
        distinct=mean([run.distinct for run in runs]),
        evaluations=mean([run.evaluations for run in runs]),
        epochs=mean([run.epochs for run in runs]),
        train_seconds=mean([run.train_seconds for run in runs]),
        sampler_seconds=mean([run.sampler_seconds for run in runs]),
        rest_seconds=mean([run.rest_seconds for run in runs]),
        wall_seconds=mean([run.wall_seconds for run in runs]),
        failed=sum(run.failed for run in runs),
        picks=dict(picks),
        budget_factor=max(run.budget_factor for run in runs),
        confirmed=_spread(runs, "confirmed"),
        confirmed_test=_spread(runs, "confirmed_test"),
    )


def _spread(runs: Sequence[RunResult], measure: str) -> Spread | None:
    values = (getattr(run, measure) for run in runs)
    return Spread.of([value for value in values if value is not None])
