"""What every method has found: the table that stands first, and the answer in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, isfinite

from hpo_bench.analysis.baselines import Again, Confirmed
from hpo_bench.analysis.comparisons import Comparison
from hpo_bench.analysis.intervals import MIN_SEEDS, TOO_FEW
from hpo_bench.analysis.measures import RUNNING_TIME, measure_name
from hpo_bench.analysis.summary import MethodSummary, Summary
from hpo_bench.numbers import NOTHING, number
from hpo_bench.report import figures
from hpo_bench.report.parts import (
    SIMULATED,
    Lead,
    Part,
    Section,
    Table,
    clock,
    count,
    drawn,
    interval,
    seconds,
    several,
)
from hpo_bench.report.sections.differences import saturated, shown
from hpo_bench.report.table import (
    data_note,
    endpoint_note,
    fixed_note,
    larger_budget,
    left_out_in_short,
)

MAX_LEFT_OUT = 1000
"""Studies and trials that are listed as left out."""


def overview(summary: Summary) -> Section:
    """The first section: warnings, the answer, the table."""
    note = endpoint_note(summary.endpoint, summary.metric)
    lead = Lead(verdict(summary))
    parts: list[Part] = [lead, *_warnings(summary), note, results_table(summary)]
    twice = summary.random_twice
    if twice is not None:
        parts.append(
            "To measure against: random search at twice the budget, as the better of two of its "
            f"runs, finds {interval(twice)} ({several(twice.n, 'pair')})."
        )
    if summary.data:
        parts.append(data_note(summary.data))
    if summary.is_simulated:
        parts.append(SIMULATED)
    return Section("Results", [*parts, *drawn(figures.finals(summary))])


def left_out(summary: Summary) -> Section:
    """All that is not sound in the storage, one by one."""
    faults = summary.left_out
    rows = [
        [f.study, NOTHING if f.trial is None else str(f.trial), f.field, f.why]
        for f in faults[:MAX_LEFT_OUT]
    ]
    caption = "A study without a trial's number is left out as a whole, a trial from its run."
    if len(faults) > len(rows):
        caption += f" {len(faults) - len(rows)} more are not listed."
    table = Table(["study", "trial", "field", "what is wrong"], rows, caption, is_text=True)
    return Section("Left out", [table] if rows else [])


def results_table(summary: Summary) -> Table:
    """The table that stands first."""
    methods = with_baselines(summary)
    nothing = _found_nothing(summary)
    columns: list[tuple[str, Callable[[MethodSummary], str]]] = [
        ("method", lambda m: m.name),
        ("runs", lambda m: _states(m, nothing.get(m.name, 0))),
        (f"{_endpoint_name(summary)} [95%]", lambda m: interval(m.endpoint)),
        ("median (quartiles)", _quartiles),
        *_beside_the_endpoint(summary, methods),
        ("mean incumbent [95%]", lambda m: interval(m.area)),
        ("configs", lambda m: count(m.means.configurations) if m.means else NOTHING),
        ("distinct", lambda m: count(m.means.distinct) if m.means else NOTHING),
        ("evals", lambda m: count(m.means.evaluations) if m.means else NOTHING),
        *([("failed", _failed)] if any(run.failed for run in summary.runs) else []),
        ("epochs", lambda m: count(m.means.epochs) if m.means else NOTHING),
        (
            f"{clock(summary.is_simulated)}wall s",
            lambda m: seconds(m.means.wall_seconds) if m.means else NOTHING,
        ),
    ]
    caption = (
        "Of each run's incumbent, chosen by validation; means over runs with 95% intervals "
        f"(Student's t, widened for skewness), [–] where fewer than {MIN_SEEDS} runs are too few "
        "to say. Median and quartiles are of the endpoint. A run that found nothing has the worst "
        "value of any evaluation. Counts and times are means per run: configurations that were "
        "proposed, how many different ones, and evaluations and epochs that were paid for."
    )
    if any(method.gap for method in methods):
        caption += (
            " Gap: by how much validation, which is what the search saw, is better than "
            f"{measure_name(_gap_to(summary), summary.metric)}."
        )
    if summary.area_range is not None:
        start, stop = summary.area_range
        caption += (
            " Mean incumbent: area under the anytime curve, from "
            f"{start:.3g} to {stop:.3g} full evaluations' worth of epochs, divided by that width."
        )
    for baseline in summary.baselines:
        caption += f" {fixed_note(baseline.name)}"
    for method in summary.methods:
        if method.budget_factor > 1:
            caption += f" {larger_budget(method.name, method.budget_factor)}"
    rows = [[show(method) for _, show in columns] for method in methods]
    return Table([heading for heading, _ in columns], rows, caption)


def _beside_the_endpoint(
    summary: Summary, methods: Sequence[MethodSummary]
) -> list[tuple[str, Callable[[MethodSummary], str]]]:
    """Show what the search saw, by how much that flatters, and what else was measured."""
    endpoint = summary.endpoint.measure
    made: list[tuple[str, Callable[[MethodSummary], str]]] = []
    if endpoint != "validation":
        made.append((f"{summary.metric} (seen) [95%]", lambda m: interval(m.validation)))
    if endpoint != "test" and any(method.test for method in methods):
        made.append(("test accuracy [95%]", lambda m: interval(m.test)))
    if any(method.gap for method in methods):
        made.append(("gap [95%]", lambda m: interval(m.gap)))
    if endpoint.startswith("confirmed") or not any(method.confirmed for method in methods):
        return made
    if any(method.confirmed and method.confirmed.test for method in methods):
        return [*made, ("confirmed test [95%]", lambda m: _again(m.confirmed, "test"))]
    return [*made, ("confirmed [95%]", lambda m: _again(m.confirmed, "validation"))]


def _endpoint_name(summary: Summary) -> str:
    return measure_name(summary.endpoint.measure, summary.metric)


def _gap_to(summary: Summary) -> str:
    endpoint = summary.endpoint.measure
    return "test" if endpoint == "validation" else endpoint


def _again(found: Confirmed | None, measure: str) -> str:
    again: Again | None = getattr(found, measure, None)
    return interval(again.mean) if again else NOTHING


def _warnings(summary: Summary) -> list[Part]:
    states = [history.state for history in summary.histories]
    told = [
        f"{states.count(state)} {meaning}"
        for state, meaning in (
            ("partial", "not finished yet"),
            ("failed", "whose last evaluation failed"),
            ("empty", "without any evaluation"),
        )
        if state in states
    ]
    found: list[Part] = [left_out_in_short(summary.left_out)] if summary.left_out else []
    if told:
        finished = states.count("finished")
        found.append(
            f"Incomplete: of {several(len(states), 'run')}, {', '.join(told)}. Statistics are of "
            f"the {finished} finished."
        )
    nothing = sum(_found_nothing(summary).values())
    if nothing:
        found.append(
            f"{several(nothing, 'finished run')} found nothing at all, and enters every mean and "
            "comparison with the worst value of any evaluation."
        )
    failures = sum(run.failed for run in summary.runs)
    if failures:
        found.append(
            f"{several(failures, 'evaluation')} failed: paid for from the budget, without a value."
        )
    return found


def verdict(summary: Summary) -> str:
    """The answer in a sentence or two."""
    rivals = [method for method in summary.methods if method.budget_factor == 1]
    best = next((method for method in rivals if method.endpoint), None)
    if best is None and any(method.validation for method in rivals):
        return f"The endpoint, {_endpoint_name(summary)}, is not measured yet: no verdict."
    if best is None:
        return "No finished run has found anything yet."
    if summary.is_saturated:
        return saturated(summary)
    measure = summary.endpoint.measure if summary.stopped_at is None else RUNNING_TIME
    comparisons = summary.comparisons.get(measure, [])
    told = _best(summary, best)
    if not comparisons:
        return told
    if all(c.verdict == TOO_FEW for c in comparisons):
        return (
            f"{told} So few runs say nothing of whether methods differ: {MIN_SEEDS} seeds give "
            "intervals, and 10 or more a good chance of telling methods apart."
        )
    different = shown(comparisons)
    if not different:
        return f"{told} No two methods are shown to differ. {_how_many_would(comparisons)}".strip()
    beaten: dict[str, list[str]] = {method.name: [] for method in rivals}
    for better, worse in different:
        beaten[better].append(worse)
    pairs = "; ".join(f"{a} over {', '.join(others)}" for a, others in beaten.items() if others)
    return f"{told} Shown to differ: {pairs}."


def _best(summary: Summary, best: MethodSummary) -> str:
    """Name the method that stands first; where a target ended the runs, the one that is fastest."""
    stop = summary.stopped_at
    if stop is None:
        n = several(best.endpoint.n, "run") if best.endpoint else "no run"
        name = _endpoint_name(summary)
        return f"Best mean {name}: {best.name}, {interval(best.endpoint)} over {n}."
    rivals = {method.name for method in summary.methods if method.budget_factor == 1}
    found = [r for r in summary.reached if r.target == stop and r.method in rivals]
    times = {r.method: r.expected for r in found if r.expected is not None}
    if not times:
        return f"No method with the suite's budget reached the target {number(stop)}."
    first = min(times, key=lambda name: times[name])
    return (
        f"Least expected running time to the target {number(stop)}: {first}, {times[first]:.1f} "
        "full evaluations' worth of epochs."
    )


MANY_SEEDS = 1000
"""Beyond so many, nobody runs them."""


def _how_many_would(comparisons: Sequence[Comparison]) -> str:
    """Say how many seeds would show the difference that is nearest to being shown.

    An interval narrows as the square root of the number of runs: it excludes 0 in half of all
    cases where the mean stays as it is and the interval is as wide as twice the mean.
    """
    needed = []
    for c in comparisons:
        low, high, mean = c.gain.low, c.gain.high, c.gain.mean
        if low is not None and high is not None and mean and isfinite(high - low):
            needed.append((min(c.runs) * ((high - low) / 2 / abs(mean)) ** 2, c))
    if not needed:
        return ""
    runs, pair = min(needed, key=lambda found: found[0])
    better, worse = (pair.first, pair.second) if pair.gain.mean > 0 else (pair.second, pair.first)
    apart = f"{better} is {number(abs(pair.gain.mean))} better than {worse}"
    if runs > MANY_SEEDS:
        return f"Even the clearest difference ({apart}) would need more than {MANY_SEEDS} seeds."
    return (
        f"{several(min(pair.runs), 'seed is', 'seeds are')} too few: the clearest difference "
        f"({apart}) would be shown in about half of all cases with "
        f"{max(ceil(runs), min(pair.runs) + 1)} seeds, if it is as large as it seems."
    )


def with_baselines(summary: Summary) -> list[MethodSummary]:
    """Its methods, and after them the fixed configurations that were trained."""
    return [*summary.methods, *summary.baselines]


def _states(method: MethodSummary, nothing: int) -> str:
    n = sum(method.states.values())
    others = [f"{k} {state}" for state, k in method.states.items() if state != "finished"]
    if nothing:
        others.append(f"{nothing} found nothing")
    return f"{n} ({', '.join(others)})" if others else str(n)


def _found_nothing(summary: Summary) -> dict[str, int]:
    """How many of the finished runs of each method have no incumbent."""
    return {
        method.name: sum(run.validation is None for run in summary.finished(method.name))
        for method in summary.methods
    }


def _failed(method: MethodSummary) -> str:
    return str(method.means.failed) if method.means else NOTHING


def _quartiles(method: MethodSummary) -> str:
    if method.quartiles is None:
        return NOTHING
    low, median, high = map(number, method.quartiles)
    return f"{median} ({low}, {high})"
