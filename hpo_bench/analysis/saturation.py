"""Objectives that are too easy for what is compared: two methods sit at the optimum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isclose

SHARE = 0.5
"""Of a method's runs at the optimum, from which on it is said to sit there."""


def at_ceiling(
    values: Mapping[str, Mapping[int, float]], *, maximise: bool, optimum: float | None = None
) -> list[str]:
    """Name the methods of which at least half of the runs are at the optimum.

    Without a known optimum, a run is there if no run with its seed is better and another method
    has found the same value: a recorded table answers a configuration by the run's seed.

    Args:
        values: Method -> seed -> what the run has found.
        maximise: Whether more is better.
        optimum: The best value that is possible, where it is known.
    """
    best = _best_by_seed(values.values(), maximise=maximise)
    found = []
    for name, runs in values.items():
        others = [of for other, of in values.items() if other != name]
        hits = sum(
            _same(value, best[seed] if optimum is None else optimum)
            and (optimum is not None or any(_same(of.get(seed), value) for of in others))
            for seed, value in runs.items()
        )
        if runs and hits >= SHARE * len(runs):
            found.append(name)
    return found


def is_saturated(at_the_ceiling: list[str]) -> bool:
    """Whether methods sit at the optimum that the objective therefore cannot tell apart."""
    return len(at_the_ceiling) > 1


def _best_by_seed(every: Iterable[Mapping[int, float]], *, maximise: bool) -> dict[int, float]:
    best: dict[int, float] = {}
    for runs in every:
        for seed, value in runs.items():
            found = best.get(seed, value)
            best[seed] = max(found, value) if maximise else min(found, value)
    return best


def _same(first: float | None, second: float) -> bool:
    return first is not None and isclose(first, second, rel_tol=1e-9)
