"""Of what a run has found: the measures by which methods can be compared."""

from __future__ import annotations

MEASURES = ("validation", "test", "confirmed", "confirmed_test")
"""Attributes of `RunResult`."""

RUNNING_TIME = "running_time"
"""What a run spent until the target that ended it: the measure where a budget has one."""


def measure_name(measure: str, metric: str) -> str:
    """Name one of `MEASURES` or `RUNNING_TIME`, the objective's value being called `metric`."""
    if measure == RUNNING_TIME:
        return "epochs until the target"
    name = "test accuracy" if is_test(measure) else metric
    return f"{name}, confirmed" if measure.startswith("confirmed") else name


def is_maximised(measure: str, *, maximise: bool) -> bool:
    """Whether more of a measure is better: of an accuracy on test images always.

    Args:
        measure: One of `MEASURES`.
        maximise: Whether more of the objective's own value is better.
    """
    return maximise or is_test(measure)


def is_test(measure: str) -> bool:
    """Whether a measure is a test accuracy."""
    return measure.endswith("test")
