"""Summarise the runs: epochs to the quality of random search, and regrets by spent epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..markdown import rows
from .problems import Problem, build
from .runs import Run

Figures = NDArray[np.float64]

BASELINE = "random"
RESAMPLES = 2000


@dataclass(frozen=True)
class Comparison:
    """The runs of several methods on one problem, with the same seeds.

    Attributes:
        name: Name of the problem.
        budget: Budget of each run, in full trainings.
        runs: Method -> its runs, in the order of the seeds.
    """

    name: str
    budget: int
    runs: dict[str, list[Run]]

    @property
    def problem(self) -> Problem:
        """The problem."""
        return build(self.name)

    @property
    def epochs(self) -> int:
        """Epochs that each run spends."""
        return self.budget * self.problem.max_fidelity

    @property
    def n_seeds(self) -> int:
        """Number of runs per method."""
        return len(self.runs[BASELINE])

    def target(self) -> float:
        """Give the median final value of random search."""
        return float(np.median([run.at(self.epochs) for run in self.runs[BASELINE]]))

    def efforts(self, method: str) -> Figures:
        """Give each run's epochs to the target, divided by the budget; infinity if it is missed."""
        target = self.target()
        return np.array([run.reaches(target) / self.epochs for run in self.runs[method]])

    def regrets(self, method: str, budgets: Sequence[float]) -> Figures:
        """Give the regrets, (runs, budgets): 0 at the optimum, 1 at the random median and above.

        Args:
            method: Name of the method.
            budgets: Budgets in full trainings.
        """
        full, optimum, scale = self.problem.max_fidelity, self.problem.optimum, self.problem.scale
        values = [[run.at(budget * full) for budget in budgets] for run in self.runs[method]]
        return np.clip((np.array(values) - optimum) / scale, 0, 1)


def compare(problem: str, methods: Sequence[str], runs: Sequence[Run]) -> Comparison:
    """Compare methods on a problem, by the seeds that all of them and random search have run.

    Raises:
        ValueError: There are no such seeds.
    """
    found: dict[str, dict[int, Run]] = {method: {} for method in [*methods, BASELINE]}
    for run in runs:
        if run.problem == problem and run.method in found:
            found[run.method][run.seed] = run
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in found.values())))
    if not seeds:
        raise ValueError(f"{problem} has not been run by all of: {', '.join(found)}")
    chosen = {method: [by_seed[seed] for seed in seeds] for method, by_seed in found.items()}
    return Comparison(problem, chosen[BASELINE][0].budget, chosen)


def expected_effort(efforts: Figures) -> float:
    """Give the expected running time: the total effort divided by the number of successes.

    It is the mean effort of independent restarts. Source: Hansen et al. 2021,
    "COCO: a platform for comparing continuous optimizers in a black-box setting", section 4.2.
    """
    reached = np.isfinite(efforts).sum()
    return float(np.minimum(efforts, 1).sum() / reached) if reached else float("inf")


def interval(figures: Figures) -> Figures:
    """Give the 95% bootstrap interval of the mean over the runs: (2, budgets)."""
    drawn = np.random.default_rng(0).integers(len(figures), size=(RESAMPLES, len(figures)))
    return np.percentile(figures[drawn].mean(axis=1), [2.5, 97.5], axis=0)


def markdown(comparisons: Sequence[Comparison], budgets: Sequence[int]) -> str:
    """Write the tables of all problems."""
    first = comparisons[0]
    lines = [
        f"{first.n_seeds} seeds; brackets: 95% bootstrap interval of the mean over seeds.",
        "",
        f"**Epochs to the median final value of random search with {first.budget} full trainings, "
        "as a share of its epochs: median over seeds; expected running time; successful runs**",
        "",
        *_efforts(comparisons),
        *(line for comparison in comparisons for line in _regrets(comparison, budgets)),
        *_difference(comparisons, budgets, "bohb", "hyperband"),
    ]
    return "\n".join(lines)


def _efforts(comparisons: Sequence[Comparison]) -> list[str]:
    header = ["method", *(comparison.name for comparison in comparisons)]
    body = [
        [method, *(_effort(comparison.efforts(method)) for comparison in comparisons)]
        for method in comparisons[0].runs
    ]
    return [*rows(header, body), ""]


def _effort(efforts: Figures) -> str:
    # The upper median, because the mean of a success and a miss (infinity) means nothing.
    median = float(np.quantile(efforts, 0.5, method="higher"))
    shown = f"{median:.2f}" if np.isfinite(median) else "> 1"
    reached = np.isfinite(efforts).sum()
    return f"{shown}; {expected_effort(efforts):.2f}; {reached}/{len(efforts)}"


def _regrets(comparison: Comparison, budgets: Sequence[int]) -> list[str]:
    header = ["method", *map(str, budgets)]
    body = [[method, *_cells(comparison.regrets(method, budgets))] for method in comparison.runs]
    title = "Mean normalised regret by full trainings' worth of epochs"
    return [f"**{title}: {comparison.name}**", "", *rows(header, body), ""]


def _difference(
    comparisons: Sequence[Comparison], budgets: Sequence[int], one: str, other: str
) -> list[str]:
    header = ["problem", *map(str, budgets)]
    body = [
        [c.name, *_cells(c.regrets(one, budgets) - c.regrets(other, budgets))]
        for c in comparisons
        if {one, other} <= set(c.runs)
    ]
    title = f"Normalised regret of {one} minus that of {other} (mean; below 0: {one} is better)"
    return [f"**{title}**", "", *rows(header, body), ""]


def _cells(figures: Figures) -> list[str]:
    low, high = interval(figures)
    return [
        f"{m:.3f} [{a:.3f}, {b:.3f}]"
        for m, a, b in zip(figures.mean(axis=0), low, high, strict=True)
    ]
