"""Do two methods differ on objectives in general? Wilcoxon's test, with families as blocks.

Source: Benavoli, Corani and Mangili 2016, "Should We Really Use Post-Hoc Tests Based on
Mean-Ranks?": whether two methods differ by Nemenyi's test depends on which others are compared with
them; by a signed-rank test of the two, adjusted by Holm, it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats

from hpo_bench.analysis.history import Array
from hpo_bench.analysis.simultaneous import ALPHA

EXACT = 12
"""Families up to which every one of the 2^n signs is tried."""

DRAWS = 9999


@dataclass(frozen=True)
class Pair:
    """Two methods over objectives."""

    first: str
    second: str
    wins: int
    """Objectives on which the mean regret of the first is less."""
    losses: int
    p: float
    adjusted_p: float
    """By Holm, over all pairs."""

    @property
    def differs(self) -> bool:
        """Whether the methods are shown to differ on objectives in general."""
        return self.adjusted_p <= ALPHA


def signed_rank(gains: Array, families: Sequence[str]) -> float:
    """Give the two-sided p of Wilcoxon's signed-rank test, whole families changing their sign.

    Where every objective is a family of its own, this is the exact test as it is known. Objectives
    without a difference are dropped.

    Args:
        gains: One for each objective.
        families: The family of each.
    """
    is_different = gains != 0
    if not is_different.any():
        return 1.0
    signed = np.sign(gains) * stats.rankdata(np.where(is_different, np.abs(gains), np.inf))
    names = sorted({name for name, used in zip(families, is_different, strict=True) if used})
    of = np.array([[name == other for other in families] for name in names])
    sums = (of & is_different) @ np.where(is_different, signed, 0.0)
    seen = abs(sums.sum())
    return float(np.mean(np.abs(_signs(len(names)) @ sums) >= seen * (1 - 1e-9)))


def least_p(families: int) -> float:
    """Give the least p that so many families can reach, whatever they show."""
    return min(1.0, 2.0 ** (1 - families))


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p-values for being several; source: Holm 1979."""
    order = np.argsort(p)
    factors = np.arange(len(p), 0, -1)
    result = np.empty(len(p))
    result[order] = np.minimum(np.maximum.accumulate(np.asarray(p)[order] * factors), 1.0)
    return result.tolist()


def compare(methods: Sequence[str], table: Array, families: Sequence[str]) -> list[Pair]:
    """Compare every pair of methods over objectives.

    Args:
        methods: Their names.
        table: Mean regrets of (objectives, methods); less is better.
        families: The family of each objective.
    """
    places = [(a, b) for a in range(len(methods)) for b in range(a + 1, len(methods))]
    gains = [(table[:, b] - table[:, a]).round(12) for a, b in places]
    p = [signed_rank(gain, families) for gain in gains]
    return [
        Pair(methods[a], methods[b], int((gain > 0).sum()), int((gain < 0).sum()), alone, together)
        for (a, b), gain, alone, together in zip(places, gains, p, holm(p), strict=True)
    ]


def _signs(n: int) -> Array:
    """All signs of n families, or many of them, those that were seen among them."""
    if n <= EXACT:
        return np.array(list(product([1.0, -1.0], repeat=n)))
    drawn = np.random.default_rng(0).choice([1.0, -1.0], size=(DRAWS, n))
    return np.concatenate([np.ones((1, n)), drawn])
