"""What choosing costs: selection bias, overtuning, and what is left of a winner trained again."""

from __future__ import annotations

from hpo_bench.analysis.baselines import Again
from hpo_bench.analysis.intervals import Estimate
from hpo_bench.analysis.measures import measure_name
from hpo_bench.analysis.summary import Summary
from hpo_bench.numbers import number
from hpo_bench.report import figures
from hpo_bench.report.parts import Part, Section, Table, drawn, interval
from hpo_bench.report.sections.results import with_baselines
from hpo_bench.report.table import failed_again


def validation_and_test(summary: Summary) -> Section:
    """By how much a winner is flattered by its choice, and what is lost by going on choosing."""
    title = f"Validation and {_SHORT[summary.unseen]}"
    picture = figures.seen_and_unseen(summary)
    if picture is None:
        return Section(title)
    told: list[Part] = []
    if any(method.gap for method in summary.methods):
        told.append(_selection_bias(summary))
    if any(method.overtuning for method in summary.methods):
        told.append(_overtuning(summary))
    return Section(title, [*told, picture, *drawn(figures.unseen(summary))])


_SHORT = {"test": "test", "held_out": "held out", "held_out_test": "held-out test"}


def _selection_bias(summary: Summary) -> Table:
    endpoint = summary.endpoint.measure
    is_validation = endpoint == "validation"
    name = measure_name("test" if is_validation else endpoint, summary.metric)
    rows = [
        [m.name, *map(interval, (m.validation, m.test if is_validation else m.endpoint, m.gap))]
        for m in with_baselines(summary)
    ]
    caption = (
        f"Gap: by how much validation, which the search saw, is better than {name}. It is the "
        "selection bias, by which a winner is flattered by the very values that chose it, and any "
        "difference between the two sets of data."
    )
    if summary.default is not None:
        caption += (
            " The default was chosen by nobody: what its gap is comes from the data, and what a "
            "search's gap has beyond it is selection bias."
        )
    headings = ["method", f"{summary.metric} (seen)", name, "gap"]
    return Table(headings, rows, caption)


def _overtuning(summary: Summary) -> Table:
    unseen = measure_name(summary.unseen, summary.metric)
    rows = [
        [m.name, interval(m.overtuning.loss), f"{m.overtuning.runs} of {m.overtuning.loss.n}"]
        for m in summary.methods
        if m.overtuning is not None
    ]
    caption = (
        f"Overtuning (Schneider et al. 2025): by how much the best incumbent that a run has had is "
        f"better than its last, by {unseen}. Above 0, the run has gone on to a winner by "
        "validation that is worse than one that it had before."
    )
    return Table(["method", "overtuning [95%]", "runs"], rows, caption, wide=False)


def trained_again(summary: Summary) -> Section:
    """Incumbents trained again by fresh seeds."""
    rows = [
        [f"{method.name}, {name}", str(method.confirmed.trainings), *_again_cells(own, again)]
        for method in summary.methods
        if method.confirmed is not None
        for name, own, again in (
            (summary.metric, method.validation, method.confirmed.validation),
            ("test accuracy", method.test, method.confirmed.test),
        )
        if again is not None
    ]
    failed = sum(run.unconfirmed for run in summary.runs)
    told: list[Part] = [failed_again(failed)] if failed else []
    if not rows:
        return Section("Trained again", told)
    caption = (
        "Incumbents trained again by seeds that no run has, on the same split, outside of the "
        "budget. Found: by the run; confirmed: mean over runs of the means of each one's "
        "trainings; gap: found less confirmed (turned round where less is better), which is the "
        "selection bias; spread: standard deviation between trainings of one configuration, "
        "pooled over runs."
    )
    headings = ["method", "trainings", "found [95%]", "confirmed [95%]", "gap [95%]", "spread"]
    return Section("Trained again", [*told, Table(headings, rows, caption)])


def _again_cells(own: Estimate | None, again: Again) -> list[str]:
    return [interval(own), interval(again.mean), interval(again.gap), number(again.spread)]
