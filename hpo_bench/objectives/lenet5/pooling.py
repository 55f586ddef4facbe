"""Max pooling: compiled for this machine's processor where there is a C compiler, else torch's.

Both give the same values and gradients to the bit, so that nothing but the time depends on it.
"""

from __future__ import annotations

import ctypes
import logging
from functools import lru_cache
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives.lenet5 import compiler
from hpo_bench.objectives.lenet5.compiler import Library

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


def library() -> Library:
    """Give what is used, and say how it came about; compiles it on first use.

    Raises:
        HpoBenchError: Torch's own pooling is used; the text says why.
    """
    found = _library()
    return found if found is not None else _compiled()


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, library: Library) -> Tensor:
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


def _call(library: Library, name: str, a: Tensor, b: Tensor, c: Tensor, nchw: Any) -> None:
    n, channels, height, width = nchw
    pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (a, b, c)]
    library.handle[name](*pointers, *(ctypes.c_long(size) for size in (n, height, width, channels)))


@lru_cache(maxsize=1)
def _library() -> Library | None:
    try:
        return _compiled()
    except HpoBenchError as error:
        logger.warning("max pooling is torch's own, which takes longer: %s", error)
        return None


def _compiled() -> Library:
    source = (files(__package__) / "max_pool.c").read_bytes()
    symbols = [f"{way}_{kind}" for way in ("forward", "backward") for kind in _TYPES.values()]
    library = compiler.load("max_pool", source, _FLAGS, symbols)
    if not _agrees(library):
        raise HpoBenchError(f"the library gives other values ({library.identity})")
    return library


def _agrees(library: Library) -> bool:
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
