"""Is something slower than before? Two JSON files of pytest-benchmark, benchmark by benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from hpo_bench.analysis.comparisons import NO_DIFFERENCE
from hpo_bench.analysis.simultaneous import ALPHA
from hpo_bench.errors import HpoBenchError, InputError

MIN_ROUNDS = 6
"""Rounds, before and after, below which nothing is claimed."""

SLOWER, FASTER, TOO_FEW_ROUNDS = "slower", "faster", "too few rounds to say"


@dataclass(frozen=True)
class Timing:
    """One benchmark, before and after; times in seconds."""

    name: str
    before: float
    """Median over rounds, as pytest-benchmark has it."""
    after: float
    least_before: float
    """Of all rounds."""
    least_after: float
    ratio: float
    """Of the medians: above 1, it has become slower."""
    low: float | None
    """Of the ratio, 95% over all benchmarks together; None with too few rounds."""
    high: float | None
    rounds: tuple[int, int]
    verdict: str
    """Of the new one: slower, faster, no difference shown, or too few rounds to say."""


def compare_timings(old: Path, new: Path) -> list[Timing]:
    """Compare the benchmarks that two files have in common, by the medians of their rounds.

    The interval is a percentile bootstrap of the ratio of medians, wider for several benchmarks
    (Bonferroni). It knows the rounds of two runs, and not what else the machine did in each.

    Raises:
        HpoBenchError: One is no such file, or they have no benchmark in common.
    """
    before, after = _read("OLD", old), _read("NEW", new)
    shared = [name for name in before if name in after]
    if not shared:
        raise HpoBenchError(f"{old} and {new} have no benchmark in common")
    confidence = 1 - ALPHA / len(shared)
    return [_timing(name, before[name], after[name], confidence) for name in shared]


def exit_status(timings: Sequence[Timing]) -> int:
    """0: nothing is slower; 1: something is; 3: nothing is shown to be, with too few rounds."""
    verdicts = {timing.verdict for timing in timings}
    if SLOWER in verdicts:
        return 1
    return 3 if TOO_FEW_ROUNDS in verdicts else 0


def _timing(
    name: str, before: Mapping[str, Any], after: Mapping[str, Any], confidence: float
) -> Timing:
    interval = _interval(before.get("data", ()), after.get("data", ()), confidence)
    low, high = interval or (None, None)
    if low is None or high is None:
        verdict = TOO_FEW_ROUNDS
    else:
        verdict = SLOWER if low > 1 else FASTER if high < 1 else NO_DIFFERENCE
    return Timing(
        name,
        before["median"],
        after["median"],
        before["min"],
        after["min"],
        after["median"] / before["median"],
        low,
        high,
        (before["rounds"], after["rounds"]),
        verdict,
    )


def _interval(
    before: Sequence[float], after: Sequence[float], confidence: float
) -> tuple[float, float] | None:
    if min(len(before), len(after)) < MIN_ROUNDS:
        return None
    found = stats.bootstrap(
        (np.asarray(after), np.asarray(before)),
        lambda a, b, axis: np.median(a, axis=axis) / np.median(b, axis=axis),
        confidence_level=confidence,
        method="percentile",
        rng=0,
    ).confidence_interval
    return float(found.low), float(found.high)


def _read(field: str, path: Path) -> dict[str, dict[str, Any]]:
    """Name -> statistics of its rounds."""
    expected = "expected a JSON file of pytest-benchmark"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        found = {entry["fullname"]: entry["stats"] for entry in told["benchmarks"]}
        for told_stats in found.values():
            if not all(told_stats[name] > 0 for name in ("median", "min", "rounds")):
                raise ValueError("a time is not above 0")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(field, str(path), f"{expected}: {type(error).__name__}: {error}") from None
    return found
