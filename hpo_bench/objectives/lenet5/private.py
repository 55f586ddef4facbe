"""The directories of downloads and caches, and the check whether their files can be trusted.

Several users may share a data directory. A file there is used only if this user or root owns it and
nobody else can write it: a library or an array of another user could control this process.
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
"""Bits of a file's mode that let its group or all users write it."""


def data_directory() -> Path:
    """Return the directory of downloads and caches.

    It is `HPO_BENCH_DATA` if this environment variable is set, else the user's cache directory.
    """
    named = os.environ.get("HPO_BENCH_DATA")
    return _absolute(named) if named else Path(platformdirs.user_cache_dir("hpo-bench"))


@lru_cache(maxsize=8)  # once per process, because an objective may change the working directory
def _absolute(named: str) -> Path:
    return Path(named).expanduser().absolute()


def cache_directories() -> Iterator[Path]:
    """Yield the directories that may hold a cache, in order of preference.

    They are the data directory, the user's cache directory, and a temporary directory of this
    process. A caller goes to the next one if it cannot trust or write a directory.
    """
    yield data_directory()
    yield Path(platformdirs.user_cache_dir("hpo-bench"))
    yield Path(_temporary().name)


@lru_cache(maxsize=1)
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hpo-bench-")


class UntrustedError(HpoBenchError):
    """Another user may have written to a directory or file."""


@contextmanager
def held(directory: Path) -> Iterator[Path]:
    """Check a directory and its files, and yield a path by which they can be trusted.

    The path leads to the checked directory, even if another user, who may write its parent, puts
    another directory in its place meanwhile.

    Raises:
        OSError: The directory does not exist, or is a symbolic link.
        UntrustedError: The directory or one of its files belongs to another user, or others can
            write it.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _check(directory, os.fstat(descriptor))
        opened = Path(f"/proc/self/fd/{descriptor}")
        if not opened.exists():  # macOS: use the path itself, if only trusted users can replace it
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
