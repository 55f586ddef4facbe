"""Max pooling: compiled for this machine's processor where there is a C compiler, else torch's.

Both give the same values and gradients to the bit, so that nothing but the time depends on it.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives.lenet5.cache import data_directory, locked

logger = logging.getLogger(__name__)

_FLAGS = ("-std=gnu11", "-O3", "-march=native", "-fno-trapping-math", "-fPIC", "-shared")
_TYPES = {torch.float32: "float", torch.bfloat16: "bfloat16"}


def max_pool(maps: Tensor) -> Tensor:
    """Take the largest of each square of 2x2.

    Args:
        maps: (n, channels, height, width), both even, in channels_last memory.

    Returns:
        (n, channels, height / 2, width / 2), in channels_last memory.
    """
    library = _library() if maps.device.type == "cpu" else None
    if library is None or maps.dtype not in _TYPES:
        return functional.max_pool2d(maps, 2)
    pooled: Tensor = _MaxPool.apply(maps, library)
    return pooled


def is_compiled() -> bool:
    """Say whether the compiled pooling is used; compiles it on first use."""
    return _library() is not None


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, library: ctypes.CDLL) -> Tensor:
        maps = maps.contiguous(memory_format=torch.channels_last)
        n, channels, height, width = maps.shape
        pooled = _empty((n, channels, height // 2, width // 2), maps.dtype)
        winner = _empty(tuple(pooled.shape), torch.uint8)
        _call(library, f"forward_{_TYPES[maps.dtype]}", maps, pooled, winner, maps.shape)
        ctx.library = library
        ctx.save_for_backward(winner)
        return pooled

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        (winner,) = ctx.saved_tensors
        n, channels, height, width = gradient.shape
        spread = _empty((n, channels, 2 * height, 2 * width), gradient.dtype)
        name = f"backward_{_TYPES[gradient.dtype]}"
        _call(ctx.library, name, gradient, winner, spread, spread.shape)
        return spread, None


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, memory_format=torch.channels_last)


def _call(library: ctypes.CDLL, name: str, a: Tensor, b: Tensor, c: Tensor, nchw: Any) -> None:
    n, channels, height, width = nchw
    pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (a, b, c)]
    library[name](*pointers, *(ctypes.c_long(size) for size in (n, height, width, channels)))


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL | None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return None
    try:
        library = ctypes.CDLL(str(_built(compiler)))
    except (HpoBenchError, OSError, subprocess.SubprocessError) as error:
        logger.warning("max pooling is torch's own, which takes longer: %s", error)
        return None
    if not _agrees(library):
        logger.warning("max pooling is torch's own: what %s has made gives other values", compiler)
        return None
    return library


def _built(compiler: str) -> Path:
    """Compile once for this source, compiler and processor; keep it among the other caches."""
    source = (files(__package__) / "max_pool.c").read_bytes()
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True).stdout
    parts = (source, version, " ".join(_FLAGS).encode(), _processor())
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    path = data_directory() / "compiled" / f"max_pool-{key}.so"
    if not path.exists():
        with locked(path.parent):
            _compile(compiler, source, path)
    return path


def _compile(compiler: str, source: bytes, path: Path) -> None:
    # Renaming is atomic: whoever looks finds the whole library or none.
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        (Path(folder) / "max_pool.c").write_bytes(source)
        made = Path(folder) / path.name
        command = [compiler, *_FLAGS, "-o", str(made), str(Path(folder) / "max_pool.c")]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise HpoBenchError(f"{compiler} cannot compile it: {done.stderr.strip()[-500:]}")
        made.replace(path)


def _processor() -> bytes:
    """What `-march=native` depends on: a cache may be shared by machines of several kinds."""
    cpu = Path("/proc/cpuinfo")
    if not cpu.exists():
        return f"{platform.machine()} {platform.processor()} {platform.node()}".encode()
    first = cpu.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    told = ("vendor_id", "cpu family", "model", "flags", "CPU part", "Features")
    return "\n".join(line for line in first if line.startswith(told)).encode()


def _agrees(library: ctypes.CDLL) -> bool:
    """Compare with torch on a small case; a miscompiled kernel must not train anything."""
    generator = torch.Generator().manual_seed(0)
    # Few different values: many of them equal, so that it matters which one wins.
    maps = torch.randint(-3, 4, (2, 5, 6, 6), generator=generator).float()
    maps = maps.to(memory_format=torch.channels_last).requires_grad_()
    weights = torch.randn(2, 5, 3, 3, generator=generator)
    ours = _MaxPool.apply(maps, library)
    theirs = functional.max_pool2d(maps, 2)
    gradients = [torch.autograd.grad((p * weights).sum(), maps)[0] for p in (ours, theirs)]
    return torch.equal(ours, theirs) and torch.equal(*gradients)
