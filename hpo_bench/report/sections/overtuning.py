"""What is left of an incumbent on images that nobody chose by, and when it is trained again."""

from __future__ import annotations

from hpo_bench.analysis.baselines import Again
from hpo_bench.analysis.intervals import Estimate
from hpo_bench.analysis.summary import Summary
from hpo_bench.numbers import number
from hpo_bench.report import figures
from hpo_bench.report.parts import Part, Section, Table, interval
from hpo_bench.report.table import failed_again


def validation_and_test(summary: Summary) -> Section:
    """By how much having been chosen by validation flatters."""
    picture = figures.validation_and_test(summary)
    if picture is None:
        return Section("Validation and test")
    if not any(method.gap for method in summary.methods):
        return Section("Validation and test", [picture])
    table = Table(
        ["method", summary.metric, "test accuracy", "gap"],
        [
            [m.name, interval(m.validation), interval(m.test), interval(m.gap)]
            for m in summary.methods
        ],
        "Gap: mean of validation less test, by which the choice by validation flatters its winner "
        "(overtuning) if the images are alike.",
        wide=False,
    )
    return Section("Validation and test", [table, picture])


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
        "trainings; gap: found less confirmed (turned round where less is better), by which "
        "having been chosen flatters; spread: standard deviation between trainings of one "
        "configuration, pooled over runs."
    )
    headings = ["method", "trainings", "found [95%]", "confirmed [95%]", "gap [95%]", "spread"]
    return Section("Trained again", [*told, Table(headings, rows, caption)])


def _again_cells(own: Estimate | None, again: Again) -> list[str]:
    return [interval(own), interval(again.mean), interval(again.gap), number(again.spread)]
