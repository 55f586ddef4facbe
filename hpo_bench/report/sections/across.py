"""What several suites say together: which search when, by how much, and how far that reaches."""

from __future__ import annotations

from collections.abc import Sequence

from hpo_bench.analysis.across import Across, across, left_out
from hpo_bench.analysis.measures import along_the_way, is_maximised, measure_name
from hpo_bench.analysis.over_budget import BUDGETS
from hpo_bench.analysis.over_objectives import least_p
from hpo_bench.analysis.simultaneous import ALPHA
from hpo_bench.analysis.summary import Summary
from hpo_bench.numbers import number
from hpo_bench.report import across_figures
from hpo_bench.report.parts import Part, Section, Table, drawn, interval, probability
from hpo_bench.report.sections.results import with_baselines

_TITLE = "Across objectives"

_NOTE = (
    "Search spaces, validation and test, single runs and what repeats them are in the report of "
    "each suite alone."
)


def section(summaries: Sequence[Summary]) -> Section:
    """Put several objectives together.

    Raises:
        HpoBenchError: Fewer than two methods were run on all.
    """
    without = left_out(summaries)
    told: list[Part] = [_left_out(without)] if without else []
    if len(summaries) - len(without) < 2:
        told.append("Fewer than two objectives are left: methods are not compared across them.")
        return Section(_TITLE, [*told, means(summaries, _methods(summaries)), _NOTE])
    found = across(summaries)
    shown = [*found.ranking.methods, *baselines_of_all(summaries, found.ranking.methods)]
    pictures = (
        across_figures.regret_over_budget(found),
        across_figures.rank_over_budget(found),
        across_figures.profiles(found),
        across_figures.ranks(found.ranking),
    )
    return Section(
        _TITLE,
        [
            *told,
            _families(found),
            *drawn(*pictures[:2]),
            over_budget(found),
            middles(found),
            improvements(found),
            *drawn(pictures[2]),
            general(found),
            ranks(found),
            pairs(found),
            *drawn(pictures[3]),
            means(summaries, shown),
            scales(found),
            _NOTE,
        ],
    )


def general(found: Across) -> str:
    """Say whether methods differ on objectives in general."""
    ranking = found.ranking
    told = _friedman(found)
    differing = "; ".join(f"{p.first} and {p.second}" for p in found.pairs if p.differs)
    if differing:
        return f"{told} Differ on objectives in general, by Wilcoxon's test and Holm: {differing}."
    reach = least_p(ranking.families) * len(found.pairs)
    if reach > ALPHA:
        return (
            f"{told} With {_count(ranking.families)} of objectives, no result whatever would show "
            "that two methods differ on objectives in general: what is above is about these "
            "objectives."
        )
    return f"{told} No two methods are shown to differ on objectives in general."


def _count(families: int) -> str:
    return "1 family" if families == 1 else f"{families} families"


def _friedman(found: Across) -> str:
    p = found.ranking.p
    if p is None:
        return "Friedman's test needs three methods and two families of objectives."
    return f"Friedman's test that all methods rank alike: p = {probability(p)}."


def over_budget(found: Across) -> Table:
    """Regret and rank at some budgets."""
    x = found.lines[0].x
    places = [place for place, budget in enumerate(x) if budget in BUDGETS or budget == x[-1]]
    rows = [
        [
            line.method,
            *(f"{number(float(line.regret[at]))} (rank {line.rank[at]:.1f})" for at in places),
        ]
        for line in found.lines
    ]
    return Table(
        ["method", *(f"{x[at]:.3g}" for at in places)],
        rows,
        "Regret (interquartile mean) and mean rank after so many full evaluations' worth of "
        "epochs. Regret is 0 at the best value and 1 at the reference of each objective."
        + _along(found),
    )


def middles(found: Across) -> Table:
    """Interquartile means of the regrets."""
    rows = [[method, interval(made)] for method, made in found.middles.items()]
    return Table(
        ["method", "regret [95%]"],
        rows,
        "Interquartile mean of the normalised regrets of all runs, each family with the same "
        "weight; 95% stratified bootstrap over runs (Agarwal et al. 2021).",
        wide=False,
    )


def improvements(found: Across) -> Table:
    """Probabilities of improvement."""
    rows = [
        [f"{one.first} over {one.second}", interval(one.probability)] for one in found.improvements
    ]
    return Table(
        ["pair", "P(better) [95%]"],
        rows,
        "Probability that a run of the first is better than one of the second, on these "
        "objectives; 95% stratified bootstrap over runs, each pair by itself.",
        wide=False,
    )


