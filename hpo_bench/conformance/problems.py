"""Problems for the checks of methods: all kinds of hyperparameters, and a cheap function.

The function is an objective, too, so that checks can run a whole suite on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hpo_bench.objectives import Evaluation, Objective
from hpo_bench.spaces import Configuration, Space

KINDS: Space = {
    "float": FloatDistribution(-1.0, 1.0),
    "float_log": FloatDistribution(1e-7, 10.0, log=True),
    "float_step": FloatDistribution(-10.2, 10.2, step=0.1),
    "int": IntDistribution(-10, 10),
    "int_log": IntDistribution(1, 100, log=True),
    "int_step": IntDistribution(-10, 10, step=2),
    "words": CategoricalDistribution(["a", "b", "c"]),
    "mixed": CategoricalDistribution([1, "a", 2.5, True, None]),
}
"""One hyperparameter of each kind that a space can have, each with more than one value."""

CONSTANTS: Space = {
    "one_float": FloatDistribution(1.5, 1.5),
    "one_int": IntDistribution(3, 3),
    "one_word": CategoricalDistribution(["only"]),
}
"""Hyperparameters of a single value: a model that divides by the width of a range fails here."""

NUMBERS: Space = {
    "x": FloatDistribution(-5.0, 5.0),
    "y": FloatDistribution(1e-4, 1.0, log=True),
    "n": IntDistribution(1, 64, log=True),
    "c": CategoricalDistribution(["a", "b", "c"]),
}
"""An ordinary space, in which two random configurations are hardly ever equal."""


def value_of(space: Mapping[str, BaseDistribution], configuration: Configuration) -> float:
    """Return the value of a configuration, 0 or more, to be minimised.

    It is a sum over the hyperparameters: for a number the squared distance from 0.3 of its range,
    for a choice a fixed number in [0, 1].
    """
    return sum(_loss(space[name], value) for name, value in configuration.items())


def _loss(dist: BaseDistribution, value: Any) -> float:
    if isinstance(dist, CategoricalDistribution):
        # Python's own hash of a text changes from process to process.
        return hashlib.sha256(repr(value).encode()).digest()[0] / 255
    assert isinstance(dist, FloatDistribution | IntDistribution)
    width = dist.high - dist.low
    return 0.0 if width == 0 else ((value - dist.low) / width - 0.3) ** 2


class Bowl(Objective):
    """`value_of` on the space `NUMBERS`, with learning curves that approach it from above.

    The value after step t is `value_of(...)` + 1 / t.

    Args:
        steps: Steps of a full evaluation, 1 or more.
    """

    fidelity_name = "steps"

    def __init__(self, steps: int = 3) -> None:
        self.max_fidelity = steps

    @property
    def search_space(self) -> Space:
        """The space `NUMBERS`."""
        return dict(NUMBERS)

    def start(self, configuration: Configuration) -> Evaluation:
        """Start an evaluation at fidelity 0."""
        return _Descent(value_of(NUMBERS, configuration))


class _Descent(Evaluation):
    """An evaluation whose value after step t is `end` + 1 / t."""

    def __init__(self, end: float) -> None:
        self._end = end

    def advance(self) -> float:
        self.fidelity += 1
        return self._end + 1.0 / self.fidelity
