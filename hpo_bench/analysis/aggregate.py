"""Several objectives as one: interquartile mean, improvement, profiles, with stratified bootstrap.

Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical
Precipice". Runs are drawn again within each objective and method, so that intervals are about runs:
what other runs of these methods would do on these objectives. Of other objectives they say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpo_bench.analysis.history import Array
from hpo_bench.analysis.improvement import wins
from hpo_bench.analysis.intervals import CONFIDENCE, MIN_SEEDS, Estimate

DRAWS = 2000

_SEED = 0


@dataclass(frozen=True)
class Profile:
    """The share of a method's runs whose regret is at most so much."""

    method: str
    regret: Array
    share: Array
    low: Array
    high: Array


def iqm(values: Array, weights: Array) -> Array:
    """Give the weighted interquartile mean over the last axis: of the middle half of all values.

    Args:
        values: Any shape.
        weights: Of each entry of the last axis; they come to 1.
    """
    order = np.argsort(values, axis=-1)
    end = np.cumsum(weights[order], axis=-1)
    start = end - weights[order]
    middle = np.clip(np.minimum(end, 0.75) - np.maximum(start, 0.25), 0, None)
    found: Array = np.sum(middle * np.take_along_axis(values, order, axis=-1), axis=-1) / 0.5
    return found


def mean_of_middle(strata: Sequence[Array], weights: Array) -> Estimate:
    """Estimate the interquartile mean of a method's regrets.

    Args:
        strata: For each objective, the regrets of the runs.
        weights: Of each objective; they come to 1.
    """
    each = run_weights(strata, weights)
    mean = float(iqm(np.concatenate(strata), each))
    drawn = iqm(np.concatenate(resampled(strata), axis=1), each)
    return _estimate(mean, drawn, strata)


def improvement_over(ours: Sequence[Array], theirs: Sequence[Array], weights: Array) -> Estimate:
    """Estimate the probability that a run of ours is better than one of theirs, over objectives.

    Args:
        ours: For each objective, the regrets of our runs; less is better.
        theirs: Theirs.
        weights: Of each objective; they come to 1.
    """
    mean, drawn = 0.0, np.zeros(DRAWS)
    rng = np.random.default_rng(_SEED)
    for weight, ours_of, theirs_of in zip(weights, ours, theirs, strict=True):
        won = wins(theirs_of, ours_of).T
        shares = [shares_drawn(rng, n, DRAWS) for n in won.shape]
        mean += weight * float(won.mean())
        drawn += weight * np.sum(shares[0] @ won * shares[1], axis=1)
    return _estimate(mean, drawn, [*ours, *theirs])


def profile(method: str, strata: Sequence[Array], weights: Array, regret: Array) -> Profile:
    """Give a method's performance profile at each regret.

    Args:
        method: Its name.
        strata: For each objective, the regrets of the runs.
        weights: Of each objective; they come to 1.
        regret: Where the profile is taken.
    """
    each = run_weights(strata, weights)
    share = (np.concatenate(strata)[:, None] <= regret).T @ each
    drawn = np.concatenate(resampled(strata), axis=1)
    shares = np.array([(drawn <= most) @ each for most in regret])
    low, high = ends(shares)
    return Profile(method, regret, share, low, high)


def run_weights(strata: Sequence[Array], weights: Array) -> Array:
    """Give the weight of each run: its objective's, shared among the runs."""
    return np.concatenate(
        [np.full(len(runs), w / len(runs)) for runs, w in zip(strata, weights, strict=True)]
    )


def resampled(strata: Sequence[Array], draws: int = DRAWS) -> list[Array]:
    """Draw the runs of each objective anew: arrays of (draws, runs, ...)."""
    rng = np.random.default_rng(_SEED)
    return [runs[rng.integers(len(runs), size=(draws, len(runs)))] for runs in strata]


def shares_drawn(rng: np.random.Generator, runs: int, draws: int) -> Array:
    """Draw how much each run counts when runs are drawn anew: (draws, runs), rows come to 1."""
    return rng.multinomial(runs, np.full(runs, 1 / runs), draws) / runs


def ends(drawn: Array) -> tuple[Array, Array]:
    """Give the ends of the 95% percentile interval over the last axis."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=-1)
    return low, high


def strata_of(found: Sequence[Mapping[str, Array]], method: str) -> list[Array]:
    """Give what one method has on each objective."""
    return [of[method] for of in found]


def _estimate(mean: float, drawn: Array, strata: Sequence[Array]) -> Estimate:
    runs = [len(of) for of in strata]
    if min(runs) < MIN_SEEDS:
        return Estimate(mean, None, None, sum(runs))
    low, high = ends(drawn)
    return Estimate(mean, float(low), float(high), sum(runs))
