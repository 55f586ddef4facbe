"""Benchmarks before and after, for the terminal and as Markdown, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hpo_bench.analysis.timings import Timing
from hpo_bench.numbers import NOTHING
from hpo_bench.report.parts import Table
from hpo_bench.report.plain import plain


def to_table(timings: Sequence[Timing]) -> Table:
    """One row per benchmark."""
    rows = [
        [
            timing.name.rpartition("/")[2],
            f"{timing.rounds[0]}, {timing.rounds[1]}",
            _seconds(timing.before),
            _seconds(timing.after),
            _ratio(timing),
            f"{timing.least_after / timing.least_before:.2f}",
            timing.verdict,
        ]
        for timing in timings
    ]
    headings = ["benchmark", "rounds", "old median", "new median", "ratio [95%]", "of minima"]
    caption = (
        "Ratio of medians, above 1 the new is slower, with a percentile bootstrap interval over "
        "rounds (for all benchmarks together). It does not know what else the machine did."
    )
    return Table([*headings, "verdict"], rows, caption)


def to_json(timings: Sequence[Timing], exit_status: int) -> str:
    """Everything, with full precision."""
    return json.dumps({"benchmarks": plain(list(timings)), "exit_status": exit_status}, indent=2)


def to_records(timings: Sequence[Timing]) -> list[dict[str, object]]:
    """One record per benchmark."""
    return [
        {**timing, "rounds": "/".join(map(str, timing["rounds"]))}
        for timing in plain(list(timings))
    ]


def _ratio(timing: Timing) -> str:
    if timing.low is None or timing.high is None:
        return f"{timing.ratio:.2f} [{NOTHING}]"
    return f"{timing.ratio:.2f} [{timing.low:.2f}, {timing.high:.2f}]"


def _seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"
