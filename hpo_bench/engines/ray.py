"""Runs as tasks of Ray: on this machine, or on all those of a cluster.

Ray decides where a run is executed, and executes it again elsewhere where a machine dies. What it
has come to passes through the storage alone; its lease there keeps a second execution from
beginning before the first is known to be over.
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
"""Processes or machines that may die over one run before it is given up."""

LOOK_SECONDS = 5.0
"""How often the storage is looked at for how far the runs have come."""

LEAVING_SECONDS = 60.0
"""Time to save what is under way."""

LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Makes Ray take the loopback address for that of its node, and listen there alone."""


def execute_all(
    runs: Sequence[Run],
    workers: int,
    watcher: Watcher,
    *,
    address: str | None = None,
    wait: bool = True,
) -> Report:
    """Execute runs as tasks of Ray until all are finished, or until asked to stop.

    The first SIGINT or SIGTERM lets every run save its evaluations and leave; a second one does
    not wait for that.

    Args:
        runs: What to execute; any order gives the same results.
        workers: Evaluators at the same time, where no address is given.
        watcher: Told what happens, in this process.
        address: Of a Ray cluster; None starts one on this machine, which nothing else reaches.
        wait: Stay until the runs of others are finished, too.

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
    """Connect to a cluster, or start one; give Ray.

    Raises:
        MissingExtraError: It is not installed.
        InputError: There is no cluster at the address.
        HpoBenchError: Ray does not start on this machine.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:
        os.environ.update(LOOPBACK)  # read when Ray is imported
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
    """See that something answers at an address: Ray itself tries for minutes.

    Raises:
        InputError: Nothing does.
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
    """See that all machines of the cluster can share the storage.

    Raises:
        InputError: It is a file, and there are several machines.
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
    """Say so where no machine has room for a run: Ray waits without a word until one joins."""
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
    """The runs that Ray has been given."""

    def __init__(self, ray: Any, books: Books, watcher: Watcher) -> None:
        self._ray = ray
        self._books = books
        self._watcher = watcher
        # Ray would let libraries compute with as many threads as a run has workers.
        self._threads = {name: os.environ[name] for name in THREADS}
        self._given: dict[Any, Run] = {}
        self._storage: MeteredStorage | None = None
        self._looked_at = time.monotonic()
        self._interrupts = 0
        self._told_to_stop = False

    def interrupt(self) -> None:
        """Ask to stop; called by a signal handler, so it only takes note."""
        self._interrupts += 1

    def run(self) -> None:
        """Let all be executed."""
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
        """Give Ray all that is pending: it queues what does not fit."""
        if self._told_to_stop:
            return
        while self._books.pending:
            run = self._books.pending.popleft()
            task = self._ray.remote(_work).options(
                name=run.study_name,
                num_cpus=run.suite.workers_per_run,
                num_gpus=run.suite.gpus_per_run,
                max_retries=MAX_DEATHS - 1,
            )
            self._given[task.remote(run, Path.cwd(), self._threads)] = run

    def _hear(self) -> None:
        if not self._given:
            time.sleep(0.2)
            return
        # The timeout lets a signal that arrived meanwhile be seen.
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
        """Tell how far the runs have come that somebody works on."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS or not self._given:
            return
        self._looked_at = time.monotonic()
        try:
            self._show()
        except Exception as error:
            if outage(error) is None:
                raise
            # The runs wait for the storage; that there is nothing to see meanwhile is no harm.

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
            self._ray.cancel(reference, force=False)


def _work(run: Run, directory: Path, threads: dict[str, str]) -> tuple[str, Any]:
    """The life of a task."""
    if directory.is_dir():  # what is relative in a suite is meant from where it was started
        os.chdir(directory)
    os.environ.update(threads)
    stopped = threading.Event()
    # Ray cancels a task that is under way as Ctrl-C would.
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    return attempt(run, worker=f"{socket.gethostname()}-{os.getpid()}", should_stop=stopped.is_set)
