"""Execute runs as tasks of Ray, on this machine or on all machines of a cluster.

Ray decides where a task runs, and starts it again on another machine if its machine dies. The state
of a run is passed only by the storage. The run's lease there prevents the second execution from
starting before the first has surely ended.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpo_bench.engines.base import Books, Report, Watcher, attempt, interruptible
from hpo_bench.errors import HpoBenchError, InputError, needing, reason_of
from hpo_bench.running.processes import THREADS, one_thread_each
from hpo_bench.running.runs import Run
from hpo_bench.running.studies import observe
from hpo_bench.storage.leases import leases
from hpo_bench.storage.opening import MeteredStorage, open_storage, shown, sqlite_file
from hpo_bench.storage.outages import outage
from hpo_bench.suite import Suite

MAX_DEATHS = 3
"""Number of deaths of a run's process or machine at which the run fails."""

LOOK_SECONDS = 5.0
"""Seconds between two reads of the runs' progress from the storage."""

LEAVING_SECONDS = 60.0
"""Seconds that runs have to save their evaluations after a stop."""

LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Environment variable that makes Ray use, and listen on, the loopback address only."""


def execute_all(
    runs: Sequence[Run],
    workers: int,
    watcher: Watcher,
    *,
    address: str | None = None,
    wait: bool = True,
) -> Report:
    """Execute runs as tasks of Ray until all are finished, or until a signal stops them.

    After the first SIGINT or SIGTERM each run saves its evaluations and ends. A second signal ends
    the wait for them.

    Args:
        runs: The runs, at least one; their order does not change the results.
        workers: Evaluations at the same time, 1 or more, if no address is given.
        watcher: Receives the events, in this process.
        address: Address of a Ray cluster, `host:port` or `auto`; None starts a cluster on this
            machine that no other machine can reach.
        wait: Wait until the runs of other processes are finished, too.

    Returns:
        The end state of all runs.

    Raises:
        MissingExtraError: Ray is not installed.
        InputError: No cluster answers, or its machines cannot share the storage.
        HpoBenchError: Ray does not start on this machine.
    """
    books = Books(runs, watcher, wait=wait)
    with _connected(address, max(workers, runs[0].suite.workers_per_run)) as ray:
        _check_storage(ray, runs[0].suite.storage)
        _check_room(ray, runs[0].suite, watcher)
        tasks = _Tasks(ray, books, watcher)
        with interruptible(tasks.interrupt):
            tasks.run()
    return books.report()


@contextmanager
def _connected(address: str | None, workers: int) -> Iterator[Any]:
    """Connect to a cluster, or start one; yield the module `ray`.

    Raises:
        MissingExtraError: Ray is not installed.
        InputError: There is no cluster at the address.
        HpoBenchError: Ray does not start on this machine.
    """
    # Ray would send statistics of its use to a server on the internet.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:
        os.environ.update(LOOPBACK)  # Ray reads it when it is imported
    else:
        _knock(address)
    with needing("ray", "the engine ray"):
        import ray
    with one_thread_each():
        _join(ray, workers, address)
        try:
            yield ray
        finally:
            ray.shutdown()


def _join(ray: Any, workers: int, address: str | None) -> None:
    """Join the cluster at an address; None starts one on this machine.

    Raises:
        InputError: No cluster answers there.
        HpoBenchError: Ray does not start on this machine, or not soon enough.
    """
    own = {"address": "local", "num_cpus": workers, "include_dashboard": False}
    given = own if address is None else {"address": address}
    try:
        ray.init(**given, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises bare exceptions of many classes
        ray.shutdown()
        why = reason_of(error)
        if address is not None:
            expected = f"no cluster of Ray answers there: {why}"
            raise InputError("--address", address, expected) from error
        raise HpoBenchError(
            f"Ray could not be started on this machine: {why}\nThe machine may be too busy: the "
            "same command tries again, and --engine local does without Ray"
        ) from error


def _knock(address: str) -> None:
    """Check that something answers at an address; Ray itself would try for minutes.

    Raises:
        InputError: The address is malformed, or nothing answers within 10 s.
    """
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise InputError("--address", address, "expected host:port, or auto")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise InputError("--address", address, f"nothing answers there: {error}") from None


def _check_storage(ray: Any, url: str) -> None:
    """Check that all machines of the cluster can share the storage.

    Raises:
        InputError: The storage is a file, and the cluster has several machines.
    """
    hosts = {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    hosts.add(ray.util.get_node_ip_address())
    if sqlite_file(url) is not None and len(hosts) > 1:
        raise InputError(
            "storage",
            shown(url),
            f"this cluster has {len(hosts)} machines, which cannot share a file: expected a "
            "server that all of them reach, e.g. postgresql+psycopg://user@host/database",
        )


def _check_room(ray: Any, suite: Suite, watcher: Watcher) -> None:
    """Tell the user if no machine has room for a run; Ray would wait for one without a word."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for key, kind in (("workers_per_run", "CPU"), ("gpus_per_run", "GPU")):
        wanted = getattr(suite, key)
        most = max((resources.get(kind, 0.0) for resources in machines), default=0.0)
        if wanted > most:
            watcher.notice(
                f"{key} = {wanted:g}: no machine of this cluster has more than {most:g} {kind}s; "
                "waiting until one joins that has"
            )


