"""What a method's own work costs per trial, beside Optuna's random sampler."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from hpo_bench.conformance.candidates import Method
from hpo_bench.conformance.problems import NUMBERS, value_of
from hpo_bench.search import Outcome

REFERENCE = Method("optuna.samplers:RandomSampler")
SIZES = (100, 1000)
_WINDOW = 20


@dataclass(frozen=True)
class Cost:
    """Milliseconds to ask for a trial and to tell it, in a study in memory that holds `size`."""

    size: int
    milliseconds: float | None
    """Median of the last trials; None if the search or the time ended before."""
    reference: float
    """The same of Optuna's `RandomSampler`, in the same process."""


def costs(method: Method, *, sizes: Sequence[int] = SIZES, limit: float = 60.0) -> list[Cost]:
    """Measure what a trial costs in studies of several sizes, on a space of four dimensions.

    Args:
        method: What to measure.
        sizes: How many trials the study holds.
        limit: Seconds after which it is given up.
    """
    found = _medians(method, sizes, limit)
    reference = _medians(REFERENCE, sizes, limit)
    return [Cost(size, found.get(size), reference[size]) for size in sizes if size in reference]


def _medians(method: Method, sizes: Sequence[int], limit: float) -> dict[int, float]:
    """Size -> median milliseconds of the trials just before it is reached."""
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
