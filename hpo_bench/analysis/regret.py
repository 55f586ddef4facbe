"""Normalised regret: what is left to gain, on one scale for all objectives.

    regret(v) = (best - v) / (best - reference)

It is 0 for the best value and 1 for the reference, whether an objective is maximised or minimised.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np

from hpo_bench.analysis.curves import incumbents_at
from hpo_bench.analysis.history import Array
from hpo_bench.analysis.means import mean
from hpo_bench.analysis.measures import along_the_way
from hpo_bench.analysis.stored import DEFAULT
from hpo_bench.analysis.summary import Summary
from hpo_bench.analysis.targets import AXIS
from hpo_bench.storage.records import OPTIMUM


@dataclass(frozen=True)
class Scale:
    """What regrets of one objective are measured by."""

    best: float
    best_is: str
    """`optimum`, which is known, or `best seen`."""
    reference: float
    reference_is: str
    """`default`, or `median evaluation` where there is none that a run is better than."""

    def regret(self, values: Array) -> Array:
        """Normalise values of the objective; any shape."""
        return (self.best - values) / (self.best - self.reference)


def scale_of(summary: Summary, measure: str = "validation") -> Scale | None:
    """Find the scale of an objective; None while there is nothing to tell it.

    Args:
        summary: Of the objective.
        measure: What values are compared by.
    """
    found = summary.scores.get(measure)
    values = [v for runs in found.values.values() for v in runs.values()] if found else []
    if found is None or not values:
        return None
    best, best_is = (max if found.maximise else min)(values), "best seen"
    known = known_optimum(summary, measure)
    if known is not None:
        best, best_is = known, "optimum"
    for reference_is, reference in (
        ("default", _of_default(summary, measure)),
        ("median evaluation", _median(summary, measure)),
    ):
        is_below = reference is not None and (reference < best) == found.maximise
        if reference is not None and is_below and reference != best:
            return Scale(best, best_is, reference, reference_is)
    return None


def regrets(summary: Summary, scale: Scale, measure: str = "validation") -> dict[str, Array]:
    """Give the final regrets of every method's runs: method -> one for each run."""
    found = summary.scores[measure].values
    return {
        name: scale.regret(np.array(list(runs.values()))) for name, runs in found.items() if runs
    }


def regrets_at(
    summary: Summary, scale: Scale, places: Array, measure: str = "validation"
) -> dict[str, Array]:
    """Give the regrets of the incumbents over the budget: method -> (runs, places).

    A run that has no incumbent yet has the regret of the worst value.

    Args:
        summary: Of the objective.
        scale: Of its regrets.
        places: Full evaluations' worth of epochs.
        measure: `validation`, or another of the incumbents that validation chose, which is one of
            `analysis.measures.ALONG_THE_WAY`.
    """
    made: dict[str, list[Array]] = {}
    for run in summary.histories:
        if run.is_finished:
            nothing = np.full(len(places), np.nan)
            values = incumbents_at(run, AXIS, places, measure) if run.steps else nothing
            values = np.where(np.isnan(values), summary.worst[measure], values)
            made.setdefault(run.method, []).append(scale.regret(values))
    return {name: np.array(runs) for name, runs in made.items()}


def known_optimum(summary: Summary, measure: str) -> float | None:
    """Give the best value that the objective can have by a measure, where its studies say it."""
    told = [history.attributes.get(OPTIMUM) for history in summary.histories]
    by_measure = [one if isinstance(one, dict) else {"validation": one} for one in told]
    values = (one.get(measure) for one in by_measure)
    numbers = (v for v in values if isinstance(v, int | float) and not isinstance(v, bool))
    return next((float(v) for v in numbers if isfinite(v)), None)


def _of_default(summary: Summary, measure: str) -> float | None:
    found = summary.baseline_scores.get(measure)
    values = found.values.get(DEFAULT, {}) if found else {}
    return mean(list(values.values())) if values else None


def _median(summary: Summary, measure: str) -> float | None:
    runs = [history for history in summary.histories if history.is_finished]
    along = along_the_way(measure)
    if along == "validation":
        values = [v for run in runs for v in run.values if not np.isnan(v)]
    else:
        told = (getattr(step, along) for run in runs for step in run.steps)
        values = [value for value in told if value is not None]
    return float(np.median(values)) if values else None
