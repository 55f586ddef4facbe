"""What several suites on different objectives say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hpo_bench.analysis import aggregate, over_budget, over_objectives
from hpo_bench.analysis.aggregate import Profile, strata_of
from hpo_bench.analysis.families import family, weights
from hpo_bench.analysis.history import Array
from hpo_bench.analysis.intervals import Estimate
from hpo_bench.analysis.means import mean
from hpo_bench.analysis.measures import along_the_way
from hpo_bench.analysis.over_budget import Line
from hpo_bench.analysis.ranks import Ranking, rank
from hpo_bench.analysis.regret import Scale, regrets, regrets_at, scale_of
from hpo_bench.analysis.summary import Summary
from hpo_bench.analysis.targets import AXIS

MOST_REGRET = 1.5
"""To which profiles are drawn: the default has 1."""


@dataclass(frozen=True)
class Improvement:
    """How often a run of the first is better than one of the second, over objectives."""

    first: str
    second: str
    probability: Estimate


@dataclass(frozen=True)
class Across:
    """Methods with the suite's budget, over the objectives that can tell them apart."""

    endpoints: dict[str, str]
    """Objective -> the measure of all that is said of it."""
    scales: dict[str, Scale]
    """Objective -> what its regrets are measured by."""
    families: dict[str, str]
    """Objective -> the family that it belongs to."""
    left_out: dict[str, str]
    """Objective -> why no claim is made of it."""
    ranking: Ranking
    middles: dict[str, Estimate]
    """Method -> interquartile mean of the normalised regrets, with a stratified bootstrap."""
    improvements: list[Improvement]
    profiles: list[Profile]
    pairs: list[over_objectives.Pair]
    lines: list[Line]
    """Regret and rank over the budget."""


def across(summaries: Sequence[Summary], measure: str | None = None) -> Across:
    """Put several objectives together.

    Args:
        summaries: Of the suites, each on an objective of its own.
        measure: What runs are compared by; None for the endpoint of each suite.

    Raises:
        HpoBenchError: Fewer than two objectives are not left out, or fewer than two methods were
            run on all.
    """
    without = left_out(summaries, measure)
    used = [summary for summary in summaries if summary.suite not in without]
    by = {summary.suite: _measure(summary, measure) for summary in used}
    scales = {s.suite: made for s in used if (made := scale_of(s, by[s.suite])) is not None}
    families = {summary.suite: family(summary.suite, summary.histories) for summary in used}
    ranking = _ranking(used, families, by)
    weight = weights(list(families.values()))
    final = [regrets(s, scales[s.suite], by[s.suite]) for s in used]
    strata = {method: strata_of(final, method) for method in ranking.methods}
    grid = np.linspace(0.0, MOST_REGRET, 61)
    means = np.array([[of[method].mean() for method in ranking.methods] for of in final])
    return Across(
        endpoints=by,
        scales=scales,
        families=families,
        left_out=without,
        ranking=ranking,
        middles={m: aggregate.mean_of_middle(of, weight) for m, of in strata.items()},
        improvements=_improvements(strata, weight),
        profiles=[aggregate.profile(m, of, weight, grid) for m, of in strata.items()],
        pairs=over_objectives.compare(ranking.methods, means, list(families.values())),
        lines=_lines(used, by, ranking.methods, weight),
    )


def left_out(summaries: Sequence[Summary], measure: str | None = None) -> dict[str, str]:
    """Name the objectives of which no claim is made, each with the reason."""
    return {s.suite: why for s in summaries if (why := _why_left_out(s, _measure(s, measure)))}


def _measure(summary: Summary, given: str | None) -> str:
    return given or summary.endpoint.measure


def _why_left_out(summary: Summary, measure: str) -> str | None:
    if summary.is_saturated:
        return "is saturated"
    if summary.stopped_at is not None:
        return "ended its runs at a target"
    if measure not in summary.scores:
        return "has not measured its endpoint"
    scales = [scale_of(summary, each) for each in (measure, along_the_way(measure))]
    return "has nothing to measure regret by" if None in scales else None


def _ranking(used: Sequence[Summary], families: dict[str, str], by: dict[str, str]) -> Ranking:
    scores = {summary.suite: _means(summary, by[summary.suite]) for summary in used}
    maximise = {s.suite: s.scores[by[s.suite]].maximise for s in used}
    return rank(scores, maximise=maximise, families=families)


def _means(summary: Summary, measure: str) -> dict[str, float]:
    rivals = {method.name for method in summary.methods if method.budget_factor == 1}
    values = summary.scores[measure].values
    return {name: mean(list(of.values())) for name, of in values.items() if name in rivals and of}


def _improvements(strata: dict[str, list[Array]], weight: Array) -> list[Improvement]:
    return [
        Improvement(a, b, aggregate.improvement_over(strata[a], strata[b], weight))
        for a, b in combinations(strata, 2)
    ]


def _lines(
    used: Sequence[Summary], by: dict[str, str], methods: Sequence[str], weight: Array
) -> list[Line]:
    ends = [
        max(float(h.spent(AXIS)[-1]) for h in s.histories if h.method in methods and h.steps)
        for s in used
    ]
    x = over_budget.budgets(min(ends))
    found = []
    for summary in used:
        along = along_the_way(by[summary.suite])
        scale = scale_of(summary, along)
        assert scale is not None
        found.append(regrets_at(summary, scale, x, along))
    return over_budget.lines(found, methods, weight, x)
