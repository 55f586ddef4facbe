"""Who evaluates the tasks of a run: this process, or several others."""

from __future__ import annotations

import logging
import os
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from optuna.distributions import BaseDistribution

from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives import Objective
from hpo_bench.running.checkpoints import Checkpoints
from hpo_bench.running.evaluator import Evaluator
from hpo_bench.running.gpus import see_share
from hpo_bench.running.processes import Child, Tell, settle_in, speaking
from hpo_bench.running.tasks import Listener, Task, Work
from hpo_bench.search import Outcome
from hpo_bench.storage.outages import OutageError

logger = logging.getLogger(__name__)

MAX_DEATHS = 3
"""Processes that may die over one task before it counts as failed."""


class Crew(ABC):
    """Takes up to `size` tasks at a time, and gives them back as they are done."""

    size: int = 1

    @property
    def holds_results(self) -> bool:
        """Whether some are done that `next` has still to give: worth hearing before going on."""
        return False

    @abstractmethod
    def start(self, task: Task, listener: Listener) -> None:
        """Have a task done; there must be somebody free."""

    @abstractmethod
    def next(self) -> tuple[int, Work | None]:
        """Wait for a task to be done; give its trial's number and what it has come to.

        Returns:
            None for the work if the crew was told to stop, and has saved it.

        Raises:
            HpoBenchError: A checkpoint cannot be written.
        """


class Alone(Crew):
    """Does tasks in this process, `size` of them side by side."""

    def __init__(self, evaluator: Evaluator, size: int) -> None:
        self.size = size
        self._evaluator = evaluator
        self._given: list[tuple[Task, Listener]] = []
        self._done: deque[tuple[int, Work | None]] = deque()

    @property
    def holds_results(self) -> bool:
        """Whether some of those done side by side have not been given yet."""
        return bool(self._done)

    def start(self, task: Task, listener: Listener) -> None:
        """Take note of it."""
        self._given.append((task, listener))

    def next(self) -> tuple[int, Work | None]:
        """Do all of them, unless they are done."""
        if not self._done:
            works = self._evaluator.do(self._given)
            numbers = (task.number for task, _ in self._given)
            self._done.extend(zip(numbers, works, strict=True))
            self._given = []
        return self._done.popleft()


@dataclass(frozen=True)
class Post:
    """What evaluators of a run are given before its tasks; it must be picklable."""

    build_objective: Callable[[], Objective]
    checkpoints: Checkpoints
    may_prune: bool
    """Whether anybody but the task's end may stop an evaluation."""


class Processes(Crew):
    """Does tasks in processes of their own, each with an objective of its own.

    One that dies is replaced, and its task goes on from its last checkpoint. One that gives no sign
    of life for too long is killed, and its task has failed. They stay for the next run.

    Args:
        name: What the processes' names begin with.
    """

    def __init__(self, name: str) -> None:
        self.size = 0
        self._name = name
        self._started = 0
        self._post: Post | None = None
        self._timeout: float | None = None
        self._should_stop: Callable[[], bool] = lambda: False
        self._earlier_seconds = 0.0
        self._members: list[_Member] = []
        self._deaths: Counter[int] = Counter()
        self._done: deque[tuple[int, Work | None]] = deque()

    def open(
        self, post: Post, size: int, *, timeout: float | None, should_stop: Callable[[], bool]
    ) -> None:
        """Turn to another run; what is left of the one before is dropped.

        Args:
            post: What the processes are given.
            size: How many there are to be.
            timeout: Seconds that a unit of fidelity may take.
            should_stop: Asked a few times a second; once true, tasks are saved and given back.
        """
        self.size, self._post = size, post
        self._timeout, self._should_stop = timeout, should_stop
        self._deaths.clear()
        self._done.clear()
        self._earlier_seconds = 0.0
        idle = [member for member in self._members if member.task is None][:size]
        for member in self._members:
            if member not in idle:
                member.kill()
        self._members = [*idle, *(self._hire() for _ in range(size - len(idle)))]
        for member in self._members:
            self._tell(member)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self._members:
            member.kill()
        self._members.clear()

    def start(self, task: Task, listener: Listener) -> None:
        """Give it to a process that is free."""
        free = next(member for member in self._members if member.task is None)
        free.give(task, listener)

    def next(self) -> tuple[int, Work | None]:
        """Follow all that are at work until one of them is done."""
        while not self._done:
            if self._should_stop():
                for member in self._members:
                    member.stop()
            for member in speaking(self._members, timeout=0.2):
                self._hear(member)
            for member in [m for m in self._members if m.is_overdue(self._timeout)]:
                self._give_up(member)
        return self._done.popleft()

    def _tell(self, member: _Member) -> None:
        member.send(("post", (self._post, self._members.index(member), self.size)))

    def _hire(self) -> _Member:
        self._started += 1
        return _Member(f"{self._name}.{self._started}")

    def _hear(self, member: _Member) -> None:
        try:
            kind, content = member.receive()
        except EOFError:
            self._replace(member)
            return
        if kind == "notice":
            logger.warning("%s", content)
        elif kind == "failure":
            raise HpoBenchError(content)
        elif kind == "outage":
            raise OutageError(content)
        elif kind == "done":
            self._finish(member, content)
        else:
            member.hear(kind, content)

    def _finish(self, member: _Member, work: Work | None) -> None:
        assert member.task is not None
        if work is not None:
            work.worker = member.name
            work.earlier_seconds = self._uncounted(member.task, work)
        self._done.append((member.task.number, work))
        member.task = member.listener = None

    def _uncounted(self, task: Task, work: Work) -> float:
        """Seconds before the run was left: of what ran at the same time then, the longest."""
        if self._deaths[task.number]:
            return 0.0  # what its heir has found was saved while the clock of the run went on
        longest = max(self._earlier_seconds, work.earlier_seconds)
        more = longest - self._earlier_seconds
        self._earlier_seconds = longest
        return more

    def _give_up(self, member: _Member) -> None:
        silence = f"no sign of life for {self._timeout:g} s, the evaluation_timeout"
        self._finish(member, member.failed(silence))
        self._replace(member)

    def _replace(self, member: _Member) -> None:
        """Put another process in the place of one that is dead, or has to be."""
        member.kill()
        heir = self._members[self._members.index(member)] = self._hire()
        self._tell(heir)
        task, listener = member.task, member.listener
        if task is None or listener is None:
            return
        self._deaths[task.number] += 1
        died = f"the process of trial {task.number} died (exit code {member.process.exitcode})"
        if self._deaths[task.number] >= MAX_DEATHS:
            self._finish(member, member.failed(f"{died}, for the third time"))
            return
        logger.warning("%s: another one goes on with it", died)
        heir.give(replace(task, reported=max(task.reported, member.reached)), listener)


