"""Anytime curves: how good the incumbent is by the time that something has been spent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from hpo_bench.analysis.history import AXES, Array, History

MAX_POINTS = 250
"""Places of a curve that are drawn; more cannot be told apart on a screen."""


@dataclass(frozen=True)
class Curve:
    """A method's incumbent over its runs: median and quartiles."""

    method: str
    axis: str
    x: Array
    """What was spent, from where all those runs have an incumbent to where the last one ends."""
    median: Array
    lower: Array
    """First quartile."""
    upper: Array
    """Third quartile."""
    runs: int


def curve(histories: Sequence[History], axis: str, worst: float | None = None) -> Curve | None:
    """The curve of a method's runs; None while none has an incumbent.

    A run that has ended keeps its incumbent.

    Args:
        histories: The runs.
        axis: One of `AXES`.
        worst: Value of a run that has found nothing; None leaves these out.
    """
    return curve_by("validation", histories, axis, worst)


def curve_by(
    measure: str, histories: Sequence[History], axis: str, worst: float | None
) -> Curve | None:
    """The curve of the incumbents by another measure, which no method saw; it can fall.

    None where nothing was measured. A run whose last incumbent was not measured is left out.
    """
    runs = [history for history in histories if _is_measured(history, measure)]
    return _over_runs(runs, axis, worst, partial(incumbents_at, measure=measure))


def _is_measured(run: History, measure: str) -> bool:
    return run.incumbent is None or bool(np.isfinite(run.incumbents_by(measure)[-1]))


def _over_runs(
    histories: Sequence[History],
    axis: str,
    worst: float | None,
    at: Callable[[History, str, Array], Array],
) -> Curve | None:
    found = [history for history in histories if history.incumbent is not None]
    if not found:
        return None
    runs = found if worst is None else histories
    start = max(first_incumbent(run, axis) for run in found)
    places = np.unique(np.concatenate([run.spent(axis) for run in found]))
    places = thinned(places[places >= start])
    values = np.array([at(run, axis, places) for run in runs])
    if worst is not None:
        values = np.where(np.isnan(values), worst, values)
    lower, median, upper = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
    return Curve(found[0].method, axis, places, median, lower, upper, len(runs))


def incumbents_at(run: History, axis: str, places: Array, measure: str = "validation") -> Array:
    """The incumbent's value once so much is spent; NaN before the first, and if not measured."""
    values = np.concatenate([[np.nan], run.incumbents_by(measure)])
    found: Array = values[np.searchsorted(run.spent(axis), places, side="right")]
    return found


def first_incumbent(run: History, axis: str) -> float:
    """What is spent when a run has its first incumbent; infinity if it has none."""
    spent = run.spent(axis)[~np.isnan(run.incumbents)]
    return float(spent[0]) if spent.size else np.inf


def common_range(histories: Sequence[History], axis: str) -> tuple[float, float] | None:
    """The part of an axis on which every run that finds any has an incumbent and is at work."""
    runs = [history for history in histories if history.incumbent is not None]
    if not runs:
        return None
    start = max(first_incumbent(run, axis) for run in runs)
    stop = min(float(run.spent(axis)[-1]) for run in runs)
    return (start, stop) if start < stop else None


def mean_incumbent(run: History, axis: str, start: float, stop: float) -> float:
    """Area under a run's curve from `start` to `stop`, divided by its width.

    It is in the objective's units: the incumbent's value at a moment drawn at random.
    """
    spent = run.spent(axis)
    inside = spent[(spent > start) & (spent < stop)]
    edges = np.concatenate([[start], inside, [stop]])
    return float(incumbents_at(run, axis, edges[:-1]) @ np.diff(edges)) / (stop - start)


def curves(groups: dict[str, list[History]], worst: float | None) -> dict[str, list[Curve]]:
    """Every method's curve on every axis: axis -> curves."""
    return {
        axis: [made for runs in groups.values() if (made := curve(runs, axis, worst)) is not None]
        for axis in AXES
    }


def thinned(places: Array) -> Array:
    """Keep `MAX_POINTS` places at most, evenly chosen, the first and the last among them."""
    if len(places) <= MAX_POINTS:
        return places
    kept: Array = places[np.linspace(0, len(places) - 1, MAX_POINTS).round().astype(int)]
    return kept
