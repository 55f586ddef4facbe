"""Objectives that are too easy for what is compared: two methods sit at the optimum."""

from __future__ import annotations

from collections.abc import Mapping
from math import isclose

SHARE = 0.5
"""Of a method's runs at the best value, from which on it is said to sit there."""

SHARED = 0.25
"""Of the seeds, in which two methods must have the same best value: without a ceiling, no two runs
are level, and the better of two methods is the best there is in half of the seeds."""


def at_ceiling(values: Mapping[str, Mapping[int, float]], *, maximise: bool) -> list[str]:
    """Name the methods that sit at the optimum; with two of them, the objective is saturated.

    The optimum is taken seed by seed, as the best that any method has found: a recorded table
    answers a configuration by the run's seed.

    Args:
        values: Method -> seed -> what the run has found.
        maximise: Whether more is better.
    """
    seeds = sorted({seed for runs in values.values() for seed in runs})
    winners = [_best(values, seed, maximise=maximise) for seed in seeds]
    if not seeds or sum(len(names) > 1 for names in winners) < SHARED * len(seeds):
        return []
    hits = {name: sum(name in names for names in winners) for name in values}
    return [name for name, runs in values.items() if runs and hits[name] >= SHARE * len(runs)]


def is_saturated(at_the_ceiling: list[str]) -> bool:
    """Whether methods sit at an optimum, where the objective cannot tell them apart."""
    return len(at_the_ceiling) > 1


def _best(values: Mapping[str, Mapping[int, float]], seed: int, *, maximise: bool) -> set[str]:
    """Name the methods that have found the best value with a seed."""
    found = {name: runs[seed] for name, runs in values.items() if seed in runs}
    best = max(found.values()) if maximise else min(found.values())
    return {name for name, value in found.items() if isclose(value, best, rel_tol=1e-9)}
