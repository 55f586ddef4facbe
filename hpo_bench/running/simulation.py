"""Workers on a simulated clock: evaluations that stand for recorded ones, done at once."""

from __future__ import annotations

import time
from heapq import heappop, heappush

from hpo_bench.running.crew import Crew
from hpo_bench.running.evaluator import Evaluator
from hpo_bench.running.tasks import Listener, Task, Work


class Simulated(Crew):
    """Gives tasks back in the order in which that many workers would be done with them.

    The clock runs on by itself while the method and the storage are at work, and is put forward
    where all workers would be busy. Only this process does anything.

    What an evaluation reports on its way is passed on when it ends: earlier it would tell of a
    time that has not come yet.

    Args:
        evaluator: Does the tasks, as they are handed out.
        size: How many workers there are.
    """

    def __init__(self, evaluator: Evaluator, size: int) -> None:
        self.size = size
        self._evaluator = evaluator
        self._put_forward = 0.0
        self._under_way: list[tuple[float, int, Work | None, _Held]] = []

    def start(self, task: Task, listener: Listener) -> None:
        """Do it; it ends when its recorded time is over."""
        held = _Held(listener)
        (work,) = self._evaluator.do([(task, held)])
        seconds = 0.0 if work is None else work.simulated_seconds
        heappush(self._under_way, (self._now() + seconds, task.number, work, held))

    def next(self) -> tuple[int, Work | None]:
        """Put the clock forward to the end of the first that ends."""
        end, number, work, held = heappop(self._under_way)
        skipped = max(0.0, end - self._now())
        self._put_forward += skipped
        if work is not None:
            work.simulated_seconds = skipped
        held.pass_on()
        return number, work

    def _now(self) -> float:
        return time.perf_counter() + self._put_forward


class _Held:
    """Keeps what is reported until it may be known."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._reports: list[tuple[int, float, int]] = []
        self.suggest = listener.suggest

    def report(self, step: int, value: float, reached: int) -> None:
        self._reports.append((step, value, reached))

    def should_prune(self) -> bool:
        return False

    def pass_on(self) -> None:
        for report in self._reports:
            self._listener.report(*report)
