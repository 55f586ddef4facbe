"""Where the time went."""

from __future__ import annotations

from hpo_bench.analysis.means import mean
from hpo_bench.analysis.summary import Summary
from hpo_bench.report import figures
from hpo_bench.report.parts import Part, Section, Table, clock, drawn, seconds


def times(summary: Summary) -> Section:
    """Time by its parts, method by method."""
    parts = figures.time_parts(summary)
    rows = [
        [
            method.name,
            seconds(method.means.wall_seconds),
            *map(seconds, parts[method.name]),
            seconds(1000 * method.means.sampler_seconds / max(1.0, method.means.evaluations)),
        ]
        for method in summary.methods
        if method.means is not None
    ]
    if not rows:
        return Section("Where the time goes")
    simulated = clock(summary.is_simulated)
    training, *others = figures.TIME_PARTS
    headings = ["method", f"{simulated}wall s", f"{simulated}{training} s"]
    headings += [f"{part} s" for part in others]
    table = Table(
        [*headings, "sampler ms per evaluation"],
        rows,
        "Means per run. Sampler: the method's own work, asked and told; storage: in the database, "
        "whoever asked; harness: all else, and with several workers in a run also their waiting.",
    )
    told = [table, *_parallelism(summary), *drawn(figures.times(summary))]
    return Section("Where the time goes", told)


def _parallelism(summary: Summary) -> list[Part]:
    """Say what several workers within a run were worth."""
    rows = []
    for method in summary.methods:
        several = [run for run in summary.finished(method.name) if run.workers > 1]
        runs = [run for run in several if run.wall_seconds > 0]
        if runs:
            speed_up = mean([run.train_seconds / run.wall_seconds for run in runs])
            efficiency = mean([run.train_seconds / run.wall_seconds / run.workers for run in runs])
            workers = " or ".join(map(str, sorted({run.workers for run in runs})))
            rows.append([method.name, workers, f"{speed_up:.2f}", f"{efficiency:.0%}"])
    caption = (
        "Several workers within a run. Speed-up: seconds of training for each second on the wall, "
        "means over runs; efficiency: the same for each worker."
    )
    headings = ["method", "workers", "speed-up", "efficiency"]
    return [Table(headings, rows, caption, wide=False)] if rows else []
