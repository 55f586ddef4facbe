"""Decoded images as files that processes share, and one process at a time that makes them."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import filelock
import numpy as np
import numpy.typing as npt

from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives.lenet5.private import UntrustedError, cache_directories, held
from hpo_bench.terminal import PlainConsole


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


def shared(name: str, make: Callable[[Path], Arrays]) -> Arrays:
    """Give arrays from a folder of files, made on first use; processes share their memory.

    The files are mapped: whatever reads them, on however many processes, they are in memory once,
    as long as nobody writes to them (who does gets pages of their own). Those that are there are
    read without a lock: by many at once, and where nothing can be written. They are used only if
    nobody but this user or root can have written them; else they are made anew elsewhere.

    Args:
        name: Of the folder below a cache directory: it holds `<name>.npy` of each array, and their
            checksum.
        make: Gives the arrays if they are not there or damaged; is told where they will be kept.

    Raises:
        HpoBenchError: They can be kept nowhere.
    """
    reasons = []
    for home in cache_directories():
        try:
            return _shared_in(home / name, make)
        except UntrustedError as error:
            reasons.append(str(error))
            warnings.warn(f"{error}; images are decoded again, and kept elsewhere", stacklevel=2)
    raise HpoBenchError(f"decoded images can be kept nowhere: {'; '.join(reasons)}")


def _shared_in(path: Path, make: Callable[[Path], Arrays]) -> Arrays:
    found = _mapped(path)
    if found is not None:
        return found
    with locked(path.parent):
        found = _mapped(path)  # who held the lock may have made it
        if found is None:
            _keep(path, make(path))
            found = _mapped(path)
    assert found is not None
    return found


def _mapped(path: Path) -> Arrays | None:
    if not path.exists():
        return None
    try:
        with held(path) as trusted:
            files = sorted(trusted.glob("*.npy"))
            arrays = {file.stem: np.load(file, mmap_mode="c") for file in files}
            if (trusted / "sha256").read_text() != _digest(arrays):
                raise ValueError("its checksum is another")
    except (OSError, EOFError, ValueError, UntrustedError) as error:
        if path.lstat().st_uid != os.geteuid():
            raise UntrustedError(str(error)) from error
        warnings.warn(f"{path} is damaged ({error}); decoding the images again", stacklevel=4)
        return None
    return arrays


def _keep(path: Path, arrays: Arrays) -> None:
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as beside:
            partial = Path(beside) / path.name
            _write(partial, arrays)
            if os.path.lexists(path):
                path.rename(Path(beside) / "damaged")
            # Renaming is atomic: a reader finds a whole folder or none.
            partial.rename(path)
    except OSError as error:
        raise HpoBenchError(f"{path} cannot be written: {error.strerror or error}") from error


def _write(folder: Path, arrays: Arrays) -> None:
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    (folder / "sha256").write_text(_digest(arrays))
    for file in folder.iterdir():
        file.chmod(0o644)  # others may read but not write, whatever the umask
    folder.chmod(0o755)


def _digest(arrays: Mapping[str, npt.NDArray[np.generic]]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def say(text: str) -> None:
    """Tell the person at the keyboard what takes time or disk space, on standard error."""
    PlainConsole(stderr=True).say(text)
