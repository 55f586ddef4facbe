"""Pictures of a suite, of the same numbers as its tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hpo_bench.analysis.comparisons import Comparison
from hpo_bench.analysis.curves import Curve
from hpo_bench.analysis.history import AXES
from hpo_bench.analysis.means import mean
from hpo_bench.analysis.measures import along_the_way, measure_name
from hpo_bench.analysis.summary import Summary
from hpo_bench.analysis.targets import Distribution
from hpo_bench.report.parts import Figure, clock
from hpo_bench.report.styles import COLOURS, NEUTRAL, style_of

TIME_PARTS = ("training", "sampler", "storage", "harness")

MAX_MARKERS = 8
"""On a line: they tell lines apart, and say nothing of where its steps are."""

Trace = dict[str, Any]


def curves(summary: Summary, on: Iterable[str] = AXES) -> list[Figure]:
    """Anytime curves, one picture per axis."""
    return [
        curve(
            axis,
            found,
            summary.metric,
            axis_name(summary, axis),
            _fixed(summary, "validation", found),
        )
        for axis in on
        if (found := summary.curves[axis])
    ]


def curve(
    axis: str,
    found: Sequence[Curve],
    metric: str,
    axis_title: str,
    fixed: Iterable[Trace] = (),
) -> Figure:
    """Anytime curves on one axis, beside what is fixed."""
    return Figure(
        key=f"curve-{axis}",
        title=f"By {axis_title.split(',')[0]}",
        caption=f"Best {metric} so far by {axis_title}: median over runs, and a band from the "
        "first to the third quartile.",
        traces=[*(trace for made in found for trace in _curve(made)), *fixed],
        layout=_by_cost(found, axis_title, f"best {metric} so far"),
    )


def axis_name(summary: Summary, axis: str) -> str:
    """Name an axis of `AXES`; seconds that nobody waited for are called simulated."""
    is_time = axis.endswith("seconds")
    return f"{clock(summary.is_simulated and is_time)}{AXES[axis]}"


def unseen(summary: Summary) -> Figure | None:
    """What no method saw of the incumbents, by epochs."""
    found = summary.unseen_curves
    if not found:
        return None
    label, name = AXES["epochs"], measure_name(summary.unseen, summary.metric)
    return Figure(
        key="curve-test",
        title=f"{name[0].upper()}{name[1:]}, by epochs",
        caption=f"The best configuration by validation, by its {name}, by {label}: median over "
        "runs, and a band from the first to the third quartile. No method saw it: it can fall.",
        traces=[
            *(trace for made in found for trace in _curve(made)),
            *_fixed(summary, summary.unseen, found),
        ],
        layout=_by_cost(found, label, name),
    )


def finals(summary: Summary) -> Figure | None:
    """What every run has found, beside its method's mean and interval."""
    endpoint = summary.endpoint.measure
    along = along_the_way(endpoint)
    name = measure_name(endpoint, summary.metric)
    traces: list[Trace] = []
    every = [(method, summary.finished(method.name), endpoint) for method in summary.methods]
    for fixed in summary.baselines:
        every.append((fixed, [r for r in summary.baseline_runs if r.method == fixed.name], along))
    for method, its_runs, measure in every:
        runs = [run for run in its_runs if getattr(run, measure) is not None]
        if method.endpoint is None or not runs:
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": method.name,
                "x": [getattr(run, endpoint) for run in runs],
                "y": [method.name] * len(runs),
                "text": [f"seed {run.seed}" for run in runs],
                "marker": marker(method.name, size=8, opacity=0.6),
                "showlegend": False,
            }
        )
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"{method.name}, mean",
                "x": [method.endpoint.mean],
                "y": [method.name],
                "error_x": _whiskers([method.endpoint]),
                "marker": marker(method.name, size=13),
                "showlegend": False,
            }
        )
    if not traces:
        return None
    layout = named_rows(name)
    return Figure(
        "finals",
        "Every run",
        f"The {name} of what each run has found (small), the mean over runs (large) and its "
        "95% interval.",
        traces,
        layout | {"height": 120 + 50 * len(every)},
        wide=True,
    )


