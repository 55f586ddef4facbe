"""What evaluations failed with, and where."""

from __future__ import annotations

from hpo_bench.analysis.summary import Summary
from hpo_bench.report.failures import details, headline
from hpo_bench.report.parts import Code, Part, Section, several

SHOWN = 20
"""Faults that are told one by one."""


def failures(summary: Summary) -> Section:
    """Every fault with the traceback of its first evaluation, folded away."""
    parts: list[Part] = []
    for failure in summary.failures[:SHOWN]:
        parts.append(headline(failure))
        parts.append(Code(details(failure), "text", folded="Where, the first time"))
    left_out = len(summary.failures) - SHOWN
    if left_out > 0:
        parts.append(f"{several(left_out, 'more fault')}, met less often.")
    return Section("Failed evaluations", parts)
