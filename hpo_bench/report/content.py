"""What a report says of a suite, section by section, in no format yet."""

from __future__ import annotations

from collections.abc import Sequence

from hpo_bench.analysis.comparisons import ALPHA
from hpo_bench.analysis.history import AXES
from hpo_bench.analysis.ranks import Ranking
from hpo_bench.analysis.results import DEFAULT
from hpo_bench.analysis.summary import Summary
from hpo_bench.report import figures
from hpo_bench.report.parts import Part, Section, Table, interval, probability
from hpo_bench.report.sections import (
    costs,
    differences,
    failures,
    overtuning,
    progress,
    results,
    setup,
)


def sections(summary: Summary, storage: str) -> list[Section]:
    """All that is said of one suite.

    Args:
        summary: What was found.
        storage: Where it was read, without a password.
    """
    made = [
        results.overview(summary),
        results.left_out(summary),
        progress.anytime(summary, AXES),
        progress.targets(summary),
        Section("Differences between methods", [*differences.tests(summary), differences.NO_RANKS]),
        overtuning.validation_and_test(summary),
        overtuning.trained_again(summary),
        costs.times(summary),
        failures.failures(summary),
        setup.search_space(summary),
        setup.methods(summary),
        setup.runs(summary),
        setup.manifest(summary, storage),
    ]
    return [section for section in made if section.parts]


def brief(summary: Summary) -> list[Section]:
    """What is said of one suite among several; the rest is in its own report."""
    made = [
        results.overview(summary),
        results.left_out(summary),
        progress.anytime(summary, ("epochs", "wall_seconds")),
        progress.targets(summary),
        Section("Differences between methods", differences.tests(summary)),
        overtuning.trained_again(summary),
        costs.times(summary),
    ]
    return [section for section in made if section.parts]


def across(summaries: Sequence[Summary], ranking: Ranking) -> Section:
    """What several suites say together."""
    friedman = (
        "Two methods: Friedman's test needs three."
        if ranking.p is None
        else f"Friedman's test that all methods rank alike: p = {probability(ranking.p)}."
    )
    names = ", ".join(summary.suite for summary in summaries)
    table = Table(
        ["method", "mean rank"],
        [
            [method, f"{rank:.2f}"]
            for method, rank in zip(ranking.methods, ranking.mean_ranks, strict=True)
        ],
        f"Mean ranks over {ranking.objectives} objectives ({names}), by mean validation value; "
        f"critical difference (Nemenyi, {ALPHA:.0%}): {ranking.critical_difference:.2f}.",
    )
    note = (
        "Search spaces, validation and test, single runs and what repeats them are in the report "
        "of each suite alone."
    )
    shown = [*ranking.methods, *_baselines_of_all(summaries)]
    means = Table(
        ["objective", *shown],
        [_means(summary, shown) for summary in summaries],
        "Mean validation value with its 95% interval; less is better where it is minimised (min). "
        "Baselines, which have no rank, stand last.",
    )
    differing = "; ".join(f"{better} before {worse}" for better, worse in ranking.differing)
    told = (
        f"Differ by Nemenyi's test: {differing}." if differing else "No two methods differ by rank."
    )
    parts: list[Part] = [f"{friedman} {told}", table, figures.ranks(ranking), means, note]
    return Section("Across objectives", parts)


def _baselines_of_all(summaries: Sequence[Summary]) -> list[str]:
    """Name the baselines that every suite has."""
    return [
        method.name
        for method in results.with_default(summaries[0])
        if (method.budget_factor > 1 or method.name == DEFAULT)
        and all(method.name in {m.name for m in results.with_default(s)} for s in summaries)
    ]


def _means(summary: Summary, methods: Sequence[str]) -> list[str]:
    found = {method.name: interval(method.validation) for method in results.with_default(summary)}
    name = summary.suite if summary.maximise else f"{summary.suite} (min)"
    return [name, *(found[method] for method in methods)]