def ranks(found: Across) -> Table:
    """Mean ranks, with the critical difference."""
    ranking = found.ranking
    critical = (
        "a single family has no critical difference"
        if ranking.critical_difference is None
        else f"critical difference (Nemenyi, {ALPHA:.0%}): {ranking.critical_difference:.2f}"
    )
    pairs = zip(ranking.methods, ranking.mean_ranks, strict=True)
    names = ", ".join(found.scales)
    return Table(
        ["method", "mean rank"],
        [[method, f"{rank:.2f}"] for method, rank in pairs],
        f"Mean ranks over {ranking.objectives} objectives ({names}), by the mean of the endpoint; "
        f"in {_count(ranking.families)}, of which each has the same weight; {critical}.",
    )


def pairs(found: Across) -> Table:
    """Every pair of methods over objectives, whatever others there are."""
    rows = [
        [
            f"{pair.first} over {pair.second}",
            str(pair.wins),
            str(pair.losses),
            probability(pair.p),
            probability(pair.adjusted_p),
        ]
        for pair in found.pairs
    ]
    return Table(
        ["pair", "better on", "worse on", "p", "p (Holm)"],
        rows,
        "Wilcoxon's signed-rank test over objectives, by mean regret, families as blocks. Unlike "
        "Nemenyi's, it does not depend on which other methods are compared (Benavoli et al. 2016).",
    )


def means(summaries: Sequence[Summary], methods: Sequence[str]) -> Table:
    """Mean values of methods on every objective."""
    return Table(
        ["objective", *methods],
        [_means(summary, methods) for summary in summaries],
        f"Mean of the endpoint ({_endpoints(summaries)}) with its 95% interval; less is better "
        "where it is minimised (min). Baselines, which have no rank, stand last.",
    )


def scales(found: Across) -> Table:
    """What regrets are measured by."""
    rows = [
        [
            name,
            found.families[name],
            f"{number(scale.best)} ({scale.best_is})",
            f"{number(scale.reference)} ({scale.reference_is})",
        ]
        for name, scale in found.scales.items()
    ]
    headings = ["objective", "family", "regret 0", "regret 1"]
    return Table(headings, rows, folded="What regrets are measured by", is_text=True)


def _endpoints(summaries: Sequence[Summary]) -> str:
    named = (measure_name(summary.endpoint.measure, summary.metric) for summary in summaries)
    return "; ".join(dict.fromkeys(named))


def _along(found: Across) -> str:
    """Say where another measure stands for the endpoint on the way to the end."""
    if not any(along_the_way(measure) != measure for measure in found.endpoints.values()):
        return ""
    return (
        " Winners are trained again at the end of a run only: on the way there, the test value of "
        "the incumbent stands for that (its validation value where there is no test)."
    )


def _families(found: Across) -> str:
    members: dict[str, list[str]] = {}
    for objective, family in found.families.items():
        members.setdefault(family, []).append(objective)
    told = "; ".join(f"{family} ({len(of)})" for family, of in members.items())
    return f"Families of objectives, each with the same weight: {told}."


def _left_out(without: dict[str, str]) -> str:
    told = "; ".join(f"{name} {why}" for name, why in without.items())
    return f"Left out of everything but the last table of means: {told}."


def _methods(summaries: Sequence[Summary]) -> list[str]:
    """Name the methods that every suite has, baselines last."""
    every = [{method.name for method in summary.methods} for summary in summaries]
    shared = [m.name for m in summaries[0].methods if all(m.name in names for names in every)]
    return [*shared, *baselines_of_all(summaries, shared)]


def baselines_of_all(summaries: Sequence[Summary], besides: Sequence[str]) -> list[str]:
    """Name the baselines that every suite has."""
    return [
        method.name
        for method in with_baselines(summaries[0])
        if (method.budget_factor > 1 or method in summaries[0].baselines)
        and method.name not in besides
        and all(method.name in {m.name for m in with_baselines(s)} for s in summaries)
    ]


def _means(summary: Summary, methods: Sequence[str]) -> list[str]:
    found = {method.name: interval(method.endpoint) for method in with_baselines(summary)}
    is_max = is_maximised(summary.endpoint.measure, maximise=summary.maximise)
    name = summary.suite if is_max else f"{summary.suite} (min)"
    return [name, *(found[method] for method in methods)]
