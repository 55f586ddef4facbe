"""What a search must beat, and what is left of what it found when it is trained again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from hpo_bench.analysis.comparisons import Comparison, compare
from hpo_bench.analysis.intervals import Estimate, estimate
from hpo_bench.analysis.means import mean as mean_of
from hpo_bench.analysis.results import RunResult
from hpo_bench.analysis.scores import Scores


@dataclass(frozen=True)
class Again:
    """One measure of incumbents that were trained again."""

    mean: Estimate
    """Over runs, of the means of each run's trainings."""
    gap: Estimate | None
    """By how much the run's own value flatters: above 0, training again gave worse."""
    spread: float | None
    """Standard deviation between the trainings of one incumbent, pooled over runs."""


@dataclass(frozen=True)
class Confirmed:
    """A method's incumbents, trained again."""

    trainings: int
    validation: Again
    test: Again | None


def confirmed(runs: Sequence[RunResult], *, maximise: bool) -> Confirmed | None:
    """Sum up the finished runs of a method; None if none was trained again."""
    validation = _again(
        [(r.validation, r.confirmed, r.confirmed_deviation) for r in runs], 1 if maximise else -1
    )
    test = _again([(r.test, r.confirmed_test, r.confirmed_test_deviation) for r in runs], 1)
    if validation is None:
        return None
    return Confirmed(sum(run.confirmations for run in runs), validation, test)


def against(
    found: Scores,
    rivals: Sequence[str],
    larger: Sequence[str],
    fixed: Scores,
    rope: float | None,
) -> list[Comparison]:
    """Compare every method with every baseline, as one family.

    Args:
        found: Values of all finished runs by the endpoint.
        rivals: Methods that have the suite's budget.
        larger: Those that have more.
        fixed: Values of fixed configurations by the measure that corresponds.
        rope: Half the width of the region of practical equivalence.
    """
    groups = {name: values for name, values in found.values.items() if values}
    groups |= {name: values for name, values in fixed.values.items() if values}
    pairs = [
        (name, baseline)
        for baseline in (*fixed.values, *larger)
        for name in rivals
        if name in groups and baseline in groups
    ]
    return compare(groups, pairs, maximise=found.maximise, rope=rope)


def _again(
    found: Sequence[tuple[float | None, float | None, float | None]], sign: int
) -> Again | None:
    mean = estimate([again for _, again, _ in found if again is not None])
    if mean is None:
        return None
    gaps = [
        sign * (own - again) for own, again, _ in found if own is not None and again is not None
    ]
    variances = [deviation * deviation for *_, deviation in found if deviation is not None]
    return Again(mean, estimate(gaps), sqrt(mean_of(variances)) if variances else None)
