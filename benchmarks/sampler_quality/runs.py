"""One run of a method on a problem, and many of them, kept in a file as they finish."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from .. import kept
from .methods import METHODS, BudgetSpentError, quiet
from .problems import build


@dataclass(frozen=True)
class Run:
    """What one run gave.

    Attributes:
        method: Its name.
        problem: Its name.
        budget: Evaluations.
        trace: (evaluation, value) where the incumbent changed; the value is the expected one of
            the configuration that looked best, so on a noisy problem it may rise.
        cpu_s: CPU time of the method itself, without that of the evaluations.
    """

    method: str
    problem: str
    budget: int
    trace: list[tuple[int, float]]
    cpu_s: float

    def at(self, evaluations: int) -> float:
        """Give the value that the incumbent had after so many evaluations."""
        return next(value for number, value in reversed(self.trace) if number <= evaluations)


def run(method: str, problem_name: str, budget: int) -> Run:
    """Run a method on a problem; the instance is the seed.

    `random-2x` has twice the budget: two of its evaluations count as one.
    """
    quiet()
    problem = build(problem_name)
    trace: list[tuple[int, float]] = []
    best, n, evaluating = float("inf"), 0, 0.0
    per_count = 2 if method == "random-2x" else 1
    most = per_count * budget

    def observe(params: Mapping[str, Any]) -> float:
        nonlocal best, n, evaluating
        if n == most:
            raise BudgetSpentError
        started = time.process_time()
        value = problem.observe(params)
        n += 1
        if value < best or not trace:
            best = value
            trace.append((-(-n // per_count), problem.value(params)))
        evaluating += time.process_time() - started
        return value

    started = time.process_time()
    with contextlib.suppress(BudgetSpentError):
        METHODS[method](problem, observe, most, int(problem_name.rsplit("/", 1)[1]))
    cpu_s = time.process_time() - started - evaluating
    if n != most:
        raise RuntimeError(f"{method} ended on {problem_name} after {n} of {most} evaluations")
    return Run(method, problem_name, budget, trace, cpu_s)


def run_all(
    methods: Iterable[str], problems: Iterable[str], budget: int, path: Path, workers: int
) -> None:
    """Run what the file does not hold yet, and append it."""
    done = {(r.method, r.problem) for r in read(path) if r.budget >= budget}
    todo = [(m, p, budget) for m, p in product(methods, problems) if (m, p) not in done]
    kept.append(path, run, todo, workers)


def read(path: Path) -> Iterator[Run]:
    """Read the runs of a file."""
    return (Run(**fields) for fields in kept.read(path))
