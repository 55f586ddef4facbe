"""Problems that are generated: mixed spaces, and trees of conditional parameters.

What they imitate of hyperparameters: few matter much, a range may have a cliff, choices move the
best value of other parameters, and far from the optimum everything is equally bad.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Array = NDArray[np.float64]
Conditions = Mapping[str, tuple[str, frozenset[Any]]]
"""Name to its parent and the parent's values with which it exists."""

TOTAL = 2.0  # weight of all terms: a loss is 1 - exp(-sum), so few configurations are hopeless
SPREAD_OVER = 2000  # configurations whose values tell how a problem is scaled


@dataclass(frozen=True)
class Generated:
    """A loss in [0, 1) whose least value is 0.

    Attributes:
        space: Name to distribution.
        conditions: Of the parameters that not every configuration has.
        loss: Gives the value of a configuration.
    """

    space: dict[str, BaseDistribution]
    conditions: Conditions
    loss: Any

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw a configuration at random."""
        params: dict[str, Any] = {}
        for name, axis in self.space.items():
            if exists(name, params, self.conditions):
                params[name] = _at(axis, rng.random())
        return params

    def losses(self) -> Array:
        """Give the losses of random configurations."""
        rng = np.random.default_rng(0)
        return np.array([self.loss(self.draw(rng)) for _ in range(SPREAD_OVER)])


def exists(name: str, params: Mapping[str, Any], conditions: Conditions) -> bool:
    """Say whether a configuration has a parameter, given those that come before it."""
    if name not in conditions:
        return True
    parent, values = conditions[name]
    return parent in params and params[parent] in values


def mixed(seed: int) -> Generated:
    """Generate a space of 3 to 12 parameters of all kinds."""
    rng = np.random.default_rng([seed, 1])
    space = {f"p{j}": _axis(rng) for j in range(rng.integers(3, 13))}
    bowl = _Bowl(space, rng)
    return Generated(space, {}, lambda params: 1 - math.exp(-bowl(params)))


def tree(seed: int) -> Generated:
    """Generate 3 to 5 branches with parameters of their own, some of them two levels deep."""
    rng = np.random.default_rng([seed, 2])
    kinds = [f"k{i}" for i in range(rng.integers(3, 6))]
    shared = {f"shared{j}": _axis(rng) for j in range(rng.integers(1, 3))}
    space: dict[str, BaseDistribution] = {"kind": CategoricalDistribution(kinds), **shared}
    conditions: dict[str, tuple[str, frozenset[Any]]] = {}
    bowls, offsets = {}, {kind: rng.uniform(0.05, 0.5) for kind in kinds}
    offsets[kinds[rng.integers(len(kinds))]] = 0.0
    for kind in kinds:
        own = {f"{kind}-{j}": _axis(rng) for j in range(rng.integers(1, 4))}
        conditions |= {name: ("kind", frozenset([kind])) for name in own}
        mode = f"{kind}-mode"
        if rng.random() < 0.5:
            own[mode] = CategoricalDistribution(["on", "off"])
            conditions[mode] = "kind", frozenset([kind])
            own[f"{mode}-deep"] = _axis(rng)
            conditions[f"{mode}-deep"] = mode, frozenset(["on"])
        space |= own
        bowls[kind] = _Bowl({**shared, **own}, rng)

    def loss(params: Mapping[str, Any]) -> float:
        kind = params["kind"]
        return 1 - math.exp(-bowls[kind](params) - offsets[kind])

    return Generated(space, conditions, loss)


class _Bowl:
    """A sum of terms at least 0, all of them 0 at one configuration."""

    def __init__(self, space: Mapping[str, BaseDistribution], rng: np.random.Generator) -> None:
        self._space = space
        names = list(space)
        weights = np.exp(rng.normal(0, 1.2, len(names)))
        self._weights = dict(zip(names, TOTAL * weights / weights.sum(), strict=True))
        self._best = {name: _at(axis, rng.uniform(0.08, 0.92)) for name, axis in space.items()}
        self._power = {name: float(rng.choice([1.0, 2.0, 2.0])) for name in names}
        self._slopes = {name: rng.uniform(0.5, 2.5, 2) for name in names}
        self._waves = {name: (rng.uniform(0, 0.06), rng.integers(2, 6)) for name in names}
        self._choice_costs = {
            name: rng.uniform(0.1, 1.0, len(axis.choices))
            for name, axis in space.items()
            if isinstance(axis, CategoricalDistribution)
        }
        numeric = [name for name in names if name not in self._choice_costs]
        self._pairs = [
            (*rng.choice(numeric, 2, replace=False), rng.normal(0, 1.5))
            for _ in range(len(numeric) // 2)
            if len(numeric) > 1
        ]
        # A choice that is not the best one moves the best value of a numeric parameter.
        self._moves = {
            (name, choice): (str(rng.choice(numeric)), rng.normal(0, 0.25))
            for name in self._choice_costs
            for choice in space[name].choices  # type: ignore[attr-defined]
            if numeric and choice != self._best[name]
        }

    def __call__(self, params: Mapping[str, Any]) -> float:
        off: dict[str, float] = {}
        total = 0.0
        for name, axis in self._space.items():
            if name not in params:
                continue
            if name in self._choice_costs:
                if params[name] != self._best[name]:
                    choice = axis.to_internal_repr(params[name])
                    total += self._weights[name] * self._choice_costs[name][int(choice)]
            else:
                off[name] = _share(axis, params[name]) - _share(axis, self._best[name])
        for name in set(self._choice_costs) & set(params):
            moved, by = self._moves.get((name, params[name]), ("", 0.0))
            if moved in off:
                off[moved] += by
        total += sum(self._term(name, distance) for name, distance in off.items())
        total += sum(
            self._weights[one] * (off[one] * slope - off[other]) ** 2
            for one, other, slope in self._pairs
            if one in off and other in off
        )
        return float(total)

    def _term(self, name: str, distance: float) -> float:
        slope = self._slopes[name][int(distance > 0)]
        height, waves = self._waves[name]
        wave = height * (1 - math.cos(2 * math.pi * waves * distance)) / 2
        steep = min(abs(slope * distance), 1.0) ** self._power[name]
        return float(self._weights[name] * (steep + wave))


def _axis(rng: np.random.Generator) -> BaseDistribution:
    kind = rng.choice(["float", "float", "log", "log", "int", "int_log", "choice", "choice"])
    if kind == "float":
        return FloatDistribution(0, float(rng.choice([1.0, 10.0])))
    if kind == "log":
        return FloatDistribution(10.0 ** -int(rng.integers(3, 7)), 1.0, log=True)
    if kind == "int":
        return IntDistribution(1, int(rng.integers(4, 33)))
    if kind == "int_log":
        return IntDistribution(1, int(rng.integers(64, 1025)), log=True)
    return CategoricalDistribution([f"c{i}" for i in range(rng.integers(2, 7))])


def _at(axis: BaseDistribution, share: float) -> Any:
    if isinstance(axis, CategoricalDistribution):
        return axis.choices[min(int(share * len(axis.choices)), len(axis.choices) - 1)]
    assert isinstance(axis, FloatDistribution | IntDistribution)
    if axis.log:
        value = math.exp(math.log(axis.low) + share * math.log(axis.high / axis.low))
    else:
        value = axis.low + share * (axis.high - axis.low)
    return round(value) if isinstance(axis, IntDistribution) else value


def _share(axis: BaseDistribution, value: Any) -> float:
    assert isinstance(axis, FloatDistribution | IntDistribution)
    if axis.log:
        return math.log(value / axis.low) / math.log(axis.high / axis.low)
    return float((value - axis.low) / (axis.high - axis.low))
