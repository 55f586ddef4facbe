"""C made into a library for this machine's processor, kept where nobody else can change it."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import logging
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import filelock

from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives.lenet5.private import UntrustedError, cache_directories, held

logger = logging.getLogger(__name__)

_FOLDER = "kernels"
_LONGEST_BUILD = 1_200
"""Seconds; a build takes some with either, and minutes where many others want the processor."""

_INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")
"""What a kernel's speed depends on, as `/proc/cpuinfo` names it on x86 and on ARM."""


@dataclass(frozen=True)
class Library:
    """Compiled code that has been loaded."""

    handle: ctypes.CDLL
    identity: str
    """Digest of the source, compiler with version, and instruction set, in one line."""
    why: str
    """Where the compiler was found, and why no other one was taken."""


@dataclass(frozen=True)
class _Compiler:
    command: tuple[str, ...]
    version: str
    found: str
    """Where: `$CC`, the machine's `cc`, or the package ziglang."""


@dataclass(frozen=True)
class _Recipe:
    """What a library is made of; another recipe makes another file."""

    name: str
    source: bytes
    flags: tuple[str, ...]
    compiler: _Compiler

    @property
    def key(self) -> str:
        compiler = self.compiler
        parts = (self.name, compiler.found, compiler.version, *self.flags, _processor())
        told = b"\0".join([self.source, *(part.encode() for part in parts)])
        return hashlib.sha256(told).hexdigest()

    @property
    def stem(self) -> str:
        """Name of its files, without the ending."""
        return f"{self.name}-{self.key[:16]}"

    @property
    def identity(self) -> str:
        digest = hashlib.sha256(self.source).hexdigest()[:12]
        return f"{digest}, {self.compiler.version.partition(chr(10))[0]}, {_instruction_set()}"


def load(name: str, source: bytes, flags: tuple[str, ...], symbols: Sequence[str] = ()) -> Library:
    """Compile C and load it; what was compiled before is loaded as it is.

    The library is kept below the data directory if nobody but this user or root can write there,
    else below the user's cache directory, else in a temporary directory. Its digest is checked
    before it is loaded. Processes that need the same library at once wait for the first of them.

    Args:
        name: Of the library's file; letters, digits and underscores.
        source: One file of C.
        flags: Of the compiler; what they make must be a shared library.
        symbols: Functions that the library must have.

    Raises:
        HpoBenchError: There is no compiler, or none makes such a library; the text says of each
            one why.
    """
    passed_over: list[str] = []
    for compiler in _compilers(passed_over):
        recipe = _Recipe(name, source, flags, compiler)
        try:
            handle = _load(recipe)
            _check_symbols(handle, symbols)
        except HpoBenchError as error:
            _pass_over(compiler.found, error, passed_over)
        else:
            return Library(handle, recipe.identity, "; ".join([compiler.found, *passed_over]))
    raise HpoBenchError(f"nothing here compiles {name}: {'; '.join(passed_over)}")


def _pass_over(found: str, reason: object, passed_over: list[str]) -> None:
    passed_over.append(f"{found}: {reason}")
    logger.warning("%s is not used: %s", found, reason)


def _compilers(passed_over: list[str]) -> Iterator[_Compiler]:
    """Every compiler of this machine, in order; adds to `passed_over` what cannot be asked."""
    chosen = shlex.split(os.environ.get("CC", ""))
    if chosen:
        yield from _asked(chosen, f"$CC ({shlex.join(chosen)})", passed_over)
    if shutil.which("cc"):
        yield from _asked(["cc"], "the machine's cc", passed_over)
    else:
        passed_over.append("the machine's cc: not found")
    if importlib.util.find_spec("ziglang"):
        found = f"ziglang {version('ziglang')}"
        # -P: a folder `ziglang` in the working directory is not taken for the package.
        command = (sys.executable, "-P", "-m", "ziglang", "cc")
        yield _Compiler(command, found, f"the package {found}")
    else:
        passed_over.append("the package ziglang: not installed")


