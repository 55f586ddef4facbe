"""Suites from start to end: checked, executed, watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from hpo_bench.engines import local, ray
from hpo_bench.engines.base import Report
from hpo_bench.engines.notebook import NotebookDisplay
from hpo_bench.engines.progress import ProgressDisplay
from hpo_bench.objectives import Objective
from hpo_bench.running.checkpoints import default_directory, make_directory, remove_if_empty
from hpo_bench.running.processes import staying_here
from hpo_bench.running.runs import Run, runs_of
from hpo_bench.running.studies import check_unchanged
from hpo_bench.storage.opening import close, open_storage
from hpo_bench.storage.studies import Glance, glance
from hpo_bench.suite import Suite
from hpo_bench.terminal import telling


def run_suites(
    suites: Sequence[Suite],
    checkpoint_directory: Path | None,
    console: Console,
    *,
    wait: bool = True,
    address: str | None = None,
) -> Report:
    """Run suites, or go on with them, with the same worker processes.

    Any number of processes may do so at the same time, on any machines that reach the storage:
    each run is worked on by one of them.

    Args:
        suites: What to compare; all in one storage and with as many workers.
        checkpoint_directory: Where evaluations under way are kept; None for the default place.
        console: Where progress and notices are shown.
        wait: Stay until the runs that others work on are finished, too.
        address: Of a Ray cluster, where the engine is Ray; None starts one on this machine.

    Raises:
        HpoBenchError: Before any work: something in a suite cannot be used, or what an objective
            needs is not there.
    """
    with staying_here():
        return _run_suites(suites, checkpoint_directory, console, wait=wait, address=address)


def _run_suites(
    suites: Sequence[Suite],
    checkpoint_directory: Path | None,
    console: Console,
    *,
    wait: bool,
    address: str | None,
) -> Report:
    directory = (checkpoint_directory or default_directory(suites[0].storage)).absolute()
    with telling("checking the suite", quiet=console.quiet):
        notices = {suite.name: suite.check() for suite in suites}
    # Opened once before the workers meet there, so that they find its tables.
    storage = open_storage(suites[0].storage, patience=suites[0].storage_patience)
    make_directory(directory)
    runs = [run for suite in suites for run in runs_of(suite, directory)]
    there = glance(storage)
    for run in runs:
        check_unchanged(run, there)
    close(storage)
    done = _done(runs, there)
    objectives = [suite.build_objective(suite.seeds[0]) for suite in suites]
    for objective in objectives:
        with telling("loading the data that evaluations need", quiet=console.quiet):
            objective.provide()
    for name, told in notices.items():
        for notice in told:
            text = notice if len(suites) == 1 else f"{name}: {notice}"
            console.print(f"note: {text}", style="yellow")
    try:
        return _execute(runs, done, suites[0], objectives[0], console, wait=wait, address=address)
    finally:
        if checkpoint_directory is None:
            remove_if_empty(directory)


def _done(runs: Sequence[Run], there: Mapping[str, Glance]) -> set[str]:
    """Name the runs that need not be looked at any more.

    One of each suite is looked at all the same: that tells whether its data are still the same.
    So is one whose checkpoints were left by whoever ended it.
    """
    done: dict[str, list[str]] = {}
    for run in runs:
        if run.is_done(there) and not (run.checkpoint_directory / run.study_name).exists():
            done.setdefault(run.suite.name, []).append(run.study_name)
    return {name for names in done.values() for name in names[1:]}


def _execute(
    runs: Sequence[Run],
    done: set[str],
    suite: Suite,
    objective: Objective,
    console: Console,
    *,
    wait: bool,
    address: str | None,
) -> Report:
    left = [run for run in runs if run.study_name not in done]
    make = NotebookDisplay if console.is_jupyter else ProgressDisplay
    with make(runs, console, done=done) as display:
        if suite.engine == "ray":
            return ray.execute_all(left, suite.n_workers, display, address=address, wait=wait)
        n_gpus = objective.n_gpus()
        n_workers = n_gpus if suite.workers == "auto" and n_gpus else suite.n_workers
        is_alone = objective.is_simulated or suite.workers_per_run == 1
        at_once = n_workers if is_alone else max(1, n_workers // suite.workers_per_run)
        return local.execute_all(left, at_once, display, n_gpus=n_gpus, wait=wait)
