"""Doing a job: a configuration trained unit by unit, saved, able to go on.

What is here needs no storage, so that it can be done in a process that has none: it is told of
a task, reports to a listener, and leaves checkpoints.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from hpo_bench import records
from hpo_bench.checkpoints import Checkpoints, Progress
from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives import Evaluation, Objective
from hpo_bench.search import Outcome
from hpo_bench.spaces import Configuration

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 10.0
"""Training that a crash may cost at most; what is shorter is repeated, with the same result."""


class EvaluationError(Exception):
    """The objective raised, or its value is not a number; the run goes on without this trial."""


@dataclass(frozen=True)
class Task:
    """What an evaluator must know of a job."""

    number: int
    """Of the trial."""
    configuration: Configuration
    until: int
    """Fidelity to reach, in epochs."""
    fidelity_before: int = 0
    """What earlier jobs of the trial have reached."""
    seconds_before: float = 0.0
    """What they have spent on training."""


@dataclass
class Work:
    """What a task has come to."""

    outcome: Outcome
    epochs: int = 0
    """Units of fidelity trained for this task, in whatever process."""
    train_seconds: float = 0.0
    earlier_seconds: float = 0.0
    """The part of `train_seconds` spent in a process that is gone, known from its checkpoint."""
    measurements: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    restarted: bool = False
    """There was no usable checkpoint to go on from."""
    worker: str | None = None
    """The process that did it, where it was another one."""


class Listener(Protocol):
    """Who follows an evaluation."""

    def report(self, step: int, value: float) -> None:
        """Take the value at a fidelity; one that was reported before may come again."""

    def should_prune(self) -> bool:
        """Say whether to stop here."""


class Evaluator:
    """Takes tasks to their fidelity.

    Args:
        objective: What evaluates.
        checkpoints: Where unfinished evaluations are kept.
        should_stop: Asked before every unit of fidelity.
    """

    def __init__(
        self, objective: Objective, checkpoints: Checkpoints, should_stop: Callable[[], bool]
    ) -> None:
        self.objective = objective
        self.checkpoints = checkpoints
        self.should_stop = should_stop

    def do(self, task: Task, listener: Listener) -> Work | None:
        """Do a task; None if told to stop on the way (what was trained is saved).

        Raises:
            HpoBenchError: A checkpoint or a measurement cannot be recorded.
        """
        return _Training(self, task, listener).work()


class _Training:
    """One task under way."""

    def __init__(self, evaluator: Evaluator, task: Task, listener: Listener) -> None:
        self._at = evaluator
        self._task = task
        self._listener = listener
        self._saved_at = time.perf_counter()
        self._values: list[float] = []
        self._epochs = 0
        self._seconds = 0.0
        self._earlier_seconds = 0.0
        self._restarted = False

    def work(self) -> Work | None:
        try:
            evaluation = self._take_up()
            outcome = self._train(evaluation)
            if outcome is None:
                return None
            with self._timed():
                measurements = dict(evaluation.measurements())
        except EvaluationError as error:
            logger.warning("trial %d failed: %s", self._task.number, error)
            return self._work(Outcome(len(self._values), None), {}, str(error))
        return self._work(outcome, records.checked(measurements), None)

    def _work(self, outcome: Outcome, measurements: dict[str, float], error: str | None) -> Work:
        return Work(
            outcome,
            self._epochs,
            self._seconds,
            self._earlier_seconds,
            measurements,
            error,
            self._restarted,
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
        self._restarted = self._task.fidelity_before > 0
        with self._timed():
            return self._at.objective.start(self._task.configuration)

    def _restored(self) -> Evaluation | None:
        found = self._at.checkpoints.load(self._task.number)
        if found is None:
            return None
        progress, state = found
        started = time.perf_counter()
        evaluation = self._at.objective.restore(self._task.configuration, state)
        self._seconds += time.perf_counter() - started
        self._values = list(progress.values)
        self._earlier_seconds = max(0.0, progress.train_seconds - self._task.seconds_before)
        self._seconds += self._earlier_seconds
        self._epochs = len(self._values) - self._task.fidelity_before
        for step, value in enumerate(self._values, start=1):
            self._listener.report(step, value)
        return evaluation

    def _train(self, evaluation: Evaluation) -> Outcome | None:
        until, pruned = self._task.until, False
        while evaluation.fidelity < until and not pruned:
            if self._at.should_stop():
                self._save(evaluation)
                return None
            self._advance(evaluation)
            pruned = evaluation.fidelity < until and self._listener.should_prune()
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
        self._listener.report(evaluation.fidelity, value)
        if time.perf_counter() - self._saved_at > CHECKPOINT_SECONDS:
            self._save(evaluation)

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
            progress = Progress(self._values, self._task.seconds_before + self._seconds)
            self._at.checkpoints.save(self._task.number, progress, state)
        self._saved_at = time.perf_counter()
