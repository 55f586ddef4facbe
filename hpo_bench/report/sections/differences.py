"""Every pair of methods, and each against the baselines: by how much, and whether it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hpo_bench.analysis.comparisons import BETTER, WORSE, Comparison
from hpo_bench.analysis.measures import RUNNING_TIME, measure_name
from hpo_bench.analysis.rope import SENSITIVITY, Rope
from hpo_bench.analysis.simultaneous import ALPHA
from hpo_bench.analysis.summary import Summary
from hpo_bench.numbers import NOTHING, number
from hpo_bench.report import figures
from hpo_bench.report.parts import Part, Table, interval, probability

NO_RANKS = (
    "Ranks and critical differences are left out: they need several objectives, and how methods "
    "rank over the seeds of one says nothing about others."
)


def tests(summary: Summary) -> list[Part]:
    """Tables and pictures of all differences."""
    parts: list[Part] = []
    for measure, comparisons in summary.comparisons.items():
        if comparisons:
            name = measure_name(measure, summary.metric)
            rope = summary.ropes.get(measure)
            table = pairs_table(comparisons, name, rope)
            is_verdict = measure in (summary.endpoint.measure, RUNNING_TIME)
            parts.append(table if is_verdict else _beside(table))
            parts += [_nothing(summary, measure), _sensitivity(comparisons, rope)]
            parts.append(figures.differences(comparisons, name))
    if summary.against:
        parts += _against(summary)
    if not any(summary.comparisons.values()):
        parts.append("There are no two methods with finished runs: nothing to compare.")
    if RUNNING_TIME in summary.comparisons:
        parts.insert(0, _stopped(summary))
    if summary.is_saturated:
        parts.insert(0, saturated(summary))
    return [part for part in parts if part]


def _beside(table: Table) -> Table:
    """Say that a table is of another measure than the endpoint."""
    return replace(table, caption=f"Beside the endpoint, and no verdict of it. {table.caption}")


def pairs_table(comparisons: Sequence[Comparison], measure: str, rope: Rope | None) -> Table:
    """Every pair of methods on one measure."""
    span = None if rope is None else rope.span
    rows = [
        [
            f"{c.first} over {c.second}",
            f"{c.runs[0]}, {c.runs[1]}",
            interval(c.gain),
            _p(c.p),
            _p(c.adjusted_p),
            f"{c.improvement:.2f}",
            _within(c, span),
            c.verdict,
        ]
        for c in comparisons
    ]
    headings = ["pair", "runs", "advantage [95%]", "p", "p (all)", "P(better)", "equivalent within"]
    caption = (
        f"By {measure}; above 0 the first is better. Intervals are simultaneous: with 95% "
        "probability all of this table hold their differences. p: Welch's t test of the pair "
        f"alone; p (all): for all pairs together, at most {ALPHA} exactly where the interval "
        "excludes 0, which is the verdict (of the first). P(better): that a run of the first is "
        "better than one of the second. Equivalent within: the smallest difference, to both "
        "sides, that the interval leaves possible"
    )
    caption += "." if span is None else ", and its share of the way from the default to the best."
    if rope is not None and rope.half is not None:
        caption += f" The verdict says equivalent within ±{number(rope.half)}."
    return Table([*headings, "verdict"], rows, caption)


def _p(value: float | None) -> str:
    return NOTHING if value is None else probability(value)


def _within(comparison: Comparison, span: float | None) -> str:
    half = comparison.equivalent_within
    if half is None or span is None:
        return number(half)
    return f"{number(half)} ({half / span:.0%})"


def _nothing(summary: Summary, measure: str) -> str:
    """Say which runs are in the table although they found nothing."""
    found = summary.scores.get(measure)
    told = [f"{name} {n}" for name, n in found.nothing.items() if n] if found else []
    if not told:
        return ""
    worst = number(summary.worst[measure])
    return (
        f"Runs that found nothing ({', '.join(told)}) are compared, too: with the worst value of "
        f"any evaluation, {worst}."
    )


def _sensitivity(comparisons: Sequence[Comparison], rope: Rope | None) -> str:
    """Say of how many pairs equivalence is shown, for regions of several widths."""
    widths = [c.equivalent_within for c in comparisons if c.equivalent_within is not None]
    if rope is None or rope.span is None or not widths:
        return ""
    span = rope.span
    told = (
        f"{sum(width <= share * span for width in widths)} within {share:.0%}"
        for share in SENSITIVITY
    )
    return (
        f"Of {len(comparisons)} pairs are equivalent: {', '.join(told)} of the way from the "
        f"default to the best run ({number(span)})."
    )


def _stopped(summary: Summary) -> str:
    return (
        f"The budget's target, {number(summary.stopped_at)}, ended runs that reached it. What they "
        "have found says nothing of how much they could find: methods are compared by what their "
        "runs spent until the target, and a run that missed it counts with twice what it spent."
    )


def _against(summary: Summary) -> list[Part]:
    endpoint = summary.endpoint.measure
    name = measure_name(endpoint, summary.metric)
    table = pairs_table(summary.against, name, summary.ropes[endpoint])
    chosen = (
        " What a search found was chosen by this very measure, and a fixed configuration was not: "
        "its advantage has a selection bias."
        if endpoint == "validation" and summary.baselines
        else ""
    )
    caption = f"Against baselines, which are a family of their own. {table.caption}{chosen}"
    return [replace(table, caption=caption)]


def shown(comparisons: Sequence[Comparison]) -> list[tuple[str, str]]:
    """Name the pairs that are shown to differ, the better one first."""
    return [
        (c.first, c.second) if c.verdict == BETTER else (c.second, c.first)
        for c in comparisons
        if c.verdict in (BETTER, WORSE)
    ]


def saturated(summary: Summary) -> str:
    """Say that an objective cannot tell the methods apart."""
    return (
        f"Saturated: half or more of the runs of {', '.join(summary.at_ceiling)} sit at the best "
        "value there is. The objective is too easy at this budget to tell methods apart, and no "
        "claim is made of it."
    )
