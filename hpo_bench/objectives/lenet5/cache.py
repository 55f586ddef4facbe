"""A cache of decoded images in files: processes share them, and one at a time writes them."""

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
    """Hold a lock, so that one process at a time fills a directory, and the others wait.

    Raises:
        HpoBenchError: The directory cannot be created or written.
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
"""Name -> array."""


def shared(name: str, make: Callable[[Path], Arrays]) -> Arrays:
    """Return arrays from a cached folder of files, which is made on first use.

    The files are mapped into memory, so all processes together hold them once; a process that
    writes to an array gets its own copy of the changed pages. Existing files are read without a
    lock, also by many processes at once and on read-only disks. They are used only if nobody but
    this user or root can have written them; otherwise the arrays are made again and kept elsewhere.

    Args:
        name: Name of the folder in the cache directory. It holds one file `<array>.npy` for each
            array, and their checksum.
        make: Makes the arrays if they do not exist or are damaged; it gets the folder's path.

    Raises:
        HpoBenchError: No directory can hold the arrays.
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
        found = _mapped(path)  # the process that held the lock may have made it
        if found is None:
            _keep(path, make(path))
            found = _mapped(path)
    assert found is not None
    return found


def _mapped(path: Path) -> Arrays | None:
    """Map the arrays of a cached folder; return None if it does not exist or is damaged.

    Raises:
        UntrustedError: The folder belongs to another user and cannot be used.
    """
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
            # A rename is atomic: a reader finds the whole folder or none.
            partial.rename(path)
    except OSError as error:
        raise HpoBenchError(f"{path} cannot be written: {error.strerror or error}") from error


def _write(folder: Path, arrays: Arrays) -> None:
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)  # a pickle could run code
    (folder / "sha256").write_text(_digest(arrays))
    for file in folder.iterdir():
        file.chmod(0o644)  # whatever the umask: readers distrust files that others can write
    folder.chmod(0o755)


def _digest(arrays: Mapping[str, npt.NDArray[np.generic]]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def say(text: str) -> None:
    """Print a message on standard error, about work that takes time or disk space."""
    PlainConsole(stderr=True).say(text)
