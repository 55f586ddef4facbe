"""What a search loses by choosing: selection bias, and overtuning. They are not the same.

*Selection bias* is the gap between the value by which the winner was chosen and its value on data
that did not choose it. Every choice of the best of several noisy values has it, also the choice
that a perfect search makes. *Overtuning* is a loss: the search has gone on to a winner by
validation that is worse, on the test data, than an incumbent that it had before.

Source: Schneider, Bischl and Feurer 2025, "Overtuning in Hyperparameter Optimization".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpo_bench.analysis.history import History
from hpo_bench.analysis.intervals import Estimate, estimate
from hpo_bench.analysis.measures import is_maximised


@dataclass(frozen=True)
class Overtuning:
    """How much a method's runs lose by going on after the incumbent that tests best."""

    loss: Estimate
    """By how much the best earlier incumbent is better than the last; 0 in most runs."""
    runs: int
    """Runs that lose anything."""


def overtuning(histories: Sequence[History], measure: str = "test") -> Overtuning | None:
    """Sum up a method's runs; None if no run has measured its last incumbent.

    Args:
        histories: The runs.
        measure: By which incumbents are judged: one of `analysis.measures.ALONG_THE_WAY`.
    """
    losses = [loss for run in histories if (loss := overtuning_of(run, measure)) is not None]
    mean = estimate(losses)
    return None if mean is None else Overtuning(mean, sum(loss > 0 for loss in losses))


def overtuning_of(run: History, measure: str = "test") -> float | None:
    """Say by how much the best of all incumbents is better than the last; None if it has none."""
    sign = 1 if is_maximised(measure, maximise=run.maximise) else -1
    values = sign * run.incumbents_by(measure)
    if not values.size or np.isnan(values[-1]):
        return None
    return float(np.nanmax(values) - values[-1])