class _Member(Child):
    """A process of the crew, and the task that it is at."""

    def __init__(self, name: str) -> None:
        super().__init__(_evaluate, name)
        self.name = name
        self.task: Task | None = None
        self.listener: Listener | None = None
        self.reached = 0
        self._began_at: float | None = None
        self._heard_at = 0.0
        self._told_to_stop = False

    def give(self, task: Task, listener: Listener) -> None:
        self.task, self.listener = task, listener
        self.reached, self._began_at, self._told_to_stop = task.fidelity_before, None, False
        self.send(("task", task))

    def hear(self, kind: str, content: Any) -> None:
        """Take in what it says of its task; that may take long where the storage is away."""
        self._heard_at = time.monotonic()
        if kind == "begun":
            self._began_at = self._heard_at
        elif self.listener is not None and kind == "report":
            self.reached = max(self.reached, content[2])
            self.listener.report(*content)
        elif self.listener is not None and kind == "prune?":
            self.send(("answer", self.listener.should_prune()))
        elif self.listener is not None and kind == "suggest":
            self.send(_answer(self.listener, *content))
        self._heard_at = time.monotonic()

    def stop(self) -> None:
        if self.task is not None and not self._told_to_stop:
            self._told_to_stop = True
            self.send(("stop", None))

    def is_overdue(self, timeout: float | None) -> bool:
        if timeout is None or self.task is None or self._began_at is None:
            return False
        if self.connection.poll():  # nobody was listening
            return False
        return time.monotonic() - self._heard_at > timeout

    def failed(self, reason: str) -> Work:
        """Give what its task has come to if nobody goes on with it."""
        assert self.task is not None
        logger.warning("trial %d failed: %s", self.task.number, reason)
        begun = time.monotonic() if self._began_at is None else self._began_at
        return Work(
            Outcome(self.reached, None),
            epochs=self.reached - self.task.fidelity_before,
            train_seconds=time.monotonic() - begun,
            error=reason,
        )


def _answer(listener: Listener, name: str, dist: BaseDistribution) -> tuple[str, Any]:
    """Give the value that a function asks for, or why there is none: then it is at fault."""
    try:
        return "answer", listener.suggest(name, dist)
    except HpoBenchError:
        raise
    except Exception as error:
        return "refusal", error


def _evaluate(connection: Connection[Any, Any]) -> None:
    """Live as a process of a crew."""
    tell = settle_in(connection)
    home = os.open(".", os.O_RDONLY)
    post: Post | None = None
    objective: Objective | None = None
    while True:
        try:
            kind, content = connection.recv()
        except (EOFError, OSError):
            return
        if kind == "post":
            post, place, size = content
            os.fchdir(home)  # an objective of the run before may have gone elsewhere
            objective = post.build_objective()
            see_share(objective.n_gpus(), place, size)
            objective.prepare()
        elif kind == "task" and post is not None and objective is not None:
            line = _Line(connection, tell, may_prune=post.may_prune)
            evaluator = Evaluator(objective, post.checkpoints, line.should_stop)
            tell("begun", None)
            tell(*_result(evaluator, content, line))


def _result(evaluator: Evaluator, task: Task, line: _Line) -> tuple[str, Any]:
    try:
        return "done", evaluator.do([(task, line)])[0]
    except OutageError as error:
        return "outage", str(error)
    except HpoBenchError as error:
        return "failure", str(error)


class _Line:
    """The other end of `_Member`: what an evaluation asks and tells."""

    def __init__(self, connection: Connection[Any, Any], tell: Tell, *, may_prune: bool) -> None:
        self._connection = connection
        self._tell = tell
        self._may_prune = may_prune
        self._stopped = False

    def should_stop(self) -> bool:
        while self._connection.poll():
            self._take()
        return self._stopped

    def suggest(self, name: str, dist: BaseDistribution) -> Any:
        return self._ask("suggest", (name, dist))

    def report(self, step: int, value: float, reached: int) -> None:
        self._tell("report", (step, value, reached))

    def should_prune(self) -> bool:
        return self._may_prune and bool(self._ask("prune?", None))

    def _ask(self, kind: str, content: Any) -> Any:
        """Ask, and wait for the answer."""
        self._tell(kind, content)
        while (message := self._take())[0] not in ("answer", "refusal"):
            pass
        answered, answer = message
        if answered == "refusal":
            raise answer
        return answer

    def _take(self) -> tuple[str, Any]:
        """Take a message."""
        kind, content = self._connection.recv()
        self._stopped = self._stopped or kind == "stop"
        return kind, content
