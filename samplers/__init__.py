"""Samplers for any Optuna study.

They need only Optuna and NumPy. Each has a folder of its own, `_base` holds what they share, and no
sampler imports another. A sampler is imported when its name is first used, so that its users do not
wait for the others. To use the samplers without this project, take the folder `samplers` as it is,
or a single sampler from what `.ci/hub_export.py` writes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .bohb import BOHBSampler
    from .grid import GridSampler
    from .pso import PSOSampler
    from .random import RandomSampler

__all__ = ["BOHBSampler", "GridSampler", "PSOSampler", "RandomSampler"]

_FOLDERS = {
    "BOHBSampler": "bohb",
    "GridSampler": "grid",
    "PSOSampler": "pso",
    "RandomSampler": "random",
}


def __getattr__(name: str) -> object:
    if name not in _FOLDERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_FOLDERS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
