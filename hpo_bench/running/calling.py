"""Evaluations that are one call: a function of Optuna's, which suggests and reports by itself."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

from optuna import TrialPruned
from optuna.distributions import BaseDistribution

from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives import Objective
from hpo_bench.running.faults import EvaluationError
from hpo_bench.running.processes import EndingCopies
from hpo_bench.running.tasks import Listener, Task, Work
from hpo_bench.search import Outcome
from hpo_bench.storage import records

logger = logging.getLogger(__name__)

T = TypeVar("T")


class _Left(BaseException):
    """Ends a call from inside; no `except Exception` of the function's holds it up."""


class Calling:
    """One call, which answers what the function asks of its trial.

    Where evaluations are taken to a lower fidelity first, the function is told to prune there;
    one that never asks whether to prune runs to its end. When its trial is gone on with, the
    function is called again from its start.

    Args:
        objective: What is called.
        task: What for.
        listener: Who follows it.
        should_stop: Asked at every report; once true, the call is left, and made again later.
    """

    def __init__(
        self, objective: Objective, task: Task, listener: Listener, should_stop: Callable[[], bool]
    ) -> None:
        self.is_under_way = True
        self.work: Work | None = None
        self._objective = objective
        self._task = task
        self._listener = listener
        self._should_stop = should_stop
        self._reports: list[float] = []
        self._attributes: dict[str, Any] = {}
        self._elsewhere = 0.0
        self._fault: BaseException | None = None

    def begin(self) -> None:
        """There is nothing to take up before the call."""

    def close(self) -> None:
        """There is nothing to give back after it."""

    def leave(self) -> None:
        """Do not begin."""
        self.is_under_way = False

    def advance(self) -> None:
        """Call the function, from its start to its end.

        Raises:
            HpoBenchError: Whoever answers has failed: the storage is gone, say.
        """
        self.is_under_way = False
        started, error, outcome = time.perf_counter(), None, None
        try:
            with EndingCopies():
                outcome = self._call()
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except EvaluationError as raised:
            error = raised
        except BaseException as raised:  # also `sys.exit()`, and what libraries derive from it
            error = EvaluationError.of(raised)
        if self._fault is not None:  # whatever the function has made of it
            if isinstance(self._fault, HpoBenchError):
                raise self._fault
            return
        seconds = time.perf_counter() - started - self._elsewhere
        self.work = self._work(outcome, error, max(0.0, seconds))

    def _call(self) -> Outcome:
        try:
            value = self._objective.call(self._task.number, self._task.configuration, self)
        except TrialPruned:
            return self._pruned()
        if value is None:
            raise EvaluationError("the function returned None; expected a number")
        number = records.as_number(value)
        if not math.isfinite(number):
            raise EvaluationError(f"the value is {number}")
        return Outcome(max(len(self._reports), self._objective.max_fidelity), number)

    def _pruned(self) -> Outcome:
        reached = len(self._reports)
        last = self._reports[-1] if self._reports else None
        is_told = self._is_far_enough()
        if is_told and (last is None or not math.isfinite(last)):
            raise EvaluationError(f"the value is {last} at step {reached}")
        is_finite = last is not None and math.isfinite(last)
        return Outcome(reached, last if is_finite else None, pruned=not is_told)

    def _work(self, outcome: Outcome | None, error: EvaluationError | None, seconds: float) -> Work:
        if error is not None or outcome is None:
            assert error is not None
            logger.warning("trial %d failed: %s", self._task.number, error.reason)
            outcome = Outcome(len(self._reports), None)
        return Work(
            outcome,
            epochs=max(1, len(self._reports)),
            train_seconds=seconds,
            measurements=self._attributes,
            error=None if error is None else error.reason,
            traceback=None if error is None else error.traceback,
            restarted=self._task.reported > 0,
        )

    def _is_far_enough(self) -> bool:
        """Whether it was only to come so far, which is short of its end."""
        is_partial = self._task.until < self._objective.max_fidelity
        return is_partial and len(self._reports) >= self._task.until

    def suggest(self, name: str, dist: BaseDistribution) -> Any:
        """Ask the study."""
        return self._ask(lambda: self._listener.suggest(name, dist))

    def report(self, step: int, value: float) -> None:
        """Tell the study; leave here where that was asked for."""
        self._reports.append(value)
        reached = len(self._reports)
        self._ask(lambda: self._listener.report(step, value, reached))
        if self._should_stop():
            self._fault = _Left()
            raise self._fault

    def should_prune(self) -> bool:
        """Ask the study's pruner, or say that it has come far enough."""
        return self._is_far_enough() or self._ask(self._listener.should_prune)

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep what is recorded with the trial; a name that the harness uses gets another."""
        self._attributes[records.own_name(key, value)] = value

    def _ask(self, question: Callable[[], T]) -> T:
        """Ask the listener; the time it takes is not the function's, nor are its faults."""
        started = time.perf_counter()
        try:
            return question()
        except HpoBenchError as error:
            self._fault = error
            raise _Left from error
        finally:
            self._elsewhere += time.perf_counter() - started
