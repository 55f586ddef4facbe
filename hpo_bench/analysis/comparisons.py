"""Is one method better than another? Verdicts, each with the interval that it is read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isfinite, nan

from hpo_bench.analysis.improvement import improvement
from hpo_bench.analysis.intervals import MIN_SEEDS, TOO_FEW, Estimate
from hpo_bench.analysis.means import mean
from hpo_bench.analysis.simultaneous import Difference, Pair, differences

BETTER, WORSE, EQUIVALENT = "better", "worse", "equivalent"
NO_DIFFERENCE = "no difference shown"

Values = Mapping[int, float]
"""Seed -> the value that stands for the run with that seed, whatever it measures."""


@dataclass(frozen=True)
class Comparison:
    """A pair of methods, judged together with the other pairs of its family."""

    first: str
    second: str
    gain: Estimate
    """Mean advantage of the first: above 0 it is better, whatever the direction. The interval is
    simultaneous: with 95% probability all of the family hold their differences. `n` is the number
    of runs of the first, or of pairs."""
    runs: tuple[int, int]
    """Of the first and of the second."""
    p: float | None
    """Two-sided p-value of this pair alone (Welch's t test); None where there are too few runs."""
    adjusted_p: float | None
    """For the whole family: at most 0.05 exactly where the interval excludes 0."""
    improvement: float
    """Probability that a run of the first is better than one of the second, a tie counting half."""
    equivalent_within: float | None
    """The smallest region of practical equivalence, to both sides of 0, that holds the interval."""
    verdict: str
    """Of the first: better, worse, equivalent, no difference shown, or too few seeds to say."""


def all_pairs(
    groups: Mapping[str, Values], *, maximise: bool, rope: float | None = None
) -> list[Comparison]:
    """Compare every method with every other, as one family.

    Args:
        groups: Method -> values of its runs. Methods without any are left out.
        maximise: Whether more is better.
        rope: Half the width of the region of practical equivalence, in the units of the values;
            None says of no pair that it is equivalent.
    """
    found = [name for name, values in groups.items() if values]
    return compare(groups, list(combinations(found, 2)), maximise=maximise, rope=rope)


def compare(
    groups: Mapping[str, Values],
    pairs: Sequence[tuple[str, str]],
    *,
    maximise: bool,
    rope: float | None = None,
) -> list[Comparison]:
    """Compare pairs of methods as one family; the arguments are those of `all_pairs`.

    Methods are not paired by seed: what two methods find with the same seed is as different as
    with two seeds (correlations of -0.10 to 0.09 were measured), and pairing costs half of the
    degrees of freedom.
    """
    sign = 1.0 if maximise else -1.0
    samples = [[sign * value for value in values.values()] for values in groups.values()]
    places = {name: place for place, name in enumerate(groups)}
    return judge(samples, [((a, b), (places[a], places[b])) for a, b in pairs], rope)


def judge(
    samples: Sequence[Sequence[float]],
    pairs: Sequence[tuple[tuple[str, str], Pair]],
    rope: float | None = None,
) -> list[Comparison]:
    """Judge pairs as one family.

    Args:
        samples: Values of which more is better; or, paired by design, advantages of the first.
        pairs: Names of the first and of the second, with the places of their samples, which have
            one value at least; None for the second where the sample is of advantages.
        rope: As in `all_pairs`.
    """
    # A sample that nothing can be said of takes no place in the family.
    kept = [place for place, sample in enumerate(samples) if _is_judged(sample)]
    new: dict[int | None, int | None] = {place: number for number, place in enumerate(kept)}
    new[None] = None
    judged = [pair for _, pair in pairs if new.keys() >= set(pair)]
    family = [(number, new[j]) for i, j in judged if (number := new[i]) is not None]
    found = differences([samples[place] for place in kept], family) if family else []
    rows = dict(zip(judged, found, strict=True))
    return [_comparison(names, samples, pair, rows.get(pair), rope) for names, pair in pairs]


def _comparison(
    names: tuple[str, str],
    samples: Sequence[Sequence[float]],
    pair: Pair,
    found: Difference | None,
    rope: float | None,
) -> Comparison:
    ours = samples[pair[0]]
    theirs = [0.0] if pair[1] is None else samples[pair[1]]
    runs = len(ours), len(ours if pair[1] is None else theirs)
    better = improvement(ours, theirs)
    if found is None:
        is_few = min(runs) < MIN_SEEDS
        end = None if is_few else nan
        gain = Estimate(mean(ours) - mean(theirs), end, end, runs[0])
        verdict = TOO_FEW if is_few else NO_DIFFERENCE
        return Comparison(*names, gain, runs, None, None, better, None, verdict)
    gain = Estimate(found.mean, found.low, found.high, runs[0])
    within = max(abs(found.low), abs(found.high))
    verdict = _verdict(found, within, rope)
    return Comparison(*names, gain, runs, found.p, found.adjusted_p, better, within, verdict)


def _is_judged(sample: Sequence[float]) -> bool:
    """Whether there are enough values, and none is beyond a float, as a difference can be."""
    return len(sample) >= MIN_SEEDS and all(map(isfinite, sample))


def _verdict(found: Difference, within: float, rope: float | None) -> str:
    if found.low > 0 or found.high < 0:
        return BETTER if found.low > 0 else WORSE
    return EQUIVALENT if rope is not None and within <= rope else NO_DIFFERENCE
