"""Of what a run has found: the measures by which methods can be compared."""

from __future__ import annotations

MEASURES = ("validation", "test", "confirmed", "confirmed_test")
"""Attributes of `RunResult`."""


def measure_name(measure: str, metric: str) -> str:
    """Name one of `MEASURES`, the objective's value being called `metric`."""
    name = "test accuracy" if _is_test(measure) else metric
    return f"{name}, confirmed" if measure.startswith("confirmed") else name


def is_maximised(measure: str, *, maximise: bool) -> bool:
    """Whether more of a measure is better: of an accuracy on test images always.

    Args:
        measure: One of `MEASURES`.
        maximise: Whether more of the objective's own value is better.
    """
    return maximise or _is_test(measure)


def _is_test(measure: str) -> bool:
    return measure.endswith("test")
