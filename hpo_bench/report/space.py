"""Pictures of the search space: where the evaluations were, and what they found there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hpo_bench.analysis.space import Point, levels, points, searched
from hpo_bench.analysis.summary import Summary
from hpo_bench.report.figures import axes, log_axis, marker, named_rows
from hpo_bench.report.parts import Figure
from hpo_bench.report.styles import COLOURS

MAX_POINTS = 3000
"""Evaluations drawn in a picture: a sample of more says the same."""

MAX_SLICES = 8

MAX_TICKS = 12
"""On an axis of whole numbers."""

USUAL = 0.95
"""Share of the evaluations, without the worst, over which colours and axes are spread."""

_BAD_TO_GOOD = [[0, "#185ce1"], [0.5, "#8f8a94"], [1, "#e07b00"]]
"""Seen on white and on black; blue and orange are told apart by everybody who sees colours."""


def importances(summary: Summary) -> Figure | None:
    """Which hyperparameters matter."""
    found = summary.importances
    if found is None:
        return None
    layout = named_rows("importance")
    return Figure(
        "importances",
        "Importance of the hyperparameters",
        f"PED-ANOVA over {found.evaluations} full evaluations of {found.source}: how far the best "
        "tenth differs from all, as shares that add up to 1.",
        [
            {
                "type": "bar",
                "orientation": "h",
                "x": list(found.shares.values()),
                "y": list(found.shares),
                "marker": {"color": COLOURS[0]},
                "showlegend": False,
            }
        ],
        layout | {"height": 130 + 34 * len(found.shares)},
    )


def parallel_coordinates(summary: Summary) -> Figure | None:
    """Every full evaluation as a line through its hyperparameters."""
    drawn, sampled = _points(summary)
    if not drawn:
        return None
    space, named = searched(summary.histories), levels(summary.histories)
    values = [value for _, _, value in drawn]
    names = [method.name for method in summary.methods]
    low, high = _usual(values, summary.maximise)
    dimensions = [
        {
            "label": "method",
            "values": [names.index(method) for method, _, _ in drawn],
            "tickvals": list(range(len(names))),
            "ticktext": names,
        },
        *(
            _dimension(name, space[name], [params[name] for _, params, _ in drawn], named.get(name))
            for name in space
        ),
        {"label": summary.metric, "values": values},
    ]
    return Figure(
        "parallel",
        "Parallel coordinates",
        "Each line is a full evaluation; drag along an axis to keep only part of it. The worst "
        f"{1 - USUAL:.0%} share a colour." + sampled,
        [
            {
                "type": "parcoords",
                "dimensions": dimensions,
                "line": {
                    "color": values,
                    "colorscale": _BAD_TO_GOOD,
                    "reversescale": not summary.maximise,
                    "cmin": low,
                    "cmax": high,
                    "showscale": True,
                },
                "labelangle": 0,
            }
        ],
        {"height": 420, "margin": {"l": 70, "r": 70, "t": 60, "b": 40}},
        wide=True,
    )


def slices(summary: Summary) -> list[Figure]:
    """The value against each hyperparameter, the most important first."""
    every, sampled = _points(summary)
    space = searched(summary.histories)
    order = list(summary.importances.shares) if summary.importances else list(space)
    drawn = [name for name in order if name in space][:MAX_SLICES] if every else []
    return [_slice(summary, every, name, sampled) for name in drawn]


def _slice(summary: Summary, every: Sequence[Point], name: str, sampled: str) -> Figure:
    dist = searched(summary.histories)[name]
    values = [value for _, _, value in every]
    low, high = _usual(values, summary.maximise)
    outside = sum(not low <= value <= high for value in values)
    layout = axes(name, summary.metric)
    named = levels(summary.histories).get(name)
    layout["xaxis"] |= _scale(dist) if named is None else _ticks(named)
    margin = 0.05 * (high - low)
    if outside and margin:
        layout["yaxis"]["range"] = [low - margin, high + margin]
    hidden = f" {outside} worse ones are outside: double-click shows them." if outside else ""
    return Figure(
        f"slice-{name}",
        name,
        f"The {summary.metric} of full evaluations by {name}.{hidden}{sampled}",
        [
            {
                "type": "scatter",
                "mode": "markers",
                "name": method.name,
                "x": _shown(dist, [params[name] for m, params, _ in every if m == method.name]),
                "y": [value for m, _, value in every if m == method.name],
                "marker": marker(method.name, size=7, opacity=0.65),
            }
            for method in summary.methods
            if any(m == method.name for m, _, _ in every)
        ],
        layout,
    )


def _usual(values: Sequence[float], maximise: bool) -> tuple[float, float]:
    """From where the worst few are left out, to the best; one failed training is not the scale."""
    shares = [1 - USUAL, 1.0] if maximise else [0.0, USUAL]
    low, high = map(float, np.quantile(values, shares))
    return low, high


def _points(summary: Summary) -> tuple[list[Point], str]:
    """Full evaluations, evenly thinned if there are many; and a sentence that says so."""
    found = points(summary.histories, searched(summary.histories))
    total = sum(int(np.isfinite(history.values).sum()) for history in summary.histories)
    outside = total - len(found)
    told = f" {outside} outside of the search space are not drawn." if outside else ""
    if len(found) <= MAX_POINTS:
        return found, told
    chosen = np.linspace(0, len(found) - 1, MAX_POINTS).round().astype(int)
    told = f" Drawn are {MAX_POINTS} of {len(found)}, evenly chosen.{told}"
    return [found[i] for i in chosen], told


def _shown(dist: BaseDistribution, values: Sequence[Any]) -> list[Any]:
    """Give values for an axis: choices by their text, for they may be of several types."""
    if isinstance(dist, CategoricalDistribution):
        return [str(value) for value in values]
    return list(values)


def _dimension(
    name: str, dist: BaseDistribution, values: Sequence[Any], named: dict[int, float] | None
) -> dict[str, Any]:
    if named is not None:
        return {"label": name, "values": list(values), **_ticks(named)}
    if isinstance(dist, CategoricalDistribution):
        return {
            "label": name,
            "values": [dist.choices.index(value) for value in values],
            "tickvals": list(range(len(dist.choices))),
            "ticktext": [str(choice) for choice in dist.choices],
        }
    if (ends := _log_range(dist)) is not None:
        ticks = np.geomspace(*ends, 4)
        return {
            "label": f"{name} (log)",
            "values": np.log10(values).tolist(),
            "range": np.log10(ends).tolist(),
            "tickvals": np.log10(ticks).tolist(),
            "ticktext": [f"{tick:.3g}" for tick in ticks],
        }
    return {"label": name, "values": list(values), **_whole(dist)}


def _ticks(named: dict[int, float]) -> dict[str, Any]:
    """Mark the levels of a recorded table by the numbers that they stand for."""
    return {"tickvals": list(named), "ticktext": [f"{value:.4g}" for value in named.values()]}


def _whole(dist: BaseDistribution) -> dict[str, Any]:
    """Mark a short range of whole numbers by these; between them there is nothing."""
    if not isinstance(dist, IntDistribution) or dist.high - dist.low > MAX_TICKS * dist.step:
        return {}
    ticks = list(range(dist.low, dist.high + 1, dist.step))
    return {"tickvals": ticks, "ticktext": [str(tick) for tick in ticks]}


def _scale(dist: BaseDistribution) -> dict[str, Any]:
    if isinstance(dist, CategoricalDistribution):
        return {"type": "category"}
    ends = _log_range(dist)
    return log_axis(*ends) if ends else _whole(dist)


def _log_range(dist: BaseDistribution) -> tuple[float, float] | None:
    if isinstance(dist, IntDistribution | FloatDistribution) and dist.log:
        return float(dist.low), float(dist.high)
    return None
