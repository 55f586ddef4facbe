"""Pictures of several objectives together."""

from __future__ import annotations

from collections.abc import Iterable

from hpo_bench.analysis.across import Across
from hpo_bench.analysis.history import AXES, Array
from hpo_bench.analysis.ranks import Ranking
from hpo_bench.report.figures import (
    Trace,
    axes,
    level,
    log_axis,
    named_rows,
    shade,
    steps,
)
from hpo_bench.report.parts import Figure
from hpo_bench.report.styles import COLOURS


def regret_over_budget(found: Across) -> Figure:
    """What is left to gain, by what was spent."""
    traces = [
        trace
        for line in found.lines
        for trace in _line(line.method, line.x, line.regret, line.regret_low, line.regret_high)
    ]
    layout = _by_budget(found, "normalised regret")
    lows = [float(edge) for line in found.lines for edge in line.regret_low]
    if min(lows) > 0:
        highs = [float(edge) for line in found.lines for edge in line.regret_high]
        layout["yaxis"] |= log_axis(min(lows), max(highs))
    return Figure(
        "regret-budget",
        "Regret over the budget",
        f"Interquartile mean of the normalised regret by {AXES['epochs']}: 0 is the best value, 1 "
        "the reference (the default, where there is one). Bands: 95% stratified bootstrap over "
        "runs.",
        [*traces, _reference(found)],
        layout,
        wide=True,
    )


def _reference(found: Across) -> Trace:
    """Draw where the default is: by definition, its regret is 1."""
    x = found.lines[0].x
    return level("reference (default)", [float(x[0]), float(x[-1])], 1.0)


def rank_over_budget(found: Across) -> Figure:
    """Who is ahead, by what was spent."""
    traces = [
        trace
        for line in found.lines
        for trace in _line(line.method, line.x, line.rank, line.rank_low, line.rank_high)
    ]
    layout = _by_budget(found, "mean rank (1 is best)")
    layout["yaxis"] |= {"autorange": "reversed"}
    return Figure(
        "rank-budget",
        "Rank over the budget",
        f"Mean rank over objectives, by {AXES['epochs']}; each family of objectives has the same "
        "weight. Bands: 95% stratified bootstrap over runs.",
        traces,
        layout,
        wide=True,
    )


def profiles(found: Across) -> Figure:
    """Performance profiles: the share of runs with at most so much regret."""
    traces = [
        trace
        for made in found.profiles
        for trace in _line(made.method, made.regret, made.share, made.low, made.high)
    ]
    layout = axes("normalised regret", "share of runs with at most this regret")
    layout["yaxis"] |= {"range": [0, 1.02]}
    return Figure(
        "profiles",
        "Performance profiles",
        "Share of runs, over all objectives, whose regret is at most so much: higher is better. "
        "Bands: 95% stratified bootstrap over runs.",
        traces,
        layout,
        wide=True,
    )


def ranks(ranking: Ranking) -> Figure | None:
    """Critical-difference diagram: mean ranks, each with half of the difference that matters."""
    if ranking.critical_difference is None:
        return None
    layout = named_rows("mean rank (1 is best)")
    half = ranking.critical_difference / 2
    return Figure(
        "ranks",
        "Critical difference",
        "Mean ranks over objectives, with half of the critical difference to each side: methods "
        "whose bars do not overlap differ at the 5% level (Nemenyi), among these methods.",
        [
            {
                "type": "scatter",
                "mode": "markers",
                "x": ranking.mean_ranks,
                "y": ranking.methods,
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [half] * len(ranking.methods),
                    # No rank is below 0, however wide the bar.
                    "arrayminus": [min(half, rank) for rank in ranking.mean_ranks],
                },
                "marker": {"color": COLOURS[0], "size": 11},
                "showlegend": False,
            }
        ],
        layout | {"height": 130 + 36 * len(ranking.methods)},
        wide=True,
    )


def _line(method: str, x: Array, y: Array, low: Array, high: Array) -> Iterable[Trace]:
    yield from shade(method, x, low, high)
    yield steps(method, x, y)


def _by_budget(found: Across, title: str) -> Trace:
    layout = axes(AXES["epochs"], title)
    x = found.lines[0].x
    if x[-1] > 3 * x[0]:
        layout["xaxis"] |= log_axis(float(x[0]), float(x[-1]))
    return layout
