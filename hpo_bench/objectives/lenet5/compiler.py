"""Compiled once for this source, compiler and processor: a stand-in for the verified cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives.lenet5.cache import data_directory, locked


@dataclass(frozen=True)
class Library:
    """A library that is loaded, and what it was made of."""

    handle: ctypes.CDLL
    identity: str


@cache
def load(name: str, source: bytes, flags: tuple[str, ...]) -> Library:
    """Compile and load a library.

    Raises:
        HpoBenchError: No compiler works here; the text says why.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise HpoBenchError("there is no C compiler")
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True, text=True)
    parts = (source, version.stdout.encode(), " ".join(flags).encode(), _processor())
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    path = data_directory() / "compiled" / f"{name}-{digest}.so"
    if not path.exists():
        with locked(path.parent), tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / f"{name}.so"
            (Path(folder) / f"{name}.c").write_bytes(source)
            command = [compiler, *flags, "-o", str(made), str(Path(folder) / f"{name}.c"), "-lm"]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                raise HpoBenchError(f"{compiler} cannot compile it: {done.stderr.strip()[-500:]}")
            made.replace(path)
    try:
        handle = ctypes.CDLL(str(path))
    except OSError as error:
        raise HpoBenchError(f"{path} cannot be loaded: {error}") from error
    told = version.stdout.splitlines()[0]
    return Library(handle, f"{digest[:8]}, {told}, {platform.machine()}")


def _processor() -> bytes:
    cpu = Path("/proc/cpuinfo")
    if not cpu.exists():
        return platform.processor().encode()
    told = ("vendor_id", "cpu family", "model", "flags", "CPU part", "Features")
    first = cpu.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    return "\n".join(line for line in first if line.startswith(told)).encode()
