"""Compare the picks of both generators after the same results."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution
from rich.progress import Progress
from scipy.stats import chi2_contingency, ks_2samp

from hpo_bench.bridges.unit_cube import encode
from hpo_bench.spaces import Space

from ..markdown import rows
from .data import SPACE, Result, as_json, results
from .environment import Reference
from .ours import Pick, default, draw, random_states

SIZES = [40, 60, 90, 150, 250]
"""Numbers of random configurations, one per set of results."""
SEED, OTHER_SEED = 1, 2
CONTROL = {"num_samples": 16}
"""A changed option: a difference that the tests must find."""
LEAST_EXPECTED = 5
"""Smallest expected count of a cell in a chi-squared test; smaller cells are merged."""
TIMEOUT = 600

PValues = dict[tuple[str, str], float]
"""(parameter, test) -> p-value."""


@dataclass(frozen=True)
class Sample:
    """Picks after the same results: of the original generator, and of ours with two seeds."""

    results: Sequence[Result]
    stock: Sequence[Pick]
    same: Sequence[Pick]
    """Our picks from the random states of the original generator."""
    other: Sequence[Pick]
    """Our picks from other random states, so that the samples are independent."""


def sample(reference: Reference, n: int, progress: Progress) -> list[Sample]:
    """Draw `n` picks per set of results from both generators."""
    task = progress.add_task("sets of results", total=len(SIZES))
    samples = []
    for seed, size in enumerate(SIZES):
        told = results(SPACE, seed, size)
        request = {"space": as_json(SPACE), "results": told, "options": {}}
        request["states"] = random_states(SEED, n)
        stock = [Pick(**pick) for pick in reference.call("draw", request, TIMEOUT)]
        # Random picks do not depend on the results: one seed would give the same picks five times.
        same, other = (draw(SPACE, told, s, n, {}) for s in (SEED, OTHER_SEED + seed))
        samples.append(Sample(told, stock, same, other))
        progress.advance(task)
    return samples


def report(samples: Sequence[Sample]) -> str:
    """Write all tables of a comparison."""
    columns = {
        f"{len(sample.results)} results": p_values(
            SPACE, _of_kind("model", sample.stock), _of_kind("model", sample.other)
        )
        for sample in samples
    }
    every_stock = [pick for sample in samples for pick in sample.stock]
    every_other = [pick for sample in samples for pick in sample.other]
    columns["random picks"] = p_values(
        SPACE, _of_kind("random", every_stock), _of_kind("random", every_other)
    )
    return "\n".join(
        [
            *("**Share of model-based picks when a model exists**", ""),
            *_shares({"HpBandSter": every_stock, "hpo-bench": every_other}),
            *("", "**Picks from the same random states**", ""),
            *_equality(samples),
            *("", "**Picks from independent random states: Holm-corrected p values**", ""),
            *_distributions(columns),
            *("", _control(samples[-1])),
        ]
    )


def _shares(sides: Mapping[str, Sequence[Pick]]) -> list[str]:
    expected = 1 - default("random_fraction")
    body = []
    for side, picks in sides.items():
        kinds = Counter(pick.kind for pick in picks)
        share = kinds["model"] / len(picks)
        error = math.sqrt(share * (1 - share) / len(picks))
        body.append(
            [
                side,
                f"{len(picks)}",
                f"{kinds['model']}",
                f"{share:.4f} ± {error:.4f}",
                f"{expected:.4f}",
                f"{kinds['fallback']}",
            ]
        )
    return rows(["", "picks", "model-based", "share ± SE", "expected", "fallbacks"], body)


def _equality(samples: Sequence[Sample]) -> list[str]:
    header = ["results", "picks", "same kind", "model-based", "equal to 1e-9", "largest difference"]
    body = []
    for sample in samples:
        pairs = list(zip(sample.stock, sample.same, strict=True))
        modelled = [(a, b) for a, b in pairs if a.kind == b.kind == "model"]
        gaps = [_gap(SPACE, a, b) for a, b in modelled]
        body.append(
            [
                f"{len(sample.results)}",
                f"{len(pairs)}",
                f"{sum(a.kind == b.kind for a, b in pairs)}",
                f"{len(modelled)}",
                f"{sum(gap <= 1e-9 for gap in gaps)}",
                f"{max(gaps):.1e}",
            ]
        )
    return rows(header, body)


def _gap(space: Space, a: Pick, b: Pick) -> float:
    """Give the largest difference of a coordinate in the unit cube; infinity for other choices."""
    left, right = encode(space, a.configuration), encode(space, b.configuration)
    return max(
        math.inf
        if isinstance(space[name], CategoricalDistribution) and left[name] != right[name]
        else abs(left[name] - right[name])
        for name in left
    )


def p_values(space: Space, left: Sequence[Pick], right: Sequence[Pick]) -> PValues:
    """Test for each parameter whether two samples have the same distribution.

    Kolmogorov and Smirnov's test for numbers (conservative for integers), chi-squared for choices
    and integers.
    """
    found = {}
    for name, distribution in space.items():
        values = [[pick.configuration[name] for pick in picks] for picks in (left, right)]
        if not isinstance(distribution, CategoricalDistribution):
            found[name, "KS"] = float(ks_2samp(*values).pvalue)
        if not isinstance(distribution, FloatDistribution):
            found[name, "chi²"] = _chi_squared(*values)
    return found


def _chi_squared(left: Sequence[Any], right: Sequence[Any]) -> float:
    counts = Counter(left), Counter(right)
    table = np.array([[count[v] for count in counts] for v in sorted(counts[0] | counts[1])])
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    is_rare = expected.min(axis=1) < LEAST_EXPECTED
    merged = np.vstack([table[~is_rare], table[is_rare].sum(axis=0)])
    merged = merged[merged.sum(axis=1) > 0]
    return float(chi2_contingency(merged).pvalue) if len(merged) > 1 else 1.0


def holm(p: Sequence[float]) -> list[float]:
    """Correct p-values for multiple testing (Holm 1979)."""
    order = np.argsort(p)
    scaled = np.asarray(p)[order] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return corrected.tolist()


def _distributions(columns: Mapping[str, PValues]) -> list[str]:
    raw = [p for column in columns.values() for p in column.values()]
    tests = list(next(iter(columns.values())))
    corrected = np.reshape(holm(raw), (len(columns), len(tests)))
    body = [[f"{name}, {test}", *_shown(corrected[:, i])] for i, (name, test) in enumerate(tests)]
    smallest = f"{len(raw)} tests; the smallest p value before correction is {min(raw):.3g}."
    return [*rows(["parameter, test", *columns], body), "", smallest]


def _control(sample: Sample) -> str:
    picks = draw(SPACE, sample.results, OTHER_SEED, len(sample.other), CONTROL)
    found = p_values(SPACE, _of_kind("model", sample.stock), _of_kind("model", picks))
    option, value = next(iter(CONTROL.items()))
    return (
        f"Control: hpo-bench has {option} = {value} instead of {default(option)}. After "
        f"{len(sample.results)} results, the smallest of {len(found)} corrected p values is "
        f"{min(holm(list(found.values()))):.1e}."
    )


def _of_kind(kind: str, picks: Iterable[Pick]) -> list[Pick]:
    return [pick for pick in picks if pick.kind == kind]


def _shown(p: Iterable[float]) -> list[str]:
    return [f"{value:.3f}" for value in p]
