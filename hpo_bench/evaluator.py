"""Doing a job: a configuration trained unit by unit, reported, saved, able to go on."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from optuna.trial import FrozenTrial

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
    """What a job has come to: totals of its trial, over all jobs and processes."""

    outcome: Outcome
    epochs: int
    """Units of fidelity trained for this trial."""
    train_seconds: float
    earlier_seconds: float = 0.0
    """Training of this job in a process that is gone, known from its checkpoint."""
    measurements: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    is_new: bool = True
    """False if the job had been done and recorded before a crash."""


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
        self._objective = objective
        self._checkpoints = checkpoints
        self._clock = clock
        self._should_stop = should_stop
        self._on_unit = on_unit

    def do(self, job: Job) -> Work | None:
        """Do a job; None if told to stop on the way (what was trained is saved)."""
        trial = recorded(job.trial)
        known = self._known_outcome(job, trial)
        if known is not None:
            attributes = trial.user_attrs
            return Work(known, attributes["epochs"], attributes["train_seconds"], is_new=False)
        training = _Training(self, job, trial)
        try:
            outcome = training.run()
        except EvaluationError as error:
            logger.warning("trial %d failed: %s", job.trial.number, error)
            outcome = Outcome(len(training.values), None)
            return training.account(outcome, error=str(error))
        return None if outcome is None else training.account(outcome)

    def _known_outcome(self, job: Job, trial: FrozenTrial) -> Outcome | None:
        """The outcome of a job that was recorded, but not told when its process died."""
        attributes = trial.user_attrs
        reached = max(attributes.get("evaluated_at", [0]))
        if attributes.get("epochs", -1) < reached:  # `epochs` is what is written last
            return None
        if "error" in attributes:
            return Outcome(reached, None)
        value = trial.intermediate_values.get(reached)
        if value is None or reached >= job.until:
            return None if value is None else Outcome(reached, value)
        return Outcome(reached, value, pruned=True) if self.should_prune(job) else None

    def should_prune(self, job: Job) -> bool:
        """Ask the study's pruner."""
        with self._clock.sampling():
            return job.trial.should_prune()


class _Training:
    """One job under way."""

    def __init__(self, evaluator: Evaluator, job: Job, trial: FrozenTrial) -> None:
        self._evaluator = evaluator
        self._job = job
        self._reported = set(trial.intermediate_values)
        self._epochs_before: int = trial.user_attrs.get("epochs", 0)
        self._saved_at = time.perf_counter()
        self.values: list[float] = []
        self.epochs = self._epochs_before
        self._seconds_before: float = trial.user_attrs.get("train_seconds", 0.0)
        self.seconds = self._seconds_before
        self.earlier_seconds = 0.0
        self.measurements: dict[str, float] = {}

    def account(self, outcome: Outcome, error: str | None = None) -> Work:
        return Work(
            outcome,
            self.epochs,
            self.seconds,
            self.earlier_seconds,
            {} if error else self.measurements,
            error,
        )

    def run(self) -> Outcome | None:
        evaluation = self._take_up()
        for step, value in enumerate(self.values, start=1):
            self._report(step, value)
        pruned = False
        while evaluation.fidelity < self._job.until and not pruned:
            if self._evaluator._should_stop():
                self._save(evaluation)
                return None
            self._advance(evaluation)
            pruned = evaluation.fidelity < self._job.until and self._evaluator.should_prune(
                self._job
            )
        with self._timed():
            self.measurements = dict(evaluation.measurements())
        if self._job.until < self._evaluator._objective.max_fidelity and not pruned:
            self._save(evaluation)
        return Outcome(evaluation.fidelity, self.values[-1], pruned)

    def _take_up(self) -> Evaluation:
        """Go on from the checkpoint if there is one, else from the start."""
        objective, configuration = self._evaluator._objective, self._job.configuration
        found = self._load()
        with self._timed():
            if found is None:
                return objective.start(configuration)
            progress, state = found
            evaluation = objective.restore(configuration, state)
        self.values = list(progress.values)
        self.earlier_seconds = max(0.0, progress.train_seconds - self._seconds_before)
        self.seconds += self.earlier_seconds
        self.epochs = max(self.epochs, len(self.values))
        return evaluation

    def _load(self) -> tuple[Progress, bytes] | None:
        number = self._job.trial.number
        try:
            found = self._evaluator._checkpoints.load(number)
        except HpoBenchError as error:
            logger.warning("%s; the evaluation starts again", error)
            found = None
        if found is None and self._epochs_before:
            self._job.trial.set_user_attr("restarted", "its checkpoint was gone or damaged")
        return found

    def _advance(self, evaluation: Evaluation) -> None:
        with self._timed():
            value = float(evaluation.advance())
        self.epochs += 1
        self.values.append(value)
        if not math.isfinite(value):
            raise EvaluationError(f"the value is {value} after epoch {evaluation.fidelity}")
        self._report(evaluation.fidelity, value)
        self._evaluator._on_unit(self.epochs - self._epochs_before)
        if time.perf_counter() - self._saved_at > CHECKPOINT_SECONDS:
            self._save(evaluation)

    def _report(self, step: int, value: float) -> None:
        if step not in self._reported:
            self._job.trial.report(value, step)
            self._reported.add(step)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        except Exception as error:
            raise EvaluationError(f"{type(error).__name__}: {error}") from error
        finally:
            self.seconds += time.perf_counter() - started

    def _save(self, evaluation: Evaluation) -> None:
        state = evaluation.checkpoint()
        if state is not None:
            progress = Progress(self.values, self.seconds)
            self._evaluator._checkpoints.save(self._job.trial.number, progress, state)
        self._saved_at = time.perf_counter()