def distributions(summary: Summary) -> Figure | None:
    """Share of targets reached by cost."""
    traces = [t for made in summary.distributions for t in _ecdf(made)]
    if not traces:
        return None
    layout = axes(AXES["epochs"], "share of (run, target) pairs reached")
    layout["yaxis"] |= {"range": [0, 1.02]}
    return Figure(
        "ecdf",
        "Targets reached",
        f"Share of {summary.n_targets} targets reached, over all runs of a method; bands: 95% "
        "interval over runs, at each cost.",
        traces,
        layout,
        wide=True,
    )


def differences(comparisons: Sequence[Comparison], measure: str) -> Figure:
    """Mean advantages with their simultaneous intervals."""
    names = [f"{c.first} over {c.second}" for c in comparisons]
    layout = named_rows(f"mean advantage of the first, {measure}")
    layout["xaxis"] |= {"zeroline": True, "rangemode": "tozero"}
    return Figure(
        f"differences-{measure}",
        f"Differences, {measure}",
        "Mean advantage with its simultaneous 95% interval; left of 0 the second is better. Pairs "
        "whose interval excludes 0 are those that differ.",
        [
            {
                "type": "scatter",
                "mode": "markers",
                "x": [c.gain.mean for c in comparisons],
                "y": names,
                "error_x": _whiskers([c.gain for c in comparisons]),
                "text": [c.verdict for c in comparisons],
                "marker": {"color": COLOURS[0], "size": 10},
                "showlegend": False,
            }
        ],
        layout | {"height": 130 + 34 * len(names)},
        wide=True,
    )


def seen_and_unseen(summary: Summary) -> Figure | None:
    """Every run's incumbent: validation against what the search did not see."""
    unseen = summary.unseen
    name = measure_name(unseen, summary.metric)
    traces: list[Trace] = []
    for method in summary.methods:
        runs = [
            run
            for run in summary.finished(method.name)
            if run.validation is not None and getattr(run, unseen) is not None
        ]
        if runs:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": method.name,
                    "x": [run.validation for run in runs],
                    "y": [getattr(run, unseen) for run in runs],
                    "text": [f"seed {run.seed}" for run in runs],
                    "marker": marker(method.name, size=9, opacity=0.75),
                }
            )
    if not traces:
        return None
    return Figure(
        "validation-test",
        "Every winner",
        f"Each run's incumbent, chosen by validation. The line: where {name} is the same.",
        [_diagonal(traces), *traces],
        axes(summary.metric, name),
    )


def times(summary: Summary) -> Figure | None:
    """Where the time of a run goes."""
    parts = time_parts(summary)
    if not parts:
        return None
    names = list(parts)
    layout = named_rows(f"seconds per run{', training simulated' if summary.is_simulated else ''}")
    return Figure(
        "times",
        "Where the time goes",
        "Mean seconds per run, all its workers together.",
        [
            {
                "type": "bar",
                "orientation": "h",
                "name": part,
                "x": [parts[name][place] for name in names],
                "y": names,
                "marker": {"color": COLOURS[place]},
            }
            for place, part in enumerate(TIME_PARTS)
        ],
        layout | {"barmode": "stack", "height": 150 + 44 * len(names)},
        wide=True,
    )


def time_parts(summary: Summary) -> dict[str, tuple[float, float, float, float]]:
    """Mean seconds per finished run that went to each of `TIME_PARTS`, by method."""
    found = {}
    for method in summary.methods:
        if method.means is None:
            continue
        storage = mean([run.storage_seconds for run in summary.finished(method.name)])
        # With several workers, what one of them writes may pass while another trains.
        harness = max(0.0, method.means.rest_seconds - storage)
        found[method.name] = (
            method.means.train_seconds,
            method.means.sampler_seconds,
            storage,
            harness,
        )
    return found


def _curve(made: Curve) -> Iterable[Trace]:
    yield from shade(made.method, made.x, made.lower, made.upper)
    yield steps(made.method, made.x, made.median)


