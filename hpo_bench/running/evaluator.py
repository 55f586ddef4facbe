"""Doing jobs: configurations trained unit by unit, alone or together, saved, able to go on.

What is here needs no storage, so that it can be done in a process that has none: it is told of
a task, reports to a listener, and leaves checkpoints.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from hpo_bench.errors import HpoBenchError, reason_of
from hpo_bench.objectives import Evaluation, Objective
from hpo_bench.running.calling import Calling
from hpo_bench.running.checkpoints import Checkpoints, Progress
from hpo_bench.running.faults import EvaluationError
from hpo_bench.running.processes import EndingCopies
from hpo_bench.running.tasks import Listener, Task, Work
from hpo_bench.search import Outcome
from hpo_bench.storage import records

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 10.0
"""Training that a crash may cost at most; what is shorter is repeated, with the same result."""


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

    def do(self, given: Sequence[tuple[Task, Listener]]) -> list[Work | None]:
        """Do tasks side by side; those have None that were told to stop on the way (and saved).

        Where the objective can advance several at once for less, they share what that costs.

        Raises:
            HpoBenchError: A checkpoint cannot be written.
        """
        trainings = [
            Calling(self.objective, task, listener, self.should_stop)
            if self.objective.is_called
            else _Training(self, task, listener)
            for task, listener in given
        ]
        try:
            for training in trainings:
                training.begin()
            while under_way := [training for training in trainings if training.is_under_way]:
                self._go_on(under_way)
        finally:
            for training in trainings:
                training.close()
        return [training.work for training in trainings]

    def _go_on(self, under_way: Sequence[_Training | Calling]) -> None:
        if self.should_stop():
            for training in under_way:
                training.leave()
        elif len(under_way) == 1 or self.objective.is_called:
            under_way[0].advance()
        else:
            self._advance([one for one in under_way if isinstance(one, _Training)])

    def _advance(self, together: Sequence[_Training]) -> None:
        started = time.perf_counter()
        evaluations = [training.evaluation for training in together]
        try:
            with EndingCopies():
                values = [records.as_number(v) for v in self.objective.advance_many(evaluations)]
            if len(values) != len(together):
                raise ValueError(f"it gave {len(values)} values for {len(together)} evaluations")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # Nobody knows which one it was, or how far the others have come.
            reason = reason_of(error)
            logger.warning("%s (in one of %d at once; now one by one)", reason, len(together))
            for training in together:
                training.begin()
                while training.is_under_way and not self.should_stop():
                    training.advance()
            return
        seconds = (time.perf_counter() - started) / len(together)
        for training, value in zip(together, values, strict=True):
            training.take(value, seconds)


class _Training:
    """One task under way."""

    def __init__(self, evaluator: Evaluator, task: Task, listener: Listener) -> None:
        self._at = evaluator
        self._task = task
        self._listener = listener
        self._saved_at = time.perf_counter()
        self._seconds = 0.0
        self._earlier_seconds = 0.0
        self._simulated_seconds = 0.0
        self.is_under_way = True
        self._held = ExitStack()
        self.work: Work | None = None

    def begin(self) -> None:
        """Go on from the checkpoint if there is a good one, else from the start."""
        self.close()
        self._values: list[float] = []
        self._epochs = 0
        self._restarted = False
        with self._failing():
            self.evaluation = self._take_up()
            self._see_whether_done(pruned=False)

    def advance(self) -> None:
        """Go one unit of fidelity further."""
        with self._failing():
            with self._timed():
                value = records.as_number(self.evaluation.advance())
            self._take(value)

    def take(self, value: float, seconds: float) -> None:
        """Take what going one unit further together with others has given, and has cost."""
        self._seconds += seconds
        with self._failing():
            self._take(value)

    def leave(self) -> None:
        """Save it, undone."""
        with self._failing():
            self._save()
            self.is_under_way = False
            self.close()

    def close(self) -> None:
        """Let the evaluation give back what it holds; what fails then changes no result."""
        try:
            with self._timed():
                self._held.close()
        except EvaluationError as error:
            logger.warning("trial %d: close(): %s", self._task.number, error)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """End the task where the objective fails."""
        try:
            yield
        except EvaluationError as error:
            logger.warning("trial %d failed: %s", self._task.number, error.reason)
            self._end(Outcome(len(self._values), None), {}, error)

    def _end(
        self, outcome: Outcome, measurements: dict[str, float], error: EvaluationError | None = None
    ) -> None:
        self.is_under_way = False
        self.close()
        self.work = Work(
            outcome,
            self._epochs,
            self._seconds,
            self._earlier_seconds,
            self._simulated_seconds,
            measurements,
            error=None if error is None else error.reason,
            traceback=None if error is None else error.traceback,
            restarted=self._restarted,
        )

    def _take_up(self) -> Evaluation:
        restored = self._restored()
        if restored is None:
            self._restarted = self._task.reported > 0
            self._at.checkpoints.remove_folder(self._task.number)
            with self._timed():
                return self._begun(self._at.objective.start(self._task.configuration))
        progress, evaluation = restored
        self._values = list(progress.values)
        self._epochs = len(self._values) - self._task.fidelity_before
        for step, value in enumerate(self._values, start=1):
            self._listener.report(step, value, step)
        return evaluation

    def _restored(self) -> tuple[Progress, Evaluation] | None:
        """What there is to go on from; None if there is nothing, or nothing that can be used."""
        try:
            found = self._at.checkpoints.load(self._task.number)
            if found is None:
                return None
            progress, state = found
            earlier = progress.train_seconds - self._task.seconds_before - self._seconds
            with self._timed():
                evaluation = self._at.objective.restore(self._task.configuration, state)
                _expect_fidelity(evaluation, len(progress.values))
                self._begun(evaluation)
        except (HpoBenchError, EvaluationError) as error:
            logger.warning("trial %d: %s; the evaluation starts again", self._task.number, error)
            self.close()
            return None
        self._earlier_seconds += max(0.0, earlier)
        self._seconds += max(0.0, earlier)
        return progress, evaluation

    def _begun(self, evaluation: Evaluation) -> Evaluation:
        self._held.callback(evaluation.close)
        evaluation.begin(self._task.until, self._at.checkpoints.folder(self._task.number))
        return evaluation

    def _take(self, value: float) -> None:
        with self._timed():
            _expect_fidelity(self.evaluation, len(self._values) + 1)
            simulated = records.as_number(self.evaluation.simulated_seconds)
        self._seconds += simulated
        self._simulated_seconds += simulated
        self._epochs += 1
        self._values.append(value)
        fidelity = len(self._values)
        if not math.isfinite(value):
            raise EvaluationError(f"the value is {value} after epoch {fidelity}")
        self._listener.report(fidelity, value, fidelity)
        if time.perf_counter() - self._saved_at > CHECKPOINT_SECONDS:
            self._save()
        self._see_whether_done(pruned=fidelity < self._task.until and self._listener.should_prune())

    def _see_whether_done(self, *, pruned: bool) -> None:
        until, fidelity = self._task.until, len(self._values)
        if fidelity < until and not pruned:
            return
        if until < self._at.objective.max_fidelity and not pruned:
            self._save()
        with self._timed():
            measurements = records.checked(self.evaluation.measurements())
        self._end(Outcome(fidelity, self._values[-1], pruned), measurements)

    def charge(self, seconds: float) -> None:
        """Count seconds as spent on training."""
        self._seconds += seconds

    def _timed(self) -> _Timed:
        return _Timed(self)

    def _save(self) -> None:
        with self._timed():
            state = self.evaluation.checkpoint()
            if not isinstance(state, bytes | None):
                told = type(state).__name__
                raise TypeError(f"checkpoint() gave an object of {told}; expected bytes, or None")
        if state is not None:
            progress = Progress(self._values, self._task.seconds_before + self._seconds)
            self._at.checkpoints.save(self._task.number, progress, state)
        self._saved_at = time.perf_counter()


class _Timed(EndingCopies):
    """Charges a training for code of the objective, and makes one error of all that it raises.

    A class, since a generator takes twice as long, four times for a unit of fidelity.
    """

    def __init__(self, training: _Training) -> None:
        self._training = training

    def __enter__(self) -> None:
        super().__enter__()
        self._started = time.perf_counter()

    def __exit__(self, _kind: object, raised: BaseException | None, _traceback: object) -> None:
        super().__exit__(_kind, raised, _traceback)
        self._training.charge(time.perf_counter() - self._started)
        # Also `sys.exit()`, and what libraries derive from it.
        if raised is not None and not isinstance(raised, KeyboardInterrupt | GeneratorExit):
            raise EvaluationError.of(raised) from raised


def _expect_fidelity(evaluation: Evaluation, expected: int) -> None:
    """See that an evaluation stands where it must."""
    if evaluation.fidelity != expected:
        name = type(evaluation).__name__
        raise ValueError(f"{name}.fidelity is {evaluation.fidelity!r}; expected {expected} by now")
