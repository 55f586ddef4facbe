"""One value for each run, whatever it measures: what verdicts, ranks and regrets are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from hpo_bench.analysis.history import History
from hpo_bench.analysis.measures import along_the_way, is_maximised
from hpo_bench.analysis.results import RunResult


@dataclass(frozen=True)
class Scores:
    """The values of finished runs by one measure."""

    measure: str
    maximise: bool
    """Whether more of the measure is better."""
    values: dict[str, dict[int, float]]
    """Method -> seed -> value."""
    nothing: dict[str, int]
    """Method -> how many of its runs found nothing, and have the worst value for it."""


def scores(
    runs: Sequence[RunResult],
    measure: str,
    worst: float | None,
    *,
    maximise: bool,
) -> Scores:
    """Score runs by a measure.

    A run that found nothing is not left out, which would favour methods that fail: it has the
    worst value. A run that was not measured, as where an objective has no test, is left out.

    Args:
        runs: Finished runs; methods stand in their order.
        measure: One of `MEASURES`.
        worst: As `worst_of` gives it; None leaves out runs that found nothing.
        maximise: Whether more of the objective's own value is better.
    """
    values: dict[str, dict[int, float]] = {run.method: {} for run in runs}
    nothing = dict.fromkeys(values, 0)
    for run in runs:
        value = getattr(run, measure)
        if value is not None and isfinite(value):
            values[run.method][run.seed] = value
        elif worst is not None and found_nothing(run, measure):
            values[run.method][run.seed] = worst
            nothing[run.method] += 1
    return Scores(measure, is_maximised(measure, maximise=maximise), values, nothing)


def found_nothing(run: RunResult, measure: str) -> bool:
    """Whether a run has no value because its search failed, or what it found does not train."""
    if run.validation is None:
        return True
    if measure.startswith("held_out"):  # of each configuration, or of none: the others failed
        return True
    is_again = measure.startswith("confirmed")
    return is_again and run.confirmations == 0 and run.unconfirmed > 0


def worst_of(
    runs: Sequence[RunResult],
    histories: Sequence[History],
    measure: str,
    *,
    maximise: bool,
) -> float | None:
    """Give the worst value by a measure of all that was evaluated; None if nothing was.

    It is the worst of the full evaluations, not of the incumbents: whoever found nothing has
    nothing better to offer than the worst that can be had by evaluating once.
    """
    own = (getattr(run, measure) for run in runs)
    values = [*_finite(own), *_finite(_evaluated(histories, measure))]
    worst = min if is_maximised(measure, maximise=maximise) else max
    return worst(values, default=None)


def _evaluated(histories: Sequence[History], measure: str) -> Iterable[float | None]:
    along = along_the_way(measure)
    for history in histories:
        if along == "validation":
            yield from history.values.tolist()
        else:
            yield from (getattr(step, along) for step in history.steps)


def _finite(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and np.isfinite(value)]
