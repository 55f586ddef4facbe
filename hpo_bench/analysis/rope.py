"""How large a difference must be to matter: a share of what there is to gain over the default."""

from __future__ import annotations

from dataclasses import dataclass

from hpo_bench.analysis.means import mean
from hpo_bench.analysis.scores import Scores
from hpo_bench.analysis.stored import DEFAULT

SHARE = 0.1
"""Of the way from the default to the best run: two methods closer than this are as good."""

SENSITIVITY = (0.05, 0.1, 0.2, 0.5)
"""Shares for which a report says how many pairs are equivalent."""


@dataclass(frozen=True)
class Rope:
    """Region of practical equivalence: differences that do not matter, to both sides of 0."""

    half: float | None
    """Half of its width, in the units of the measure; None where nothing tells it."""
    span: float | None
    """From the default's mean to the best run; None without a default that a run is better than."""


def rope_of(found: Scores, defaults: Scores, given: float | None) -> Rope:
    """Take the region from what is given, or from the suite.

    Args:
        found: Values of all finished runs.
        defaults: Values of the objective's default.
        given: Half of its width; None takes `SHARE` of the way from the default to the best run.
    """
    own = list(defaults.values.get(DEFAULT, {}).values())
    values = [value for runs in found.values.values() for value in runs.values()]
    span = None
    if own and values:
        middle = mean(own)
        gain = max(values) - middle if found.maximise else middle - min(values)
        span = gain if gain > 0 else None
    return Rope(SHARE * span if given is None and span is not None else given, span)
