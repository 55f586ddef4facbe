"""Worker processes on this machine: each takes whole runs, one after another."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from hpo_bench.engines.base import Books, Report, Watcher, attempt, interruptible
from hpo_bench.running.crew import Processes
from hpo_bench.running.gpus import see_share
from hpo_bench.running.processes import Child, Tell, one_thread_each, settle_in, speaking
from hpo_bench.running.runs import Run

MAX_DEATHS = 3
"""Workers that may die over one run before it is given up."""

STOPPING = "stopping: saving what is under way (again: stop at once)"

LEAVING_SECONDS = 10.0
"""Time for a worker that has nothing to do to end by itself."""


def execute_all(
    runs: Sequence[Run], workers: int, watcher: Watcher, *, n_gpus: int = 0, wait: bool = True
) -> Report:
    """Execute runs in worker processes until all are finished, or until asked to stop.

    Runs that others work on are left to them, and gone on with if they leave them.

    The first SIGINT or SIGTERM lets every worker save its evaluation and leave; a second one
    kills them (what they had under way is repeated from its last checkpoint). A worker that dies
    is replaced, and its run goes on.

    Args:
        runs: What to execute; any order gives the same results.
        workers: How many processes at most; 0 for none: all is done here, run by run.
        watcher: Told what happens, in this process.
        n_gpus: GPUs that the workers share.
        wait: Stay until the runs of others are finished, too, instead of leaving once there is
            nothing to take.
    """
    books = Books(runs, watcher, wait=wait)
    if workers == 0:
        _work_here(books, watcher)
        return books.report()
    pool = _Pool(books, min(workers, len(runs)), watcher, n_gpus)
    with one_thread_each(), interruptible(pool.interrupt):
        try:
            pool.run()
        finally:
            pool.kill()
    return books.report()


def _work_here(books: Books, watcher: Watcher) -> None:
    """Execute runs in this process, one after another."""
    interrupts = _Interrupts(watcher)
    with interruptible(interrupts.take), Processes("main") as crew:
        while not interrupts.count:
            while books.pending and not interrupts.count:
                run = books.pending.popleft()
                how = {"notify": partial(watcher.status, run), "should_stop": interrupts.is_any}
                books.end(run, *attempt(run, worker="main", processes=crew, **how))
            if not books.is_waiting(is_busy=False):
                break
            time.sleep(0.2)
            books.try_again()


class _Interrupts:
    """Lets the first end what is under way in good order, and the second at once."""

    def __init__(self, watcher: Watcher) -> None:
        self.count = 0
        self._watcher = watcher

    def is_any(self) -> bool:
        return self.count > 0

    def take(self) -> None:
        self.count += 1
        if self.count > 1:
            raise KeyboardInterrupt
        self._watcher.notice(STOPPING)


class _Worker(Child):
    """A process, and the run it is at."""

    def __init__(self, number: int, share: tuple[int, int, int]) -> None:
        super().__init__(_work, f"hpo-bench-{number}", f"worker-{number}", share)
        self.place = share[1]
        self.run: Run | None = None

    def give(self, run: Run) -> None:
        self.run = run
        self.send(run)

    def stop(self) -> None:
        self.send(None)


class _Pool:
    """The workers, and the runs that wait for one."""

    def __init__(self, books: Books, size: int, watcher: Watcher, n_gpus: int) -> None:
        self._books = books
        self._size = size
        self._watcher = watcher
        self._n_gpus = n_gpus
        self._workers: list[_Worker] = []
        self._started = 0
        self._deaths: Counter[str] = Counter()
        self._interrupts = 0
        self._told_to_stop = False

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
            self._books.try_again()
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
                self._books.leave(worker.run)

    def _is_busy(self) -> bool:
        return any(worker.run for worker in self._workers)

    def _waits(self) -> bool:
        return not self._told_to_stop and self._books.is_waiting(is_busy=self._is_busy())

    def _wait_for(self, worker: _Worker) -> None:
        """Let an idle worker leave; one that does not (a thread holds it up) is killed later."""
        deadline = time.monotonic() + LEAVING_SECONDS
        while self._interrupts < 2 and worker.process.is_alive() and time.monotonic() < deadline:
            worker.process.join(timeout=0.2)

    def _assign(self) -> None:
        if self._told_to_stop:
            return
        for worker in self._workers:
            if worker.run is None and self._books.pending:
                worker.give(self._books.pending.popleft())
        while self._books.pending and len(self._workers) < self._size:
            self._started += 1
            free = set(range(self._size)) - {worker.place for worker in self._workers}
            share = (self._n_gpus, min(free), self._size)
            self._workers.append(_Worker(self._started, share))
            self._workers[-1].give(self._books.pending.popleft())

    def _stop(self) -> None:
        self._told_to_stop = True
        self._watcher.notice(STOPPING)
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
            self._books.end(run, kind, content)

    def _bury(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.kill()  # if only its connection has ended
        run = worker.run
        if run is None:
            return
        self._deaths[run.study_name] += 1
        died = f"the worker of {run.study_name} died (exit code {worker.process.exitcode})"
        if self._deaths[run.study_name] >= MAX_DEATHS:
            self._books.end(run, "failure", f"{died}, for the third time")
        else:
            self._watcher.notice(f"{died}: another one goes on with it")
            # Twice may be chance; or it is the training, which then is not to take the run along.
            is_suspect = self._deaths[run.study_name] == MAX_DEATHS - 1
            self._books.put_back(replace(run, apart=True) if is_suspect else run)


def _work(connection: Connection[Any, Any], name: str, share: tuple[int, int, int]) -> None:
    """The life of a worker process."""
    see_share(*share)
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
        tell(
            *attempt(
                run,
                worker=name,
                notify=lambda status: tell("status", status),
                should_stop=connection.poll,
                processes=crew,
            )
        )
