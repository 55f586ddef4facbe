"""Where downloads and decoded images live, who may write there, and how processes share them."""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import filelock
import numpy as np
import numpy.typing as npt
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


Arrays = dict[str, npt.NDArray[np.generic]]


def shared(path: Path, make: Callable[[], Arrays]) -> Arrays:
    """Give arrays from a folder of files, made on first use; processes share their memory.

    The files are mapped: whatever reads them, on however many processes, they are in memory once,
    as long as nobody writes to them (who does gets pages of their own). Those that are there are
    read without a lock: by many at once, and where nothing can be written.

    Args:
        path: The folder: `<name>.npy` of each array, and their checksum.
        make: Gives the arrays if they are not there or damaged.

    Raises:
        HpoBenchError: The folder cannot be written.
    """
    found = _mapped(path)
    if found is not None:
        return found
    with locked(path.parent):
        found = _mapped(path)  # who held the lock may have made it
        if found is None:
            _keep(path, make())
            found = _mapped(path)
    assert found is not None
    return found


def _mapped(path: Path) -> Arrays | None:
    if not path.exists():
        return None
    try:
        arrays = {file.stem: np.load(file, mmap_mode="c") for file in sorted(path.glob("*.npy"))}
        if (path / "sha256").read_text() != _digest(arrays):
            raise ValueError("its checksum is another")
    except (OSError, EOFError, ValueError) as error:
        warnings.warn(f"{path} is damaged ({error}); decoding the images again", stacklevel=4)
        return None
    return arrays


def _keep(path: Path, arrays: Arrays) -> None:
    # Renaming is atomic: a reader finds a whole folder or none.
    partial = path.with_suffix(".partial")
    try:
        for folder in (partial, path):
            shutil.rmtree(folder, ignore_errors=True)
        partial.mkdir()
        for name, array in arrays.items():
            np.save(partial / f"{name}.npy", array, allow_pickle=False)
        (partial / "sha256").write_text(_digest(arrays))
        partial.rename(path)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise HpoBenchError(f"{path} cannot be written: {error.strerror or error}") from error


def _digest(arrays: Mapping[str, npt.NDArray[np.generic]]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def say(text: str) -> None:
    """Tell the person at the keyboard what takes time or disk space, on standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(text)
