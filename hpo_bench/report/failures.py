"""Faults in words: for the terminal, and for the report's section about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpo_bench.analysis.failures import Failure
from hpo_bench.report.parts import several


def headline(failure: Failure) -> str:
    """Say what the fault is, and how often it was met."""
    return f"{several(failure.count, 'evaluation')} failed: {failure.reason}"


def details(failure: Failure) -> str:
    """Say where it was met first: run, configuration, traceback."""
    values = ", ".join(f"{name} = {value!r}" for name, value in failure.configuration.items())
    place = f"{failure.study}, trial {failure.trial}: {values or 'no configuration'}"
    return "\n".join([place, *([failure.traceback] if failure.traceback else [])])


def as_text(found: Sequence[Failure]) -> Iterator[str]:
    """Tell the faults for a terminal, a paragraph each."""
    for failure in found:
        indented = details(failure).replace("\n", "\n  ")
        yield f"{headline(failure)}\n  {indented}\n"
