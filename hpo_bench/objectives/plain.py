"""Problems that know nothing of fidelity (OptunaHub's among them), as objectives."""

from __future__ import annotations

from typing import Any

from optuna.study import StudyDirection

from hpo_bench.errors import InputError
from hpo_bench.objectives.base import Evaluation, Objective
from hpo_bench.spaces import Configuration, Space


class PlainObjective(Objective):
    """Any object with `search_space`, `directions` and `evaluate`; an evaluation is one unit."""

    def __init__(self, problem: Any) -> None:
        for name in ("search_space", "directions", "evaluate"):
            if not hasattr(problem, name):
                expected = f"expected an object with search_space, directions, evaluate; no {name}"
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
        value = float(self._problem.evaluate(self._configuration))
        self.fidelity = 1
        return value