def _fixed(summary: Summary, measure: str, drawn: Sequence[Curve]) -> Iterable[Trace]:
    """Fixed configurations, which cost nothing to search for."""
    found = summary.baseline_scores.get(measure)
    ends = [min(float(c.x[0]) for c in drawn), max(float(c.x[-1]) for c in drawn)]
    for name, values in found.values.items() if found else ():
        if values:
            yield level(name, ends, mean(list(values.values())))


def level(name: str, ends: list[float], value: float) -> Trace:
    """Draw a value that costs nothing to reach as a level line."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": ends,
        "y": [value] * 2,
        "line": {"color": NEUTRAL, "dash": "dot", "width": 2},
    }


def _ecdf(made: Distribution) -> Iterable[Trace]:
    if made.low is not None and made.high is not None:
        yield from shade(made.method, made.x, made.low, made.high)
    yield steps(made.method, made.x, made.share)


def steps(name: str, x: Any, y: Any) -> Trace:
    """Draw a method's line, which goes in steps."""
    style = style_of(name)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "legendgroup": name,
        "x": x.tolist(),
        "y": y.tolist(),
        "line": {"color": style.colour, "dash": style.dash, "width": 2.5, "shape": "hv"},
        "marker": marker(name, size=8) | {"maxdisplayed": MAX_MARKERS},
    }


def marker(method: str, size: float, opacity: float = 1.0) -> dict[str, Any]:
    """Give the marker of a method; sizes are in pixels, opacities from 0 to 1."""
    style = style_of(method)
    return {"color": style.colour, "symbol": style.marker, "size": size, "opacity": opacity}


def shade(name: str, x: Any, low: Any, high: Any) -> Iterable[Trace]:
    """Draw the band of such a line."""
    colour = style_of(name).colour
    for edge, fill in ((low, None), (high, "tonexty")):
        yield {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "legendgroup": name,
            "x": x.tolist(),
            "y": edge.tolist(),
            "line": {"width": 0, "shape": "hv", "color": colour},
            "fill": fill,
            "fillcolor": _rgba(colour, 0.16),
            "hoverinfo": "skip",
            "showlegend": False,
        }


def _whiskers(estimates: Sequence[Any]) -> dict[str, Any]:
    """Error bars out to the intervals; none where there is no interval."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [0 if e.high is None else e.high - e.mean for e in estimates],
        "arrayminus": [0 if e.low is None else e.mean - e.low for e in estimates],
    }


def _diagonal(traces: Sequence[Trace]) -> Trace:
    values = [value for trace in traces for value in (*trace["x"], *trace["y"])]
    ends = [min(values), max(values)]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "equal",
        "x": ends,
        "y": ends,
        "line": {"color": NEUTRAL, "dash": "dot", "width": 1},
        "hoverinfo": "skip",
    }


def axes(x: str, y: str) -> dict[str, Any]:
    """Lay out a picture with two titled axes."""
    return {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}, "height": 380}


def log_axis(low: float, high: float) -> dict[str, Any]:
    """Lay out a logarithmic axis between two numbers above 0."""
    # By itself Plotly writes a lone 2 for 2, 20 and 200 on such an axis.
    ticks = [m * 10.0**e for e in range(-12, 13) for m in (1, 2, 5)]
    shown = [tick for tick in ticks if low <= tick <= high]
    if len(shown) > 8:
        shown = [10.0**e for e in range(-12, 13) if low <= 10.0**e <= high]
    return {"type": "log", "tickvals": shown, "ticktext": [f"{tick:g}" for tick in shown]}


def _by_cost(found: Sequence[Curve], x: str, y: str) -> dict[str, Any]:
    """Lay out curves so that their beginnings and their ends can both be read."""
    layout = axes(x, y)
    low, high = min(made.x[0] for made in found), max(made.x[-1] for made in found)
    if low > 0 and high > 3 * low:
        layout["xaxis"] |= log_axis(low, high)
    return layout


def named_rows(x: str) -> dict[str, Any]:
    """Lay out a picture with a row for each name, in their order from above, and a titled axis."""
    return axes(x, "") | {"yaxis": {"autorange": "reversed", "type": "category"}}


def _rgba(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
