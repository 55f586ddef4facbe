"""Compile C to a library for this machine's processor, and cache it where only this user writes."""

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
"""Seconds after which a build fails. It takes seconds, but minutes on a very busy processor."""

_INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")
"""Instruction sets on which the speed of a kernel depends, as `/proc/cpuinfo` of x86 or ARM names
them."""


@dataclass(frozen=True)
class Library:
    """A compiled and loaded library."""

    handle: ctypes.CDLL
    """The library, by which its functions are called."""
    identity: str
    """Digest of the source, compiler with version, and instruction set, in one line."""
    why: str
    """Origin of the compiler, and the reasons why compilers before it were not used."""


@dataclass(frozen=True)
class _Compiler:
    """A C compiler of this machine."""

    command: tuple[str, ...]
    """Its command with first arguments."""
    version: str
    """Text by which it tells its version."""
    found: str
    """Its origin: `$CC`, the machine's `cc`, or the package ziglang."""


@dataclass(frozen=True)
class _Recipe:
    """All that determines a library; a different recipe makes a file of another name."""

    name: str
    """Name of the library: letters, digits and underscores."""
    source: bytes
    """The C source, as one file."""
    flags: tuple[str, ...]
    """Flags of the compiler."""
    compiler: _Compiler
    """The compiler."""

    @property
    def key(self) -> str:
        """SHA-256 of the recipe and of this processor, in hexadecimal."""
        compiler = self.compiler
        parts = (self.name, compiler.found, compiler.version, *self.flags, _processor())
        told = b"\0".join([self.source, *(part.encode() for part in parts)])
        return hashlib.sha256(told).hexdigest()

    @property
    def stem(self) -> str:
        """Name of the library's files without their endings."""
        return f"{self.name}-{self.key[:16]}"

    @property
    def identity(self) -> str:
        """Digest of the source, compiler with version, and instruction set, in one line."""
        digest = hashlib.sha256(self.source).hexdigest()[:12]
        return f"{digest}, {self.compiler.version.partition(chr(10))[0]}, {_instruction_set()}"


def load(name: str, source: bytes, flags: tuple[str, ...], symbols: Sequence[str] = ()) -> Library:
    """Compile a C source, unless the cache has its library, and load the library.

    The cache is in the data directory if only this user or root can write there, else in the user's
    cache directory, else in a temporary directory. The digest of a library is checked before it is
    loaded. If several processes need the same library at once, one compiles it, and the others
    wait.

    Args:
        name: Name of the library: letters, digits and underscores.
        source: The C source, as one file.
        flags: Flags of the compiler, which must make a shared library.
        symbols: Names of functions that the library must have.

    Raises:
        HpoBenchError: No compiler exists or makes such a library; the text has the reason for each.
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
    """Yield the compilers of this machine in order of preference: `$CC`, `cc`, ziglang.

    Those that are missing or do not tell their version are added to `passed_over`, with the reason.
    """
    chosen = shlex.split(os.environ.get("CC", ""))
    if chosen:
        yield from _asked(chosen, f"$CC ({shlex.join(chosen)})", passed_over)
    if shutil.which("cc"):
        yield from _asked(["cc"], "the machine's cc", passed_over)
    else:
        passed_over.append("the machine's cc: not found")
    if importlib.util.find_spec("ziglang"):
        found = f"ziglang {version('ziglang')}"
        # -P: Python does not take a folder `ziglang` in the working directory for the package.
        command = (sys.executable, "-P", "-m", "ziglang", "cc")
        yield _Compiler(command, found, f"the package {found}")
    else:
        passed_over.append("the package ziglang: not installed")


def _asked(command: list[str], found: str, passed_over: list[str]) -> Iterator[_Compiler]:
    """Yield a compiler with its version; none if it does not answer.

    The version is a part of a library's recipe, so an updated compiler makes a new library.
    """
    try:
        told = subprocess.run([*command, "--version"], capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        _pass_over(found, error, passed_over)
        return
    yield _Compiler(tuple(command), told.stdout.decode(errors="replace").strip(), found)


def _load(recipe: _Recipe) -> ctypes.CDLL:
    """Load a library from the first cache directory that can be trusted and written."""
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
    """Return the path of a library; compile it under a lock if it does not exist."""
    library = folder / f"{recipe.stem}.so"
    if not _is_whole(library, recipe.key):
        with filelock.FileLock(folder / ".hpo-bench.lock", mode=0o600):
            if not _is_whole(library, recipe.key):  # whoever held the lock may have made it
                _build(recipe, library)
    return library


def _is_whole(library: Path, key: str) -> bool:
    """Return whether a library exists and has the digest in the file beside it."""
    digest = library.with_suffix(".sha256")
    if not (library.is_file() and digest.is_file()):
        return False
    is_same = digest.read_text(errors="replace") == _digest(library, key)
    if not is_same:
        logger.warning("%s is not what was compiled; it is compiled anew", library.name)
    return is_same


def _digest(library: Path, key: str) -> str:
    # The digest includes the key, so a library of another recipe does not pass for this one.
    return hashlib.sha256(key.encode() + library.read_bytes()).hexdigest()


def _build(recipe: _Recipe, library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent) as work:
        made, digest = Path(work) / "made.so", Path(work) / "made.sha256"
        (Path(work) / "source.c").write_bytes(recipe.source)
        # Flags come last, because a linker searches -lm only for symbols of files before it.
        _run([*recipe.compiler.command, "source.c", "-o", made.name, *recipe.flags], work)
        digest.write_text(_digest(made, recipe.key))
        for file in (made, digest):
            file.chmod(0o600)  # whatever the umask: files that others can write are not loaded
        # A process that looks between the two renames finds a wrong digest, and waits for the lock.
        made.replace(library)
        digest.replace(library.with_suffix(".sha256"))


def _run(command: list[str], work: str) -> None:
    # Temporary files and zig's caches are inside of `work`, and are removed with it.
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
    """Describe the processor, because `-march=native` makes other code on another processor.

    Machines of different kinds may share a cache directory.
    """
    cpu = Path("/proc/cpuinfo")
    if not cpu.exists():
        return f"{platform.machine()} {platform.processor()} {platform.node()}"
    first = cpu.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    told = ("vendor_id", "cpu family", "model", "flags", "CPU part", "Features")
    return "\n".join(line for line in first if line.startswith(told))


def _instruction_set() -> str:
    words = set(_processor().split())
    return "+".join([platform.machine(), *(one for one in _INSTRUCTION_SETS if one in words)])
