"""What engines share: an attempt at a run, the books of all runs, and who is told."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from hpo_bench.errors import HpoBenchError, reason_of
from hpo_bench.running.execution import execute
from hpo_bench.running.processes import SIGNALS
from hpo_bench.running.runs import Run, Status
from hpo_bench.storage.leases import LeaseLostError, TakenError
from hpo_bench.storage.outages import OutageError

RETRY_SECONDS = 5.0
"""How often it is seen whether a run that somebody else works on is free."""


class Watcher(Protocol):
    """Who is told what happens."""

    def status(self, run: Run, status: Status) -> None:
        """A run has come a step further, or has ended."""

    def notice(self, text: str) -> None:
        """Something happened that a person should know."""


@dataclass(frozen=True)
class Report:
    """What became of all runs."""

    unfinished: list[Run]
    """Left in the middle or not begun, because of a stop or an outage; executing them goes on."""
    failures: dict[str, str]
    """Study name -> why its run could not go on."""
    taken: dict[str, str]
    """Study name -> who works on it, not known to have finished it."""
    is_outage: bool = False
    """Patience with the storage has ended, and no further run was begun."""


def attempt(run: Run, **how: Any) -> tuple[str, Any]:
    """Execute a run; say what became of it in words that can be sent to another process.

    Returns:
        "end" and its status, or "taken", "lost", "failure" or "outage" and the reason.
    """
    try:
        # The command has made the storage: a worker that finds none must not begin another.
        return "end", execute(run, create=False, **how)
    except TakenError as error:
        return "taken", str(error)
    except LeaseLostError as error:
        return "lost", str(error)
    except OutageError as error:
        return "outage", str(error)
    except HpoBenchError as error:
        return "failure", str(error)
    except Exception as error:
        logging.getLogger("hpo_bench").exception("%s ended unexpectedly", run.study_name)
        return "failure", reason_of(error)


class Books:
    """The runs that wait for somebody, and what has become of the others.

    Args:
        runs: All of them.
        watcher: Told what becomes of them.
        wait: Whether runs that others work on are waited for when nothing else is left.
    """

    def __init__(self, runs: Sequence[Run], watcher: Watcher, *, wait: bool) -> None:
        self.pending = deque(runs)
        self._watcher = watcher
        self._wait = wait
        self._left: list[Run] = []
        self._failures: dict[str, str] = {}
        self._with_others: deque[tuple[float, Run, str]] = deque()  # until when, and why
        self._has_said_that_it_waits = False
        self._is_outage = False

    def end(self, run: Run, kind: str, content: Any) -> None:
        """Enter what became of an attempt."""
        if kind in ("failure", "outage"):
            self._failures[run.study_name] = content
            self._watcher.notice(f"{run.study_name} failed: {content}")
            if kind == "outage":
                self.leave(run)
                self._leave_the_rest()
        elif kind in ("taken", "lost"):
            self._with_others.append((time.monotonic() + RETRY_SECONDS, run, content))
            if kind == "lost":
                self._watcher.notice(content)
        elif content.finished is None:
            self.leave(run)
        else:
            self._watcher.status(run, content)

    def leave(self, run: Run) -> None:
        """Enter that a run is left in the middle."""
        self._left.append(run)

    def _leave_the_rest(self) -> None:
        """Begin nothing more: every run would wait in vain, one after another."""
        self._left += self.pending
        self.pending.clear()
        self._wait = False
        self._is_outage = True

    def put_back(self, run: Run) -> None:
        """Let somebody else go on with a run at once, unless nothing more is begun."""
        if self._is_outage:
            self.leave(run)
        else:
            self.pending.appendleft(run)

    def try_again(self) -> None:
        """Let the runs of others be tried again, when it is time, unless nothing more is begun."""
        if self._is_outage:
            return
        while self._with_others and self._with_others[0][0] <= time.monotonic():
            self.pending.append(self._with_others.popleft()[1])

    def is_waiting(self, *, is_busy: bool) -> bool:
        """Whether it is to be seen what becomes of the runs of others.

        Args:
            is_busy: Whether somebody is at work on another run meanwhile.
        """
        waits = self._wait and bool(self._with_others)
        if waits and not is_busy and not self._has_said_that_it_waits:
            self._has_said_that_it_waits = True
            count, why = len(self._with_others), self._with_others[0][2]
            self._watcher.notice(
                f"nothing else is left: waiting for {count} runs that others work on. {why}"
            )
        return waits

    def report(self) -> Report:
        """Close the books."""
        taken = {run.study_name: why for _, run, why in self._with_others}
        return Report([*self._left, *self.pending], self._failures, taken, self._is_outage)


@contextmanager
def interruptible(interrupt: Callable[[], None]) -> Iterator[None]:
    """Let SIGINT and SIGTERM be heard by the engine, which decides."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, lambda *_: interrupt())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
