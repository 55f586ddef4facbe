"""Problems that know nothing of fidelity (OptunaHub's among them), as objectives."""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.study import StudyDirection

from hpo_bench.errors import InputError
from hpo_bench.objectives.base import Evaluation, Objective
from hpo_bench.spaces import Configuration, Space


class PlainObjective(Objective):
    """Any object with `search_space`, `directions` and `evaluate`; an evaluation is one unit.

    Args:
        problem: It has no constraints, and its value is a number or holds one.

    Raises:
        InputError: It is no such object.
    """

    def __init__(self, problem: Any) -> None:
        for name in ("search_space", "directions", "evaluate"):
            if not hasattr(problem, name):
                expected = f"expected an object with search_space, directions, evaluate; no {name}"
                raise InputError("objective.name", type(problem).__name__, expected)
        if _is_constrained(problem):
            expected = "it has constraints, of which no method would be told"
            raise InputError("objective.name", type(problem).__name__, expected)
        self._problem = problem

    @property
    def search_space(self) -> Space:
        """The problem's own."""
        return dict(self._problem.search_space)

    @property
    def directions(self) -> list[StudyDirection]:
        """The problem's own."""
        return list(self._problem.directions)

    def start(self, configuration: Configuration) -> Evaluation:
        """Begin; the work is done in the single step."""
        return _Whole(self._problem, configuration)


class _Whole(Evaluation):
    def __init__(self, problem: Any, configuration: Configuration) -> None:
        self._problem = problem
        self._configuration = configuration

    def advance(self) -> float:
        # OptunaHub's tables give a list, also of a single value.
        values = np.ravel(self._problem.evaluate(self._configuration))
        if len(values) != 1:
            raise ValueError(f"it gave {len(values)} values; expected one")
        self.fidelity = 1
        return float(values[0])


def _is_constrained(problem: Any) -> bool:
    """Whether it has a method of its own for what OptunaHub's base answers with nothing."""
    method = getattr(type(problem), "evaluate_constraints", None)
    return method is not None and not method.__module__.startswith("optunahub.")
