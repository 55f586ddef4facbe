"""Worker processes on this machine: each takes whole runs, one after another."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol

from hpo_bench.crew import Processes
from hpo_bench.errors import HpoBenchError
from hpo_bench.leases import LeaseLostError, TakenError
from hpo_bench.processes import SIGNALS, Child, Tell, settle_in, speaking, use_one_thread_each
from hpo_bench.runs import Run, Status, execute

MAX_DEATHS = 3
"""Workers that may die over one run before it is given up."""

RETRY_SECONDS = 5.0
"""How often it is seen whether a run that somebody else works on is free."""

LEAVING_SECONDS = 10.0
"""Time for a worker that has nothing to do to end by itself."""


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
    """Left in the middle, because of a stop; executing them again goes on."""
    failures: dict[str, str]
    """Study name -> why its run could not go on."""
    taken: dict[str, str]
    """Study name -> who works on it, not known to have finished it."""


def execute_all(
    runs: Sequence[Run], workers: int, watcher: Watcher, *, wait: bool = True
) -> Report:
    """Execute runs in worker processes until all are finished, or until asked to stop.

    Runs that others work on are left to them, and gone on with if they leave them.

    The first SIGINT or SIGTERM lets every worker save its evaluation and leave; a second one
    kills them (what they had under way is repeated from its last checkpoint). A worker that dies
    is replaced, and its run goes on.

    Args:
        runs: What to execute; any order gives the same results.
        workers: How many processes at most.
        watcher: Told what happens, in this process.
        wait: Stay until the runs of others are finished, too, instead of leaving once there is
            nothing to take.
    """
    use_one_thread_each()
    pool = _Pool(runs, min(workers, len(runs)), watcher, wait=wait)
    with _signals(pool):
        try:
            pool.run()
        finally:
            pool.kill()
    return Report([*pool.left, *pool.pending], pool.failures, pool.taken)


@contextmanager
def _signals(pool: _Pool) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, lambda *_: pool.interrupt())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Worker(Child):
    """A process, and the run it is at."""

    def __init__(self, number: int) -> None:
        super().__init__(_work, f"hpo-bench-{number}", f"worker-{number}")
        self.run: Run | None = None

    def give(self, run: Run) -> None:
        self.run = run
        self.send(run)

    def stop(self) -> None:
        self.send(None)


class _Pool:
    """The workers, and the runs that wait for one."""

    def __init__(self, runs: Sequence[Run], size: int, watcher: Watcher, *, wait: bool) -> None:
        self.pending = deque(runs)
        self.left: list[Run] = []
        self.failures: dict[str, str] = {}
        self._wait = wait
        self._put_off: deque[tuple[float, Run, str]] = deque()  # until when, and why
        self._has_said_that_it_waits = False
        self._size = size
        self._watcher = watcher
        self._workers: list[_Worker] = []
        self._started = 0
        self._deaths: Counter[str] = Counter()
        self._interrupts = 0
        self._told_to_stop = False

    @property
    def taken(self) -> dict[str, str]:
        """Study name -> who works on it, of the runs that are left to others."""
        return {run.study_name: why for _, run, why in self._put_off}

    def interrupt(self) -> None:
        """Ask to stop; called by a signal handler, so it only takes note."""
        self._interrupts += 1

    def run(self) -> None:
        """Execute until nothing is pending and nobody is busy."""
        self._assign()
        while self._is_busy() or self._waits():
            # The timeout lets a signal that arrived meanwhile be seen.
            for worker in speaking(self._workers, timeout=0.2):
                self._hear(worker)
            if self._interrupts > 1:
                break
            if self._interrupts and not self._told_to_stop:
                self._stop()
            self._take_up()
            self._assign()
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            self._wait_for(worker)

    def kill(self) -> None:
        """End whatever still lives."""
        for worker in self._workers:
            worker.kill()
            if worker.run is not None:
                self.left.append(worker.run)

    def _is_busy(self) -> bool:
        return any(worker.run for worker in self._workers)

    def _waits(self) -> bool:
        """Whether there is nothing to do but to see what becomes of the runs of others."""
        waits = self._wait and bool(self._put_off) and not self._told_to_stop
        if waits and not self._is_busy() and not self._has_said_that_it_waits:
            self._has_said_that_it_waits = True
            self._watcher.notice(
                f"nothing else is left: waiting for {len(self._put_off)} runs that others work on. "
                f"{self._put_off[0][2]}"
            )
        return waits

    def _take_up(self) -> None:
        """Try the runs of others again."""
        while self._put_off and self._put_off[0][0] <= time.monotonic():
            self.pending.append(self._put_off.popleft()[1])

    def _wait_for(self, worker: _Worker) -> None:
        """Let an idle worker leave; one that does not (a thread holds it up) is killed later."""
        deadline = time.monotonic() + LEAVING_SECONDS
        while self._interrupts < 2 and worker.process.is_alive() and time.monotonic() < deadline:
            worker.process.join(timeout=0.2)

    def _assign(self) -> None:
        if self._told_to_stop:
            return
        for worker in self._workers:
            if worker.run is None and self.pending:
                worker.give(self.pending.popleft())
        while self.pending and len(self._workers) < self._size:
            self._started += 1
            self._workers.append(_Worker(self._started))
            self._workers[-1].give(self.pending.popleft())

    def _stop(self) -> None:
        self._told_to_stop = True
        self._watcher.notice("stopping: saving what is under way (again: stop at once)")
        for worker in self._workers:
            worker.stop()

    def _hear(self, worker: _Worker) -> None:
        try:
            kind, content = worker.receive()
        except EOFError:
            self._bury(worker)
            return
        run = worker.run
        if kind == "notice":
            self._watcher.notice(content)
        elif run is not None and kind == "status":
            self._watcher.status(run, content)
        elif run is not None:
            worker.run = None
            self._end(run, kind, content)

    def _end(self, run: Run, kind: str, content: Any) -> None:
        if kind == "failure":
            self.failures[run.study_name] = content
            self._watcher.notice(f"{run.study_name} failed: {content}")
        elif kind in ("taken", "lost"):
            self._put_off.append((time.monotonic() + RETRY_SECONDS, run, content))
            if kind == "lost":
                self._watcher.notice(content)
        elif content.finished is None:
            self.left.append(run)
        else:
            self._watcher.status(run, content)

    def _bury(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.kill()  # if only its connection has ended
        run = worker.run
        if run is None:
            return
        self._deaths[run.study_name] += 1
        died = f"the worker of {run.study_name} died (exit code {worker.process.exitcode})"
        if self._deaths[run.study_name] >= MAX_DEATHS:
            self.failures[run.study_name] = died
            self._watcher.notice(f"{died}, for the third time: giving this run up")
        else:
            self._watcher.notice(f"{died}: another one goes on with it")
            self.pending.appendleft(run)


def _work(connection: Connection[Any, Any], name: str) -> None:
    """The life of a worker process."""
    tell = settle_in(connection)
    with Processes(name) as crew:
        _serve(connection, name, tell, crew)


def _serve(connection: Connection[Any, Any], name: str, tell: Tell, crew: Processes) -> None:
    while True:
        try:
            run = connection.recv()
        except (EOFError, OSError):
            return
        if run is None:
            return
        tell(*_result(run, name, connection, tell, crew))


def _result(
    run: Run, name: str, connection: Connection[Any, Any], tell: Tell, crew: Processes
) -> tuple[str, Any]:
    try:
        status = execute(
            run,
            worker=name,
            notify=lambda status: tell("status", status),
            should_stop=connection.poll,
            processes=crew,
        )
    except TakenError as error:
        return "taken", str(error)
    except LeaseLostError as error:
        return "lost", str(error)
    except HpoBenchError as error:
        return "failure", str(error)
    except Exception as error:
        logging.getLogger("hpo_bench").exception("%s ended unexpectedly", run.study_name)
        return "failure", f"{type(error).__name__}: {error}"
    return "end", status
