"""Measure a storage: many workers that write, and commands that read many trials.

    python -m benchmarks.storage_load write --workers 1,8,32 --storage sqlite --storage postgresql
    python -m benchmarks.storage_load read --trials 100000 --storage sqlite --storage postgresql

`write`: every worker has a study of its own, as in a suite. The objective does nothing, so only the
storage takes time. An ask creates a trial with four parameters, and a tell writes its value.
`read`: records a suite with the given number of trials, and times the commands on it.

A storage is `sqlite` (a file in a temporary directory), `postgresql` (a private server, as in the
tests), `grpc` (Optuna's proxy in front of such a server; `write` only) or any URL.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from rich.console import Console
from rich.table import Table

from hpo_bench.objectives import Evaluation, Objective
from hpo_bench.spaces import Configuration, Space
from hpo_bench.storage.opening import open_storage
from samplers import RandomSampler

SPACE: Space = {name: FloatDistribution(0.0, 1.0) for name in "abcd"}
RUN_TRIALS = 1000
GRPC = "grpc://127.0.0.1:"


class Nothing(Objective):
    """An objective that costs nothing and returns its first parameter."""

    is_instant = True

    def __init__(self, space: Space | None = None, seed: int = 0) -> None:
        self.space, self.seed = space, seed

    @property
    def search_space(self) -> Space:
        """Give four floats."""
        return dict(SPACE)

    def start(self, configuration: Configuration) -> Evaluation:
        """Start an evaluation."""
        return _Done(configuration["a"])


class _Done(Evaluation):
    def __init__(self, value: float) -> None:
        self.value = value

    def advance(self) -> float:
        """Return at once."""
        self.fidelity += 1
        return self.value


@contextlib.contextmanager
def storage_at(kind: str, directory: Path) -> Iterator[str]:
    """Give the URL of an empty storage."""
    if kind == "sqlite":
        yield f"sqlite:///{directory / 'load.db'}"
    elif kind == "postgresql":
        from postgres import Postgres  # tests/support, on the path of `tox run -e bench-storage`

        server = Postgres()
        try:
            server.start()
            yield server.new_database()
        finally:
            server.close()
    elif kind == "grpc":
        with storage_at("postgresql", directory) as url, proxy_before(url) as proxied:
            yield proxied
    else:
        yield kind


@contextlib.contextmanager
def proxy_before(url: str) -> Iterator[str]:
    """Start Optuna's gRPC proxy of a storage in a separate process; give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    open_storage(url)
    proxy = get_context("spawn").Process(target=serve, args=(url, port), daemon=True)
    proxy.start()
    try:
        opened(f"{GRPC}{port}").wait_server_ready(timeout=60)
        yield f"{GRPC}{port}"
    finally:
        proxy.terminate()
        proxy.join()


def serve(url: str, port: int) -> None:
    """Serve as the proxy until the process ends."""
    storage = optuna.storages.RDBStorage(url, skip_table_creation=True)
    optuna.storages.run_grpc_proxy_server(storage, host="127.0.0.1", port=port)


def opened(url: str) -> Any:
    """Open a storage, or the proxy of one."""
    if url.startswith(GRPC):
        return optuna.storages.GrpcStorageProxy(host="127.0.0.1", port=int(url[len(GRPC) :]))
    return open_storage(url, wait=True)  # as the workers of a run do


def meet(all_of_them: Barrier) -> None:
    """Wait until every worker has started and imported its modules."""
    all_of_them.wait()


