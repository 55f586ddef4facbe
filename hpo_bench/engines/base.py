"""What all engines share: one attempt at a run, the state of all runs, and the watcher."""

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
"""Seconds after which an engine tries a run again on which another process works."""


class Watcher(Protocol):
    """Receives the events of all runs."""

    def status(self, run: Run, status: Status) -> None:
        """Receive the new status of a run that has made progress or has ended."""

    def notice(self, text: str) -> None:
        """Receive a message for the user."""


@dataclass(frozen=True)
class Report:
    """The end state of all runs that an engine was given."""

    unfinished: list[Run]
    """Runs that a stop or an outage interrupted, or that did not begin; they can be resumed."""
    failures: dict[str, str]
    """Study name -> the reason why its run failed."""
    taken: dict[str, str]
    """Study name -> which process works on the run, as far as this engine knows."""
    is_outage: bool = False
    """Whether an outage outlasted the patience, so that no further run began."""


def attempt(run: Run, **how: Any) -> tuple[str, Any]:
    """Execute a run, and turn its end or its error into values that can be pickled.

    Args:
        run: The run.
        **how: Further arguments of `execute`.

    Returns:
        "end" and the run's status; or "taken", "lost", "failure" or "outage", and the reason.
    """
    try:
        # The command has created the storage. If it is gone, a worker must not create a second one.
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
    """The state of all runs of an engine: pending, ended, failed, or with other processes.

    Args:
        runs: All runs.
        watcher: Receives the events of the runs.
        wait: Whether to wait for the runs of other processes when nothing else is left.
    """

    def __init__(self, runs: Sequence[Run], watcher: Watcher, *, wait: bool) -> None:
        self.pending = deque(runs)
        self._watcher = watcher
        self._wait = wait
        self._left: list[Run] = []
        self._failures: dict[str, str] = {}
        self._with_others: deque[tuple[float, Run, str]] = deque()  # next try, run, reason
        self._has_said_that_it_waits = False
        self._is_outage = False

    def end(self, run: Run, kind: str, content: Any) -> None:
        """Enter the result of an attempt, as `attempt` returns it."""
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
        """Enter a run as unfinished."""
        self._left.append(run)

    def _leave_the_rest(self) -> None:
        """Begin no further run: each would wait for the same outage, one after the other."""
        self._left += self.pending
        self.pending.clear()
        self._wait = False
        self._is_outage = True

    def put_back(self, run: Run) -> None:
        """Make a run pending again, before all others; after an outage leave it unfinished."""
        if self._is_outage:
            self.leave(run)
        else:
            self.pending.appendleft(run)

    def try_again(self) -> None:
        """Make the runs of other processes pending when their time has come."""
        if self._is_outage:
            return
        while self._with_others and self._with_others[0][0] <= time.monotonic():
            self.pending.append(self._with_others.popleft()[1])

    def is_waiting(self, *, is_busy: bool) -> bool:
        """Return whether the engine must wait for runs of other processes.

        Args:
            is_busy: Whether a worker of this engine is still at work; if not, the first call tells
                the user about the wait.
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
        """Return the end state of all runs."""
        taken = {run.study_name: why for _, run, why in self._with_others}
        return Report([*self._left, *self.pending], self._failures, taken, self._is_outage)


@contextmanager
def interruptible(interrupt: Callable[[], None]) -> Iterator[None]:
    """Call `interrupt` on SIGINT and SIGTERM, in place of the former handlers."""
    # Python allows signal handlers in the main thread only.
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
