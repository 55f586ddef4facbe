"""Samplers for any Optuna study.

Each lives in a folder of its own that needs only Optuna and NumPy; it is imported when its name is
first used, so that taking one does not pay for the others.
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
