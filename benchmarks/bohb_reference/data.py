"""The input of both generators: a mixed space, and results on it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from hpo_bench.bridges.unit_cube import Point, decode
from hpo_bench.spaces import Configuration, Space

SPACE: Space = {
    "activation": CategoricalDistribution(["relu", "tanh", "elu"]),
    "layers": IntDistribution(1, 6),
    "momentum": FloatDistribution(0, 0.99),
    "rate": FloatDistribution(1e-5, 1e-1, log=True),
    "units": IntDistribution(8, 512, log=True),
}
ETA = 3

Result = tuple[Configuration, int, float | None]
"""(Configuration, budget, loss); the loss is None if the evaluation crashed."""


def results(space: Space, seed: int, n: int, *, n_budgets: int = 3) -> list[Result]:
    """Give results as from successive halving of `n` random configurations.

    The last configuration of the first budget crashed.
    """
    rng = np.random.default_rng(seed)
    best = _random_point(space, rng)
    weights = dict(zip(space, rng.uniform(0.5, 2, len(space)), strict=True))
    rung = [_random_point(space, rng) for _ in range(n)]
    found: list[Result] = []
    for budget in (ETA**step for step in range(n_budgets)):
        losses = [_loss(point, best, weights) + rng.normal(0, 0.1 / budget) for point in rung]
        told = zip(rung, losses, strict=True)
        found += [(decode(space, point), budget, loss) for point, loss in told]
        rung = [rung[i] for i in np.argsort(losses)[: len(rung) // ETA]]
    found[n - 1] = (*found[n - 1][:2], None)
    return found


def as_json(space: Space) -> dict[str, Any]:
    """Give a space in Optuna's JSON."""
    return {name: json.loads(distribution_to_json(dist)) for name, dist in space.items()}


def _random_point(space: Space, rng: np.random.Generator) -> Point:
    return {
        name: int(rng.integers(len(dist.choices)))
        if isinstance(dist, CategoricalDistribution)
        else float(rng.random())
        for name, dist in space.items()
    }


def _loss(point: Point, best: Point, weights: dict[str, float]) -> float:
    return sum(weight * (point[name] - best[name]) ** 2 for name, weight in weights.items())
