"""What methods are tested on: every kind of hyperparameter, and a function that needs no training.

The same functions are objectives, so that a whole suite can be run on them.
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
"""Whatever a space may hold and may be varied."""

CONSTANTS: Space = {
    "one_float": FloatDistribution(1.5, 1.5),
    "one_int": IntDistribution(3, 3),
    "one_word": CategoricalDistribution(["only"]),
}
"""What has a single value: some models divide by the width of a range."""

NUMBERS: Space = {
    "x": FloatDistribution(-5.0, 5.0),
    "y": FloatDistribution(1e-4, 1.0, log=True),
    "n": IntDistribution(1, 64, log=True),
    "c": CategoricalDistribution(["a", "b", "c"]),
}
"""An ordinary space, where a value hardly comes twice by chance."""


def value_of(space: Mapping[str, BaseDistribution], configuration: Configuration) -> float:
    """A bowl over the numbers, another depth for each choice: 0 at best."""
    return sum(_loss(space[name], value) for name, value in configuration.items())


def _loss(dist: BaseDistribution, value: Any) -> float:
    if isinstance(dist, CategoricalDistribution):
        return hashlib.sha256(repr(value).encode()).digest()[0] / 255
    assert isinstance(dist, FloatDistribution | IntDistribution)
    width = dist.high - dist.low
    return 0.0 if width == 0 else ((value - dist.low) / width - 0.3) ** 2


class Bowl(Objective):
    """`value_of` on the space `NUMBERS`, approached from above by learning curves."""

    fidelity_name = "steps"

    def __init__(self, steps: int = 3) -> None:
        self.max_fidelity = steps

    @property
    def search_space(self) -> Space:
        """The ordinary one."""
        return dict(NUMBERS)

    def start(self, configuration: Configuration) -> Evaluation:
        """Begin at fidelity 0."""
        return _Descent(value_of(NUMBERS, configuration))


class _Descent(Evaluation):
    def __init__(self, end: float) -> None:
        self._end = end

    def advance(self) -> float:
        self.fidelity += 1
        return self._end + 1.0 / self.fidelity
