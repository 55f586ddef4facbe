"""Every pair of methods, and each against the baselines: by how much, and whether it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hpo_bench.analysis.comparisons import ALPHA, Comparison
from hpo_bench.analysis.measures import measure_name
from hpo_bench.analysis.summary import Summary
from hpo_bench.numbers import NOTHING
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
            parts.append(pairs_table(comparisons, name, summary.rope))
            parts.append(figures.differences(comparisons, name))
    if summary.against:
        parts += _against(summary)
    if not summary.comparisons:
        parts.append("No two methods have a seed in common: nothing to compare.")
    return parts


def pairs_table(comparisons: Sequence[Comparison], measure: str, rope: float | None) -> Table:
    """Every pair of methods on one measure."""
    has_rope = any(c.rope is not None for c in comparisons)
    headings = ["pair", "seeds", "advantage [95%]", "p", "p (Holm)", "effect"]
    bayes = ["P(better)", "P(equivalent)", "P(worse)"] if has_rope else []
    rows = [
        [
            f"{c.first} over {c.second}",
            str(c.gain.n),
            interval(c.gain),
            probability(c.p),
            probability(c.adjusted_p),
            f"{c.effect:+.2f}",
            *_rope_cells(c, has_rope),
            c.verdict,
        ]
        for c in comparisons
    ]
    caption = (
        f"By {measure}, paired by seed; above 0 the first is better. p: Wilcoxon's signed-rank "
        "test, two-sided; effect: matched-pairs rank-biserial correlation. The verdict, of the "
        f"first, is at the {ALPHA:.0%} level after Holm."
    )
    if has_rope:
        caption += f" P: Bayesian signed-rank test, equivalent within ±{rope:g}."
    return Table([*headings, *bayes, "verdict"], rows, caption)


def _against(summary: Summary) -> list[Part]:
    name = measure_name(summary.against_by, summary.metric)
    table = pairs_table(summary.against, name, None)
    chosen = (
        " What a search found was chosen by this very measure, and the default was not: its "
        "advantage is flattered."
        if summary.against_by == "validation" and summary.default is not None
        else ""
    )
    caption = f"Against baselines, adjusted for these comparisons. {table.caption}{chosen}"
    return [replace(table, caption=caption)]


def _rope_cells(comparison: Comparison, has_rope: bool) -> list[str]:
    if not has_rope:
        return []
    found = comparison.rope
    if found is None:
        return [NOTHING] * 3
    return [f"{p:.2f}" for p in (found.better, found.equivalent, found.worse)]
