"""The 24 noiseless functions of COCO's suite `bbob`, as objectives."""

from __future__ import annotations

import math
from typing import Any

from optuna.distributions import FloatDistribution

from hpo_bench.errors import InputError, needing
from hpo_bench.objectives.base import Evaluation, Objective
from hpo_bench.spaces import Configuration, Space

DIMENSIONS = (2, 3, 5, 10, 20, 40)
"""Those that the suite has."""


class BBOB(Objective):
    """A function on [-5, 5]^d, to be minimised (Hansen et al. 2009, by `coco-experiment`).

    An instance is the same function moved and rotated otherwise; the least value differs too.
    """

    metric_name = "value"
    is_instant = True

    def __init__(self, function: int, *, dimension: int = 2, instance: int = 1) -> None:
        """Check the settings.

        Args:
            function: 1 to 24.
            dimension: 2, 3, 5, 10, 20 or 40.
            instance: 1 or more.

        Raises:
            InputError: A setting cannot be used.
            MissingExtraError: `coco-experiment` is not installed.
        """
        _check("function", function, range(1, 25), "1 to 24")
        _check("dimension", dimension, DIMENSIONS, f"one of {list(DIMENSIONS)}")
        _check("instance", instance, range(1, 2**31), "1 or more")
        with needing("tables", "the objective bbob"):
            import cocoex
        # The problem lives within its suite, which has to be kept.
        self._suite = cocoex.Suite(
            "bbob",
            f"instances: {instance}",
            f"dimensions: {dimension} function_indices: {function}",
        )
        self._problem = self._suite[0]

    @property
    def search_space(self) -> Space:
        """`x0`, `x1`, ...: the coordinates."""
        return {f"x{i}": FloatDistribution(-5, 5) for i in range(self._problem.dimension)}

    def start(self, configuration: Configuration) -> Evaluation:
        """Begin; the single step evaluates the function.

        Raises:
            InputError: A coordinate is missing, or no number.
        """
        names = self.search_space.keys()
        if configuration.keys() != names:
            raise InputError("configuration", configuration, f"expected {', '.join(names)}")
        return _Point(self._problem, [float(configuration[name]) for name in names])


class _Point(Evaluation):
    def __init__(self, problem: Any, point: list[float]) -> None:
        self._problem = problem
        self._point = point

    def advance(self) -> float:
        self.fidelity = 1
        value = self._problem(self._point)
        return math.nan if value is None else float(value)


def _check(field: str, value: Any, allowed: Any, expected: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value not in allowed:
        raise InputError(field, value, f"expected {expected}")
