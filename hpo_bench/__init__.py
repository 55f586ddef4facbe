"""hpo-bench: every way to search for hyperparameters, on the same objective, measured.

A name is imported when it is first used: `import hpo_bench` alone loads no other library.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpo_bench.objectives import Evaluation, Objective
    from hpo_bench.objectives.steps import steps

__all__ = ["Evaluation", "Objective", "__version__", "steps"]

__version__ = version("hpo-bench")

_PLACES = {
    "Evaluation": "hpo_bench.objectives",
    "Objective": "hpo_bench.objectives",
    "steps": "hpo_bench.objectives.steps",
}
"""Name -> the module that has it."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
