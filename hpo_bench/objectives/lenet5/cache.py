"""Where downloads and decoded images live, and who may write there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import platformdirs
from rich.console import Console

from hpo_bench.errors import HpoBenchError


def data_directory() -> Path:
    """Where downloads and caches live: `HPO_BENCH_DATA`, else the user's cache directory."""
    named = os.environ.get("HPO_BENCH_DATA")
    return Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("hpo-bench"))


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Let one process at a time fill `directory`; the others then find what it left.

    Raises:
        HpoBenchError: The directory cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(directory / ".hpo-bench.lock")
        lock.acquire()
    except OSError as error:
        raise HpoBenchError(
            f"{directory} cannot be used for downloads and caches ({error.strerror or error}); "
            "set HPO_BENCH_DATA to a directory that can be written"
        ) from error
    try:
        yield
    finally:
        lock.release()


def say(text: str) -> None:
    """Tell the person at the keyboard what takes time or disk space, on standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(text)
