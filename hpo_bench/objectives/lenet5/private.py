"""Where downloads and caches live, and which of them can be trusted.

A data directory may be shared with others. What is kept there is used only if this user or root
owns it and nobody else can write it: a library or an array of somebody else's would decide what
this user's process does.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import platformdirs

from hpo_bench.errors import HpoBenchError

_OTHERS_MAY_WRITE = 0o022


def data_directory() -> Path:
    """Where downloads and caches live: `HPO_BENCH_DATA`, else the user's cache directory."""
    named = os.environ.get("HPO_BENCH_DATA")
    return _absolute(named) if named else Path(platformdirs.user_cache_dir("hpo-bench"))


@lru_cache(maxsize=8)  # once a process: an objective may change the working directory later
def _absolute(named: str) -> Path:
    return Path(named).expanduser().absolute()


def cache_directories() -> Iterator[Path]:
    """Where a cache may be kept, the best first.

    Whoever cannot trust or write the data directory goes on to the user's own cache directory,
    and from there to a temporary directory of this process.
    """
    yield data_directory()
    yield Path(platformdirs.user_cache_dir("hpo-bench"))
    yield Path(_temporary().name)


@lru_cache(maxsize=1)
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hpo-bench-")


class UntrustedError(HpoBenchError):
    """Somebody else may have written what is kept here."""


@contextmanager
def held(directory: Path) -> Iterator[Path]:
    """Give a path by which the files of a directory can be trusted.

    The path leads to the directory that was looked at, even if somebody who may write its parent
    puts another one in its place meanwhile.

    Raises:
        OSError: There is no such directory, or it is a symbolic link.
        UntrustedError: It or one of its files belongs to another user, or others can write it.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _check(directory, os.fstat(descriptor))
        opened = Path(f"/proc/self/fd/{descriptor}")
        if not opened.exists():  # macOS: then nobody else may have put another one in its place
            opened = directory
            _check(directory.parent, directory.parent.stat())
        for file in opened.iterdir():
            with suppress(FileNotFoundError):  # another process of this user has just removed it
                _check(directory / file.name, file.lstat())
        yield opened
    finally:
        os.close(descriptor)


def _check(path: Path, status: os.stat_result) -> None:
    if status.st_uid not in (os.geteuid(), 0):
        raise UntrustedError(f"{path} belongs to another user (uid {status.st_uid})")
    if status.st_mode & _OTHERS_MAY_WRITE:
        raise UntrustedError(f"{path} can be written by other users")
