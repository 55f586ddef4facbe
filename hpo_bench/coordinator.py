"""A suite from start to end: checked, locked, executed, watched."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console

from hpo_bench.checkpoints import default_directory, make_directory
from hpo_bench.engines.local import Report, execute_all
from hpo_bench.errors import HpoBenchError
from hpo_bench.manifest import usable_cores
from hpo_bench.progress import ProgressDisplay
from hpo_bench.runs import check_unchanged, runs_of
from hpo_bench.storage import open_storage, shown, sqlite_file
from hpo_bench.suite import Suite


def run_suite(suite: Suite, checkpoint_directory: Path | None, console: Console) -> Report:
    """Run a suite, or go on with it.

    Args:
        suite: What to compare.
        checkpoint_directory: Where evaluations under way are kept; None for the default place.
        console: Where progress and notices are shown.

    Raises:
        HpoBenchError: Before any work: something in the suite cannot be used, what the objective
            needs is not there, or another process is at work on the same suite.
    """
    notices = suite.check()
    # Opened once before the workers meet there: processes that create the tables at the same
    # time crash each other.
    storage = open_storage(suite.storage)
    directory = checkpoint_directory or default_directory(suite.storage)
    make_directory(directory)
    runs = runs_of(suite, directory)
    with _alone(suite):
        for run in runs:
            check_unchanged(run, storage)
        suite.build_objective(suite.seeds[0]).provide()
        for notice in notices:
            console.print(f"note: {notice}", style="yellow", highlight=False, markup=False)
        workers = usable_cores() if suite.workers == "auto" else suite.workers
        runs_at_once = max(1, workers // suite.workers_per_run)
        with ProgressDisplay(runs, console) as display:
            return execute_all(runs, runs_at_once, display)


@contextmanager
def _alone(suite: Suite) -> Iterator[None]:
    """Hold a lock on the suite in its storage: two coordinators would work on the same trials.

    Raises:
        HpoBenchError: Another process of this machine holds it.
    """
    file = sqlite_file(suite.storage)
    place = shown(suite.storage) if file is None else str(file.resolve())
    key = hashlib.sha256(f"{place}\n{suite.name}".encode()).hexdigest()[:16]
    lock = FileLock(Path(tempfile.gettempdir()) / f"hpo-bench-{os.getuid()}-{key}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise HpoBenchError(
            f"another process is running suite {suite.name!r} in this storage "
            f"(it holds {lock.lock_file})"
        ) from None
    try:
        yield
    finally:
        lock.release()
