"""Doing a job: a configuration trained unit by unit, reported, saved, able to go on."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hpo_bench import records
from hpo_bench.checkpoints import Checkpoints, Progress
from hpo_bench.clock import Clock
from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives import Evaluation, Objective
from hpo_bench.search import Job, Outcome
from hpo_bench.storage import recorded

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 10.0
"""Training that a crash may cost at most; what is shorter is repeated, with the same result."""


class EvaluationError(Exception):
    """The objective raised, or its value is not a number; the run goes on without this trial."""


@dataclass
class Work:
    """What a job has come to."""

    outcome: Outcome
    epochs: int
    """Units of fidelity trained for this job, in whatever process."""
    train_seconds: float
    earlier_seconds: float
    """The part of `train_seconds` spent in a process that is gone, known from its checkpoint."""
    measurements: dict[str, float] = field(default_factory=dict)
    error: str | None = None


class Evaluator:
    """Takes jobs to their fidelity."""

    def __init__(
        self,
        objective: Objective,
        checkpoints: Checkpoints,
        clock: Clock,
        should_stop: Callable[[], bool],
        on_unit: Callable[[int], None],
    ) -> None:
        """Make an evaluator.

        Args:
            objective: What evaluates.
            checkpoints: Where unfinished evaluations are kept.
            clock: Charged with the pruner's time.
            should_stop: Asked before every unit of fidelity.
            on_unit: Told after every unit how many this job has trained.
        """
        self.objective = objective
        self.checkpoints = checkpoints
        self.clock = clock
        self.should_stop = should_stop
        self.on_unit = on_unit

    def do(self, job: Job) -> Work | None:
        """Do a job; None if told to stop on the way (what was trained is saved).

        Raises:
            HpoBenchError: A checkpoint or a measurement cannot be recorded.
        """
        return _Training(self, job).work()


class _Training:
    """One job under way."""

    def __init__(self, evaluator: Evaluator, job: Job) -> None:
        trial = recorded(job.trial)
        before = records.jobs_of(trial)
        self._at = evaluator
        self._job = job
        self._reported = set(trial.intermediate_values)
        self._fidelity_before = max((done.fidelity for done in before), default=0)
        self._seconds_before = sum(done.train_seconds for done in before)
        self._saved_at = time.perf_counter()
        self._values: list[float] = []
        self._epochs = 0
        self._seconds = 0.0
        self._earlier_seconds = 0.0

    def work(self) -> Work | None:
        try:
            evaluation = self._take_up()
            outcome = self._train(evaluation)
            if outcome is None:
                return None
            with self._timed():
                measurements = dict(evaluation.measurements())
        except EvaluationError as error:
            logger.warning("trial %d failed: %s", self._job.trial.number, error)
            return self._work(Outcome(len(self._values), None), {}, str(error))
        return self._work(outcome, records.checked(measurements), None)

    def _work(self, outcome: Outcome, measurements: dict[str, float], error: str | None) -> Work:
        return Work(
            outcome, self._epochs, self._seconds, self._earlier_seconds, measurements, error
        )

    def _take_up(self) -> Evaluation:
        """Go on from the checkpoint if there is a good one, else from the start."""
        try:
            evaluation = self._restored()
        except HpoBenchError as error:
            logger.warning("%s; the evaluation starts again", error)
            evaluation = None
        if evaluation is not None:
            return evaluation
        if self._fidelity_before:
            reason = "there was no usable checkpoint: trained again from the start"
            self._job.trial.set_user_attr("restarted", reason)
        with self._timed():
            return self._at.objective.start(self._job.configuration)

    def _restored(self) -> Evaluation | None:
        found = self._at.checkpoints.load(self._job.trial.number)
        if found is None:
            return None
        progress, state = found
        started = time.perf_counter()
        evaluation = self._at.objective.restore(self._job.configuration, state)
        self._seconds += time.perf_counter() - started
        self._values = list(progress.values)
        self._earlier_seconds = max(0.0, progress.train_seconds - self._seconds_before)
        self._seconds += self._earlier_seconds
        self._epochs = len(self._values) - self._fidelity_before
        for step, value in enumerate(self._values, start=1):
            self._report(step, value)
        return evaluation

    def _train(self, evaluation: Evaluation) -> Outcome | None:
        until, pruned = self._job.until, False
        while evaluation.fidelity < until and not pruned:
            if self._at.should_stop():
                self._save(evaluation)
                return None
            self._advance(evaluation)
            pruned = evaluation.fidelity < until and self._should_prune()
        if until < self._at.objective.max_fidelity and not pruned:
            self._save(evaluation)
        return Outcome(evaluation.fidelity, self._values[-1], pruned)

    def _advance(self, evaluation: Evaluation) -> None:
        before = evaluation.fidelity
        with self._timed():
            value = float(evaluation.advance())
        if evaluation.fidelity != before + 1:
            raise HpoBenchError(
                f"{type(evaluation).__name__}.advance took fidelity from {before} to "
                f"{evaluation.fidelity}; expected one unit more"
            )
        self._epochs += 1
        self._values.append(value)
        if not math.isfinite(value):
            raise EvaluationError(f"the value is {value} after epoch {evaluation.fidelity}")
        self._report(evaluation.fidelity, value)
        self._at.on_unit(self._epochs)
        if time.perf_counter() - self._saved_at > CHECKPOINT_SECONDS:
            self._save(evaluation)

    def _report(self, step: int, value: float) -> None:
        if step not in self._reported:
            self._job.trial.report(value, step)
            self._reported.add(step)

    def _should_prune(self) -> bool:
        with self._at.clock.sampling():
            return self._job.trial.should_prune()

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        except Exception as error:
            raise EvaluationError(f"{type(error).__name__}: {error}") from error
        finally:
            self._seconds += time.perf_counter() - started

    def _save(self, evaluation: Evaluation) -> None:
        with self._timed():
            state = evaluation.checkpoint()
        if state is not None:
            progress = Progress(self._values, self._seconds_before + self._seconds)
            self._at.checkpoints.save(self._job.trial.number, progress, state)
        self._saved_at = time.perf_counter()
