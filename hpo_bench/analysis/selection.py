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


@dataclass(frozen=True)
class Overtuning:
    """How much a method's runs lose by going on after the incumbent that tests best."""

    loss: Estimate
    """Test accuracy of the best earlier incumbent less that of the last; 0 in most runs."""
    runs: int
    """Runs that lose anything."""


def overtuning(histories: Sequence[History]) -> Overtuning | None:
    """Sum up a method's runs; None if no run has tested its last incumbent."""
    losses = [loss for run in histories if (loss := overtuning_of(run)) is not None]
    mean = estimate(losses)
    return None if mean is None else Overtuning(mean, sum(loss > 0 for loss in losses))


def overtuning_of(run: History) -> float | None:
    """Give the best test value of all incumbents less that of the last; None if it has none."""
    tests = run.incumbent_tests
    if not tests.size or np.isnan(tests[-1]):
        return None
    return float(np.nanmax(tests) - tests[-1])
