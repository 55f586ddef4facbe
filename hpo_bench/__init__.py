"""hpo-bench: every way to search for hyperparameters, on the same objective, measured.

    import hpo_bench

    results = hpo_bench.compare(objective, ["random", "pso"], seeds=10, n_trials=60)

A name is imported when it is first used: `import hpo_bench` alone loads no other library.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpo_bench.api import Results, compare, load, results, run
    from hpo_bench.errors import HpoBenchError
    from hpo_bench.objectives import Evaluation, Objective
    from hpo_bench.objectives.lenet5 import LeNet5
    from hpo_bench.objectives.steps import steps

__version__ = version("hpo-bench")

__all__ = [
    "Evaluation",
    "HpoBenchError",
    "LeNet5",
    "Objective",
    "Results",
    "__version__",
    "compare",
    "load",
    "results",
    "run",
    "steps",
]

_PLACES = {
    "Evaluation": "hpo_bench.objectives",
    "HpoBenchError": "hpo_bench.errors",
    "LeNet5": "hpo_bench.objectives.lenet5",
    "Objective": "hpo_bench.objectives",
    "Results": "hpo_bench.api",
    "compare": "hpo_bench.api",
    "load": "hpo_bench.api",
    "results": "hpo_bench.api",
    "run": "hpo_bench.api",
    "steps": "hpo_bench.objectives.steps",
}
"""Name -> the module that has it."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
