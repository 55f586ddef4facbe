"""Which search when: regret and rank of every method over the budget, over several objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from hpo_bench.analysis.aggregate import ends, iqm, resampled, run_weights, shares_drawn, strata_of
from hpo_bench.analysis.history import Array

POINTS = 24
"""Places of the budget, evenly in the logarithm: more cost time and show nothing more."""

BUDGETS = (1, 3, 5, 10, 18, 36, 81, 243)
"""Full evaluations' worth of epochs after which a table says who is ahead."""

DRAWS = 500


@dataclass(frozen=True)
class Line:
    """One method over the budget, with a 95% stratified bootstrap band over runs."""

    method: str
    x: Array
    """Full evaluations' worth of epochs."""
    regret: Array
    """Interquartile mean of the normalised regrets."""
    regret_low: Array
    regret_high: Array
    rank: Array
    """Mean rank over objectives, 1 is best, by the mean regret over runs."""
    rank_low: Array
    rank_high: Array


def budgets(least_end: float) -> Array:
    """Give the places of the budget: from one full evaluation to where the first objective ends."""
    end = max(1.0, least_end)
    named = [float(budget) for budget in BUDGETS if budget < end]
    return np.unique([*named, *np.geomspace(1.0, end, POINTS)[1:-1], end])


def lines(
    found: Sequence[Mapping[str, Array]], methods: Sequence[str], weights: Array, x: Array
) -> list[Line]:
    """Follow every method over the budget.

    Args:
        found: For each objective, method -> regrets of (runs, places).
        methods: Those to follow, which all objectives have.
        weights: Of each objective; they come to 1.
        x: The places.
    """
    ranks = np.zeros((len(methods), len(x)))
    drawn_ranks = np.zeros((len(methods), DRAWS, len(x)))
    for weight, (of, drawn) in zip(weights, _means(found, methods), strict=True):
        ranks += weight * stats.rankdata(of.round(12), axis=0)
        drawn_ranks += weight * stats.rankdata(drawn.round(12), axis=0)
    made = []
    for place, method in enumerate(methods):
        strata = strata_of(found, method)
        each = run_weights(strata, weights)
        drawn = np.moveaxis(np.concatenate(resampled(strata, DRAWS), axis=1), 1, -1)
        regret = iqm(np.concatenate(strata).T, each)
        regret_ends = ends(iqm(drawn, each).T)
        rank_ends = ends(drawn_ranks[place].T)
        made.append(Line(method, x, regret, *regret_ends, ranks[place], *rank_ends))
    return made


def _means(
    found: Sequence[Mapping[str, Array]], methods: Sequence[str]
) -> list[tuple[Array, Array]]:
    """For each objective, mean regrets of (methods, places), and those of the draws between."""
    made = []
    for number, of in enumerate(found):
        means, drawn = [], []
        for place, method in enumerate(methods):
            runs = of[method]
            rng = np.random.default_rng([number, place])
            means.append(runs.mean(axis=0))
            drawn.append(shares_drawn(rng, len(runs), DRAWS) @ runs)
        made.append((np.array(means), np.array(drawn)))
    return made
