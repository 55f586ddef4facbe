"""Is one method better than another? Paired by seed, with the effect's size beside its p."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy import stats

from hpo_bench.analysis.history import Array
from hpo_bench.analysis.intervals import TOO_FEW, Estimate, estimate

ALPHA = 0.05

BETTER, WORSE, NO_DIFFERENCE = "better", "worse", "no difference shown"

Values = Mapping[int, float]
"""Seed -> what the run with that seed has found."""


@dataclass(frozen=True)
class Rope:
    """Posterior probabilities of the Bayesian signed-rank test."""

    better: float
    equivalent: float
    """That the difference is within the region of practical equivalence."""
    worse: float


@dataclass(frozen=True)
class Comparison:
    """A pair of methods, over the seeds that both have."""

    first: str
    second: str
    gain: Estimate
    """Mean paired advantage of the first: above 0 it is better, whatever the direction."""
    p: float
    """Two-sided Wilcoxon signed-rank test, as it comes."""
    adjusted_p: float
    """After Holm, over all comparisons that were made together."""
    effect: float
    """Matched-pairs rank-biserial correlation, -1 to 1: 1 if the first is better in all pairs."""
    rope: Rope | None
    verdict: str
    """Of the first: better, worse, no difference shown, or too few seeds to say."""


def gains(first: Values, second: Values, *, maximise: bool) -> Array:
    """Advantages of the first over the second, by the seeds that both have."""
    sign = 1.0 if maximise else -1.0
    return np.array([sign * (first[s] - second[s]) for s in sorted(first.keys() & second.keys())])


def compare(first: str, second: str, gain: Array, rope: float | None = None) -> Comparison:
    """Compare one pair, by their gains (at least one).

    Args:
        first: Name of the method whose gains they are.
        second: Name of the other.
        gain: As `gains` gives them.
        rope: Half the width of the region of practical equivalence, in the objective's units;
            None leaves the Bayesian test out, as do fewer than `MIN_SEEDS` pairs.
    """
    made = estimate(gain.tolist())
    assert made is not None
    p = wilcoxon(gain)
    # Of a few pairs, it would still give probabilities, and they would be its prior's.
    is_told = made.low is not None and np.isfinite(gain).all()
    posterior = bayesian(gain, rope) if rope is not None and is_told else None
    alone = Comparison(first, second, made, p, p, effect_size(gain), posterior, "")
    return _judged(alone, least_p(made.n))


def all_pairs(
    groups: Mapping[str, Values], *, maximise: bool, rope: float | None = None
) -> list[Comparison]:
    """Compare every method with every other that has a seed in common, p adjusted by Holm."""
    found = []
    for first, second in combinations(groups, 2):
        gain = gains(groups[first], groups[second], maximise=maximise)
        if gain.size:
            found.append(compare(first, second, gain, rope))
    return adjusted(found)


def adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Adjust the p of comparisons that are made together, and judge each again."""
    p = [c.p for c in comparisons]
    made = []
    for place, (comparison, after) in enumerate(zip(comparisons, holm(p), strict=True)):
        least = [*p[:place], least_p(comparison.gain.n), *p[place + 1 :]]
        made.append(_judged(replace(comparison, adjusted_p=after), holm(least)[place]))
    return made


def wilcoxon(gain: Array) -> float:
    """Give the two-sided p of Wilcoxon's signed-rank test; pairs without a difference are dropped.

    Source: `scipy.stats.wilcoxon`, exact wherever it can be.
    """
    if not np.any(gain):
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a normal approximation that it then does not use
        return float(stats.wilcoxon(gain).pvalue)


def effect_size(gain: Array) -> float:
    """Matched-pairs rank-biserial correlation: favourable less unfavourable share of the ranks.

    Source: Kerby 2014, "The Simple Difference Formula".
    """
    different = gain[gain != 0]
    if not different.size:
        return 0.0
    ranks = stats.rankdata(np.abs(different))
    return float(np.sign(different) @ ranks / ranks.sum())


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p-values for being several; source: Holm 1979."""
    order = np.argsort(p)
    factors = np.arange(len(p), 0, -1)
    sorted_p = np.maximum.accumulate(np.asarray(p)[order] * factors)
    result = np.empty(len(p))
    result[order] = np.minimum(sorted_p, 1.0)
    return result.tolist()


def bayesian(gain: Array, rope: float) -> Rope:
    """Bayesian signed-rank test over seeds, by `baycomp`.

    Source: Benavoli et al. 2017, "Time for a Change".
    """
    import baycomp

    zero = np.zeros_like(gain)
    probabilities = baycomp.SignedRankTest.probs(gain, zero, rope, nsamples=10_000, random_state=0)
    better, equivalent, worse = map(float, probabilities)
    return Rope(better, equivalent, worse)


def least_p(n: int) -> float:
    """The least p that n pairs can reach, whatever they show."""
    return min(1.0, 2.0 ** (1 - n))


def _judged(comparison: Comparison, least: float) -> Comparison:
    """Give the verdict, `least` being what its adjusted p could have come to at best."""
    if comparison.gain.low is None or least > ALPHA:
        verdict = TOO_FEW
    elif not comparison.adjusted_p <= ALPHA:  # as a p that is not a number is not
        verdict = NO_DIFFERENCE
    else:
        verdict = BETTER if comparison.effect > 0 else WORSE
    return replace(comparison, verdict=verdict)
