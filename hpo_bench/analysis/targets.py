"""Fixed targets: what it costs to reach a value, and how often it is reached.

Expected running time and empirical distributions are those of COCO (Hansen et al. 2016, "COCO:
Performance Assessment"), without its simulated restarts: a run that misses a target has missed it.
Cost is counted in full evaluations' worth of epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from hpo_bench.analysis.curves import thinned
from hpo_bench.analysis.history import Array, History, budget_factor
from hpo_bench.analysis.intervals import CONFIDENCE, MIN_SEEDS, band

AXIS = "epochs"

ONE_IN = (2, 5, 10, 20, 50, 100)
"""Targets of the table: what one random configuration in so many reaches."""

REACHED = "target reached"
"""Why a run ended that its budget's target ended."""

PENALTY = 2
"""By which the cost of a run that missed a target is multiplied, as usual for solvers (PAR-2)."""

N_TARGETS = 51
"""Targets of the distributions, as many as COCO has."""


@dataclass(frozen=True)
class Reached:
    """How a method fares with one target."""

    method: str
    target: float
    expected: float | None
    """Expected running time: all that its runs have spent until the target or their end, divided
    by the number of successes; None if there is none."""
    expected_low: float
    """Of the expected running time, 95%."""
    expected_high: float | None
    """None without a success: there is no upper end."""
    successes: int
    runs: int
    low: float | None
    """Of the success rate, 95% (Wilson); None with too few runs."""
    high: float | None


@dataclass(frozen=True)
class Distribution:
    """The share of (run, target) pairs that a method has reached by a cost."""

    method: str
    x: Array
    share: Array
    low: Array | None
    """Of the share at each cost, 95% over runs; None with too few runs."""
    high: Array | None
    runs: int


def from_random(histories: Sequence[History]) -> dict[int, float]:
    """Targets of the table from random search's own evaluations: one in so many -> value.

    Only what the evaluations can tell is asked of them: one in twenty takes at least twenty.
    Empty if the suite has no random search.
    """
    values = _random_values(histories)
    return {many: _one_in(many, values, histories) for many in ONE_IN if many <= len(values)}


def spread_from_random(histories: Sequence[History]) -> list[float]:
    """Targets of the distributions: from one in two to one in all, evenly in the logarithm."""
    values = _random_values(histories)
    if len(values) < 2:
        return []
    many = np.geomspace(2, len(values), N_TARGETS)
    return sorted({_one_in(m, values, histories) for m in many})


def reached(runs: Sequence[History], target: float) -> Reached:
    """Count what a method's runs (at least one) have spent on a target."""
    costs = [cost_of(run, target) for run in runs]
    hits = [cost for cost in costs if np.isfinite(cost)]
    misses = [_total(run) for run, cost in zip(runs, costs, strict=True) if not np.isfinite(cost)]
    low, high = _wilson(len(hits), len(runs))
    spent = sum(hits) + sum(misses)
    expected_low, expected_high = expected_ends(spent, len(hits))
    return Reached(
        method=runs[0].method,
        target=target,
        expected=spent / len(hits) if hits else None,
        expected_low=expected_low,
        expected_high=expected_high,
        successes=len(hits),
        runs=len(runs),
        low=low,
        high=high,
    )


def expected_ends(spent: float, hits: int) -> tuple[float, float | None]:
    """Give the ends of the 95% interval of an expected running time.

    With all that was spent s, h hits and quantiles q of the chi-squared distribution, they are
    2 s / q(0.975; 2 h + 2) and 2 s / q(0.025; 2 h). They are made for the running times of random
    draws, whose chance of success does not change, and are too wide where a search is more regular.

    Source: Epstein and Sobel 1953, "Life Testing", for tests that end at a fixed time.
    """
    tail = (1 - CONFIDENCE) / 2
    low = 2 * spent / special.chdtri(2 * hits + 2, tail)
    return float(low), float(2 * spent / special.chdtri(2 * hits, 1 - tail)) if hits else None