def _asked(command: list[str], found: str, passed_over: list[str]) -> Iterator[_Compiler]:
    """Ask a compiler for its version: another version makes another library."""
    try:
        told = subprocess.run([*command, "--version"], capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        _pass_over(found, error, passed_over)
        return
    yield _Compiler(tuple(command), told.stdout.decode(errors="replace").strip(), found)


def _load(recipe: _Recipe) -> ctypes.CDLL:
    reasons = []
    for home in cache_directories():
        folder = home / _FOLDER
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            with held(folder) as trusted:
                return _open(_built(recipe, trusted))
        except (OSError, UntrustedError) as error:
            reasons.append(str(error))
            logger.warning("compiled code cannot be kept in %s: %s", folder, error)
    raise HpoBenchError("; ".join(reasons))


def _open(library: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise HpoBenchError(f"what it made cannot be loaded: {error}") from error


def _built(recipe: _Recipe, folder: Path) -> Path:
    """Give the library; make it if it is not there, while nobody else does."""
    library = folder / f"{recipe.stem}.so"
    if not _is_whole(library, recipe.key):
        with filelock.FileLock(folder / ".hpo-bench.lock", mode=0o600):
            if not _is_whole(library, recipe.key):  # who held the lock may have made it
                _build(recipe, library)
    return library


def _is_whole(library: Path, key: str) -> bool:
    """Compare a library with the digest beside it: other code is never loaded."""
    digest = library.with_suffix(".sha256")
    if not (library.is_file() and digest.is_file()):
        return False
    is_same = digest.read_text(errors="replace") == _digest(library, key)
    if not is_same:
        logger.warning("%s is not what was compiled; it is compiled anew", library.name)
    return is_same


def _digest(library: Path, key: str) -> str:
    # The key is part of it: a library that was made of something else does not pass for this one.
    return hashlib.sha256(key.encode() + library.read_bytes()).hexdigest()


def _build(recipe: _Recipe, library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent) as work:
        made, digest = Path(work) / "made.so", Path(work) / "made.sha256"
        (Path(work) / "source.c").write_bytes(recipe.source)
        # Flags come last: a library such as -lm serves only what stands before it.
        _run([*recipe.compiler.command, "source.c", "-o", made.name, *recipe.flags], work)
        digest.write_text(_digest(made, recipe.key))
        for file in (made, digest):
            file.chmod(0o600)  # whatever the umask: what others can write is not loaded
        # Who looks between the two waits for the lock: the digest there does not fit yet.
        made.replace(library)
        digest.replace(library.with_suffix(".sha256"))


def _run(command: list[str], work: str) -> None:
    # Everything that a compiler leaves behind goes when `work` goes.
    inside = {"TMPDIR": ".", "ZIG_GLOBAL_CACHE_DIR": ".", "ZIG_LOCAL_CACHE_DIR": "."}
    try:
        done = subprocess.run(
            command,
            cwd=work,
            env={**os.environ, **inside},
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LONGEST_BUILD,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise HpoBenchError(f"it cannot be started: {error}") from error
    if done.returncode or not (Path(work) / "made.so").is_file():
        raise HpoBenchError(f"it cannot compile this: {done.stderr.strip()[-500:]}")


def _check_symbols(handle: ctypes.CDLL, symbols: Sequence[str]) -> None:
    missing = [symbol for symbol in symbols if not hasattr(handle, symbol)]
    if missing:
        raise HpoBenchError(f"what it made has no function {', '.join(missing)}")


@lru_cache(maxsize=1)
def _processor() -> str:
    """What `-march=native` depends on: a cache may be shared by machines of several kinds."""
    cpu = Path("/proc/cpuinfo")
    if not cpu.exists():
        return f"{platform.machine()} {platform.processor()} {platform.node()}"
    first = cpu.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    told = ("vendor_id", "cpu family", "model", "flags", "CPU part", "Features")
    return "\n".join(line for line in first if line.startswith(told))


def _instruction_set() -> str:
    words = set(_processor().split())
    return "+".join([platform.machine(), *(one for one in _INSTRUCTION_SETS if one in words)])