def work(url: str, number: int, seconds: float) -> tuple[list[float], list[float], int]:
    """Ask and tell for some seconds; give the duration of each call and the number of failures."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = RandomSampler(seed=number, search_space=SPACE)
    study = optuna.create_study(storage=opened(url), study_name=f"load-{number}", sampler=sampler)
    asks, tells, errors = [], [], 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        try:
            trial = study.ask(SPACE)
            asked = time.perf_counter()
            study.tell(trial, 1.0)
        except Exception:
            errors += 1
            continue
        asks.append(asked - began)
        tells.append(time.perf_counter() - asked)
    return asks, tells, errors


def write(kind: str, workers: int, seconds: float) -> tuple[str, ...]:
    """Let workers write at the same time; give a row of the table."""
    with tempfile.TemporaryDirectory() as place, storage_at(kind, Path(place)) as url:
        opened(url)
        context = get_context("spawn")
        met = (context.Barrier(workers),)
        with ProcessPoolExecutor(workers, context, initializer=meet, initargs=met) as pool:
            done = list(pool.map(work, [url] * workers, range(workers), [seconds] * workers))
        told = [len(tells) for _, tells, _ in done]
        storage = opened(url)
        lost = twice = 0
        for number, count in enumerate(told):
            trials = optuna.load_study(study_name=f"load-{number}", storage=storage).trials
            complete = sum(trial.state is TrialState.COMPLETE for trial in trials)
            lost += max(0, count - complete)
            twice += max(0, len(trials) - count)
            assert [trial.number for trial in trials] == list(range(len(trials)))
    asks, tells = (np.concatenate([d[i] for d in done]) * 1000 for i in (0, 1))
    times = (f"{np.quantile(each, q):.0f}" for each in (asks, tells) for q in (0.5, 0.99))
    errors = sum(failed for *_, failed in done)
    return (
        *(kind, str(workers), f"{sum(told) / seconds:.0f}", *times),
        *(str(errors), str(twice), str(lost)),
    )


SUITE = """
name = "load"
seeds = {seeds}
storage = "{url}"
workers = {workers}
[objective]
name = "benchmarks.storage_load:Nothing"
[budget]
evaluations = {trials}
[methods]
random = {{}}
pso = {{}}
"""


def cpu_seconds() -> float:
    """Give the CPU seconds of all commands so far, including their workers."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def read(kind: str, trials: int) -> Iterator[tuple[str, ...]]:
    """Record a suite with the given number of trials, and time its readers; give table rows."""
    with tempfile.TemporaryDirectory() as place, storage_at(kind, Path(place)) as url:

        def timed(what: str, *arguments: str) -> tuple[str, ...]:
            command = [sys.executable, "-m", "hpo_bench", *arguments]
            began, computed = time.perf_counter(), cpu_seconds()
            subprocess.run(command, check=True, capture_output=True)
            seconds = (time.perf_counter() - began, cpu_seconds() - computed)
            return kind, str(trials), what, *(f"{each:.1f}" for each in seconds)

        suite = Path(place) / "load.toml"
        seeds = max(1, trials // (2 * RUN_TRIALS))
        suite.write_text(SUITE.format(seeds=seeds, url=url, workers=2, trials=RUN_TRIALS))
        where = ("--storage", url)
        yield timed("run: record it", "run", str(suite))
        yield timed("run: see that all is done", "run", str(suite))
        yield timed("results", "results", "load", *where)
        output = ("--output", str(Path(place) / "load.html"))
        yield timed("report", "report", "load", *output, *where)


def main() -> None:
    parser = argparse.ArgumentParser(prog="storage_load", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("write", "read"):
        command = commands.add_parser(name)
        command.add_argument("--storage", action="append")
    commands.choices["write"].add_argument("--workers", default="1,2,4,8")
    commands.choices["write"].add_argument("--seconds", type=float, default=10.0)
    commands.choices["read"].add_argument("--trials", type=int, default=100_000)
    asked = parser.parse_args()
    console = Console(width=120)
    storages: list[str] = asked.storage or ["sqlite", "postgresql"]
    if asked.command == "read":
        table = Table("storage", "trials", "what", "s", "CPU s")
        for kind in storages:
            for row in read(kind, asked.trials):
                table.add_row(*row)
    else:
        times = ("ask ms", "ask p99", "tell ms", "tell p99")
        table = Table("storage", "workers", "trials/s", *times, "errors", "twice", "lost")
        for kind in storages:
            for workers in map(int, asked.workers.split(",")):
                table.add_row(*write(kind, workers, asked.seconds))
    console.print(table)


if __name__ == "__main__":
    main()
