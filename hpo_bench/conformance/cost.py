"""Measure a method's own time per trial, and compare it with Optuna's random sampler."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from hpo_bench.conformance.candidates import Method
from hpo_bench.conformance.problems import NUMBERS, value_of
from hpo_bench.search import Outcome

REFERENCE = Method("optuna.samplers:RandomSampler")
"""The method that others are compared with."""
SIZES = (100, 1000)
"""Numbers of trials in the study at which the time is measured."""
_WINDOW = 20
"""Trials before each size whose median counts: single ones vary with the load of the machine."""


@dataclass(frozen=True)
class Cost:
    """Time to ask for a trial and to tell its result, in a study in memory."""

    size: int
    """Number of trials in the study."""
    milliseconds: float | None
    """Median of the last 20 trials, in ms; None if the search or the time ended before."""
    reference: float
    """The same median for Optuna's `RandomSampler` in the same process, in ms."""


def costs(method: Method, *, sizes: Sequence[int] = SIZES, limit: float = 60.0) -> list[Cost]:
    """Measure the time per trial in studies of several sizes, on a space of four dimensions.

    Args:
        method: The method to measure.
        sizes: Numbers of trials in the study, each 1 or more.
        limit: Seconds after which the measurement of one method ends.

    Returns:
        One cost for each size that the reference reaches.
    """
    found = _medians(method, sizes, limit)
    reference = _medians(REFERENCE, sizes, limit)
    return [Cost(size, found.get(size), reference[size]) for size in sizes if size in reference]


def _medians(method: Method, sizes: Sequence[int], limit: float) -> dict[int, float]:
    """Measure a method: size -> median milliseconds of the trials just before this size."""
    search = method.search(NUMBERS)
    search.prepare()
    taken: list[float] = []
    found: dict[int, float] = {}
    ends = time.perf_counter() + limit
    while len(taken) < max(sizes) and time.perf_counter() < ends:
        started = time.perf_counter()
        job = search.ask()
        asked = time.perf_counter()
        if job is None:
            break
        value = value_of(NUMBERS, job.configuration)
        job.trial.report(value, job.until)
        told = time.perf_counter()
        search.tell(job, Outcome(job.until, value))
        taken.append((asked - started) + (time.perf_counter() - told))
        if len(taken) in sizes:
            found[len(taken)] = statistics.median(taken[-_WINDOW:]) * 1000
    return found
