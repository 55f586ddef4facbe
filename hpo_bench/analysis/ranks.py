"""Ranks of methods across objectives, and which of them differ.

Source: Demšar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets". Its blocks,
which must be independent, are families of objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt

import numpy as np
from scipy import stats

from hpo_bench.analysis.families import weights
from hpo_bench.analysis.history import Array
from hpo_bench.analysis.simultaneous import ALPHA
from hpo_bench.errors import HpoBenchError


@dataclass(frozen=True)
class Ranking:
    """Mean ranks over objectives, best first."""

    methods: list[str]
    mean_ranks: list[float]
    """1 is best; over the objectives of each family, and then over families."""
    objectives: int
    families: int
    p: float | None
    """Friedman's test that all methods rank alike; None for two methods or a single family, which
    it cannot test."""
    critical_difference: float | None
    """Nemenyi: mean ranks that are closer than this do not differ at the 5% level; None for a
    single family."""

    @property
    def differing(self) -> list[tuple[str, str]]:
        """Pairs that differ by Nemenyi's test, the better one first.

        None where Friedman's test does not say that there is any difference: it comes first.
        """
        if self.critical_difference is None or (self.p is not None and self.p > ALPHA):
            return []
        placed = list(zip(self.methods, self.mean_ranks, strict=True))
        return [
            (better, worse)
            for (better, low), (worse, high) in combinations(placed, 2)
            if high - low > self.critical_difference
        ]


def rank(
    scores: Mapping[str, Mapping[str, float]],
    *,
    maximise: Mapping[str, bool],
    families: Mapping[str, str],
) -> Ranking:
    """Rank methods across objectives.

    Args:
        scores: Objective -> method -> mean over seeds of what its runs have found.
        maximise: Objective -> whether more is better.
        families: Objective -> the family that it belongs to.

    Raises:
        HpoBenchError: There is a single objective, or fewer than two methods were run on all.
    """
    if len(scores) < 2:
        raise HpoBenchError(
            "ranks need several objectives, and here is one: how methods rank over the seeds of "
            "one objective says nothing about others"
        )
    methods = sorted(set.intersection(*(set(found) for found in scores.values())))
    if len(methods) < 2:
        raise HpoBenchError(
            "ranks need two methods that were run on every objective; "
            f"on all are: {', '.join(methods) or '(none)'}"
        )
    table = np.array(
        [
            [(-1 if maximise[name] else 1) * found[method] for method in methods]
            for name, found in scores.items()
        ]
    )
    ranks = stats.rankdata(table, axis=1)
    names = [families[name] for name in scores]
    means = weights(names) @ ranks
    blocks = _blocks(ranks, names)
    is_tested = len(methods) > 2 and len(blocks) > 1
    order = np.argsort(means, kind="stable")
    return Ranking(
        [methods[i] for i in order],
        [float(means[i]) for i in order],
        len(scores),
        len(blocks),
        float(stats.friedmanchisquare(*blocks.T).pvalue) if is_tested else None,
        critical_difference(len(methods), len(blocks)) if len(blocks) > 1 else None,
    )


def _blocks(ranks: Array, families: Sequence[str]) -> Array:
    """Give the mean ranks within each family: (families, methods)."""
    names = np.array(families)
    return np.array([ranks[names == name].mean(axis=0) for name in sorted(set(families))])


def critical_difference(methods: int, blocks: int) -> float:
    """The difference of two mean ranks that Nemenyi's test asks for, at the 5% level."""
    quantile = stats.studentized_range.ppf(1 - ALPHA, methods, np.inf) / sqrt(2)
    return float(quantile * sqrt(methods * (methods + 1) / (6 * blocks)))
