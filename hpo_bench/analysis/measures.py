"""Of what a run has found: the measures by which methods can be compared."""

from __future__ import annotations

MEASURES = ("validation", "test", "held_out", "held_out_test", "confirmed", "confirmed_test")
"""Attributes of `RunResult`."""

ALONG_THE_WAY = ("test", "held_out", "held_out_test")
"""Those that are measured beside the value of each evaluation, and not at the end alone."""

RUNNING_TIME = "running_time"
"""What a run spent until the target that ended it: the measure where a budget has one."""


def measure_name(measure: str, metric: str) -> str:
    """Name one of `MEASURES` or `RUNNING_TIME`, the objective's value being called `metric`."""
    if measure == RUNNING_TIME:
        return "epochs until the target"
    name = "test accuracy" if is_test(measure) else metric
    if measure.startswith("confirmed"):
        return f"{name}, confirmed"
    return f"{name}, held out" if measure.startswith("held_out") else name


def along_the_way(measure: str) -> str:
    """Name the measure that stands for one at every moment of a run.

    Only the last incumbent is trained again: before that, its own test or validation value stands
    for what training it again would give.
    """
    return {"confirmed_test": "test", "confirmed": "validation"}.get(measure, measure)


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


def is_comparable(first: str, second: str, metric: str) -> bool:
    """Whether two measures are in the same units: all are, where the value is an accuracy, too."""
    return is_test(first) == is_test(second) or "accuracy" in metric