class _Tasks:
    """The runs that were given to Ray as tasks.

    Args:
        ray: The module `ray`, connected to a cluster.
        books: The state of all runs.
        watcher: Receives the events.
    """

    def __init__(self, ray: Any, books: Books, watcher: Watcher) -> None:
        self._ray = ray
        self._books = books
        self._watcher = watcher
        # Ray sets OMP_NUM_THREADS to a task's number of CPUs, and each worker of the run would use
        # so many threads: tasks set the variables back.
        self._threads = {name: os.environ[name] for name in THREADS}
        self._given: dict[Any, Run] = {}
        self._storage: MeteredStorage | None = None
        self._looked_at = time.monotonic()
        self._interrupts = 0
        self._told_to_stop = False

    def interrupt(self) -> None:
        """Ask for a stop; it only counts, because a signal handler calls it."""
        self._interrupts += 1

    def run(self) -> None:
        """Give all runs to Ray, and return when they have ended or a stop is over."""
        self._give()
        while self._given or self._waits():
            if self._interrupts and not self._told_to_stop:
                self._stop()
            if self._told_to_stop and (self._interrupts > 1 or time.monotonic() > self._deadline):
                break
            self._hear()
            self._look()
            self._books.try_again()
            self._give()
        for run in self._given.values():
            self._books.leave(run)

    def _waits(self) -> bool:
        return not self._told_to_stop and self._books.is_waiting(is_busy=bool(self._given))

    def _give(self) -> None:
        """Give all pending runs to Ray, which queues those that do not fit."""
        if self._told_to_stop:
            return
        while self._books.pending:
            run = self._books.pending.popleft()
            task = self._ray.remote(_work).options(
                name=run.study_name,
                num_cpus=run.suite.workers_per_run,
                num_gpus=run.suite.gpus_per_run,
                max_retries=MAX_DEATHS - 1,  # Ray does not count the first execution
            )
            self._given[task.remote(run, Path.cwd(), self._threads)] = run

    def _hear(self) -> None:
        """Wait for up to half a second, and enter the results of tasks that have ended."""
        if not self._given:
            time.sleep(0.2)
            return
        # The short timeout lets `run` react to a signal that arrives meanwhile.
        done, _ = self._ray.wait(list(self._given), timeout=0.5)
        for reference in done:
            run = self._given.pop(reference)
            try:
                self._books.end(run, *self._ray.get(reference))
            except self._ray.exceptions.TaskCancelledError:
                self._books.leave(run)
            except self._ray.exceptions.RayError as error:
                told = str(error).strip().splitlines()
                self._books.end(run, "failure", told[-1] if told else type(error).__name__)

    def _look(self) -> None:
        """Read the progress of the runs in progress from the storage, from time to time."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS or not self._given:
            return
        self._looked_at = time.monotonic()
        try:
            self._show()
        except Exception as error:
            if outage(error) is None:
                raise
            # The runs themselves wait for the storage; only the display stands still meanwhile.

    def _show(self) -> None:
        runs = {run.study_name: run for run in self._given.values()}
        if self._storage is None:
            url = next(iter(runs.values())).suite.storage
            self._storage = open_storage(url, patience=0, create=False)
        for name, lease in leases(self._storage).items():
            if name in runs and not lease.is_free:
                status = observe(runs[name], self._storage)
                if status is not None and status.finished is None:
                    self._watcher.status(runs[name], status)

    def _stop(self) -> None:
        self._told_to_stop = True
        self._deadline = time.monotonic() + LEAVING_SECONDS
        self._watcher.notice("stopping: saving what is under way (again: stop at once)")
        for reference in self._given:
            # force=True would kill the process before it has saved its evaluations.
            self._ray.cancel(reference, force=False)


def _work(run: Run, directory: Path, threads: dict[str, str]) -> tuple[str, Any]:
    """Execute a run as a task of Ray, in the directory of the command.

    Args:
        run: The run.
        directory: Working directory of the command.
        threads: Environment variables that limit the threads of libraries: name -> value.

    Returns:
        The result of `attempt`.
    """
    if directory.is_dir():  # relative paths in a suite are relative to the command's directory
        os.chdir(directory)
    os.environ.update(threads)
    stopped = threading.Event()
    # Ray cancels a running task by SIGINT.
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    return attempt(run, worker=f"{socket.gethostname()}-{os.getpid()}", should_stop=stopped.is_set)