def stopped_at(histories: Sequence[History]) -> float | None:
    """Give the target that ended runs of a suite; None if it has none, or no run reached it.

    Final values say nothing then: a run that reached the target at once had no more to do.
    """
    if not any(history.reason == REACHED for history in histories):
        return None
    budgets = (history.attributes.get("budget", {}) for history in histories)
    return next((b["target"] for b in budgets if b.get("target") is not None), None)


def is_within(target: float, stop: float | None, *, maximise: bool) -> bool:
    """Whether runs that ended at a target could have reached another one."""
    return stop is None or (target <= stop if maximise else target >= stop)


def running_times(histories: Sequence[History], target: float) -> dict[str, dict[int, float]]:
    """What each run spent until a target, and twice what it spent in vain if it missed it (PAR-2).

    Returns:
        Method -> seed -> full evaluations' worth of epochs. Less is better.
    """
    times: dict[str, dict[int, float]] = {}
    for run in histories:
        cost = cost_of(run, target)
        penalised = cost if np.isfinite(cost) else PENALTY * _total(run)
        times.setdefault(run.method, {})[run.seed] = penalised
    return times


def cost_of(run: History, target: float) -> float:
    """What a run had spent when its incumbent first reached a target; infinity if never."""
    sign = 1 if run.maximise else -1
    with np.errstate(invalid="ignore"):
        hit = np.flatnonzero(sign * run.incumbents >= sign * target)
    return float(run.spent(AXIS)[hit[0]]) if hit.size else np.inf


def distribution(runs: Sequence[History], targets: Sequence[float], x: Array) -> Distribution:
    """Share of the targets that a method's runs (at least one) have reached by each cost in `x`."""
    costs = np.array([[cost_of(run, target) for target in targets] for run in runs])
    shares = (costs[:, :, None] <= x).mean(axis=1)
    low, high = (np.clip(edge, 0, 1) for edge in found) if (found := band(shares)) else (None, None)
    return Distribution(runs[0].method, x, shares.mean(axis=0), low, high, len(runs))


def distributions(groups: dict[str, list[History]], targets: Sequence[float]) -> list[Distribution]:
    """Every method's distribution over the same targets; none without targets."""
    if not targets:
        return []
    x = costs_until([run for runs in groups.values() for run in runs])
    return [distribution(runs, targets, x) for runs in groups.values()]


def costs_until(histories: Sequence[History]) -> Array:
    """Costs at which something can change, from 0 to the end of the longest run."""
    spent = [history.spent(AXIS) for history in histories]
    return thinned(np.unique(np.concatenate([[0.0], *spent])))


def _random_values(histories: Sequence[History]) -> Array:
    """Full evaluations of random search, the failed ones left out."""
    runs = [history.values for history in plain_random(histories)]
    values = np.concatenate(runs) if runs else np.empty(0)
    return values[~np.isnan(values)]


def plain_random(histories: Sequence[History]) -> list[History]:
    """The runs of random search with the suite's budget; of one, where a suite has several.

    Others with the same seeds, or with a larger budget, make the same draws: none must count twice.
    """
    runs = [h for h in histories if is_random(h) and budget_factor(h) == 1]
    return [run for run in runs if run.method == runs[0].method]


def is_random(history: History) -> bool:
    """Whether a run is random search's, under whatever name the suite has it.

    With a pruner it is not: what survives is no longer drawn at random. Nor is it with a
    proportion, which draws from a grid.
    """
    told = history.attributes
    named = str(told.get("method", history.method))
    is_sample = "proportion" in (told.get("method_options") or {})
    is_plain = told.get("pruner") is None and not is_sample
    return is_plain and (named == "random" or named.endswith(":RandomSampler"))


def _one_in(many: float, values: Array, histories: Sequence[History]) -> float:
    share = 1 - 1 / many if histories[0].maximise else 1 / many
    # A value that was seen, so that it can be reached exactly.
    method = "higher" if histories[0].maximise else "lower"
    return float(np.quantile(values, share, method=method))  # type: ignore[call-overload]


def _total(run: History) -> float:
    spent = run.spent(AXIS)
    return float(spent[-1]) if spent.size else 0.0


def _wilson(successes: int, n: int) -> tuple[float | None, float | None]:
    if n < MIN_SEEDS:
        return None, None
    interval = stats.binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)
