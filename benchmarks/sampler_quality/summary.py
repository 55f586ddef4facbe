"""What the runs say: ranks, regrets and targets reached, with bootstrap intervals.

Instances of one function are not independent, so the bootstrap draws functions (or tables) anew,
with all their instances and dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ..markdown import rows
from .problems import Problem, build
from .runs import Run

FLOOR = 1e-3  # regrets below it count as it
TARGETS = {
    "bbob": np.logspace(2, -8, 51),  # those of COCO
    "lattice": np.logspace(2, -3, 51),
    "parallel": np.logspace(2, -8, 51),
    **dict.fromkeys(["mixed", "noise", "trees"], np.logspace(0, -3, 51)),
}
RESAMPLES = 2000


@dataclass(frozen=True)
class Comparison:
    """The regrets of several methods on the same problems.

    Attributes:
        suite: Name of the suite.
        methods: Their names.
        problems: Those on which every method has run.
        budgets: Evaluations at which is compared.
        regrets: (methods, problems, budgets), not negative.
        cpu_ms: Method to the median CPU time of a proposal, in ms.
    """

    suite: str
    methods: Sequence[str]
    problems: Sequence[Problem]
    budgets: Sequence[int]
    regrets: NDArray[np.float64]
    cpu_ms: dict[str, float]

    def groups(self) -> list[str]:
        """List the groups of problems, in order."""
        return list(dict.fromkeys(problem.group for problem in self.problems))

    def only(self, group: str) -> Comparison:
        """Give the comparison on one group of problems."""
        kept = [i for i, problem in enumerate(self.problems) if problem.group == group]
        return Comparison(
            self.suite,
            self.methods,
            [self.problems[i] for i in kept],
            self.budgets,
            self.regrets[:, kept],
            self.cpu_ms,
        )

    def ranks(self) -> NDArray[np.float64]:
        """Give every method's rank per problem and budget: 0 the best, 1 the worst, ties shared."""
        ranks: NDArray[np.float64] = rankdata(np.maximum(self.regrets, FLOOR), axis=0)
        return (ranks - 1) / (len(self.methods) - 1)

    def log_regrets(self) -> NDArray[np.float64]:
        """Give log10 of the regrets."""
        return np.log10(np.maximum(self.regrets, FLOOR))

    def reached(self) -> NDArray[np.float64]:
        """Give the share of the suite's targets that was reached."""
        targets = TARGETS[self.suite]
        return np.mean(self.regrets[..., None] <= targets, axis=-1)

    def means(self, of: NDArray[np.float64]) -> NDArray[np.float64]:
        """Average over the problems: (methods, problems, budgets) to (methods, budgets)."""
        return of.mean(axis=1)

    def interval(self, of: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the 95% bootstrap interval of `means`: (2, methods, budgets)."""
        units = list(dict.fromkeys(problem.unit for problem in self.problems))
        member = np.array([[p.unit == unit for p in self.problems] for unit in units], dtype=float)
        sums = np.einsum("up,mpb->umb", member, of)
        rng = np.random.default_rng(0)
        drawn = rng.integers(len(units), size=(RESAMPLES, len(units)))
        weights = np.stack([np.bincount(draw, minlength=len(units)) for draw in drawn])
        totals = np.einsum("ru,umb->rmb", weights, sums)
        counts = weights @ member.sum(axis=1)
        interval: NDArray[np.float64] = np.percentile(
            totals / counts[:, None, None], [2.5, 97.5], axis=0
        )
        return interval


def compare(
    runs: Sequence[Run], suite: str, methods: Sequence[str] | None, budgets: Sequence[int]
) -> Comparison:
    """Compare methods, by default all that have run, on the problems that they have in common.

    Raises:
        ValueError: There are no such problems.
    """
    wanted = [r for r in runs if r.problem.startswith(f"{suite}/")]
    best: dict[str, float] = {}
    found: dict[str, dict[str, Run]] = {}
    for run in wanted:
        least = min(value for _, value in run.trace)
        best[run.problem] = min(best.get(run.problem, least), least)
        if run.budget >= max(budgets):
            found.setdefault(run.method, {})[run.problem] = run
    methods = list(found) if methods is None else list(methods)
    common = set.intersection(*(set(found.get(method, {})) for method in methods))
    names = [name for name in best if name in common]
    if not names:
        raise ValueError(f"no problem of {suite} has been run by all of: {', '.join(methods)}")
    problems = [build(name) for name in names]
    regrets = np.array(
        [
            [
                [_regret(found[m][p.name].at(budget), p, best[p.name]) for budget in budgets]
                for p in problems
            ]
            for m in methods
        ]
    )
    cpu_ms = {
        m: 1e3 * float(np.median([found[m][n].cpu_s / found[m][n].budget for n in names]))
        for m in methods
    }
    return Comparison(suite, methods, problems, budgets, regrets, cpu_ms)


def _regret(value: float, problem: Problem, best_seen: float) -> float:
    optimum = best_seen if problem.optimum is None else problem.optimum
    return max(value - optimum, 0.0) / problem.scale


def markdown(comparison: Comparison, reference: str) -> str:
    """Write the tables of a comparison; differences are those to the reference method."""
    difference = f"log10 regret less that of {reference}"
    lines = [
        f"{len(comparison.problems)} problems. Brackets: 95% bootstrap interval over "
        f"{len({p.unit for p in comparison.problems})} functions or tables.",
        "",
        *_table(comparison, "Mean normalised rank (0 best, 1 worst)", comparison.ranks()),
        *_table(
            comparison,
            f"{difference} (mean; above 0: worse than {reference})",
            _less(comparison, reference),
        ),
        *_table(comparison, "Share of targets reached (ECDF)", comparison.reached()),
        *(
            line
            for part in map(comparison.only, comparison.groups())
            for line in _table(part, f"{difference}, {part.groups()[0]}", _less(part, reference))
        ),
        *_plain(comparison, "Median regret", lambda c: np.median(c.regrets, axis=1), "{:.3g}"),
        *_plain(comparison, "Mean log10 regret", lambda c: c.means(c.log_regrets()), "{:.2f}"),
    ]
    return "\n".join(lines)


def _less(comparison: Comparison, reference: str) -> NDArray[np.float64]:
    log_regrets = comparison.log_regrets()
    difference: NDArray[np.float64] = log_regrets - log_regrets[comparison.methods.index(reference)]
    return difference


def _order(comparison: Comparison) -> list[int]:
    """Order methods by their mean rank over all budgets."""
    return list(np.argsort(comparison.means(comparison.ranks()).mean(axis=1)))


def _table(comparison: Comparison, title: str, of: NDArray[np.float64]) -> list[str]:
    means, (low, high) = comparison.means(of), comparison.interval(of)
    header = ["method", *(f"{budget}" for budget in comparison.budgets), "ms per proposal"]
    body = [
        [
            comparison.methods[m],
            *(
                f"{means[m, b]:.2f} [{low[m, b]:.2f}, {high[m, b]:.2f}]"
                for b in range(len(comparison.budgets))
            ),
            f"{comparison.cpu_ms[comparison.methods[m]]:.2f}",
        ]
        for m in _order(comparison)
    ]
    return [f"**{title}, by evaluations**", "", *rows(header, body), ""]


def _plain(
    comparison: Comparison,
    title: str,
    of: Callable[[Comparison], NDArray[np.float64]],
    style: str,
) -> list[str]:
    """Write one row per method and one column per group and budget."""
    parts = [comparison.only(group) for group in comparison.groups()]
    header = ["method"] + [
        f"{group}: {budget}" for group in comparison.groups() for budget in comparison.budgets
    ]
    figures = [of(part) for part in parts]
    body = [
        [comparison.methods[m], *(style.format(v) for values in figures for v in values[m])]
        for m in _order(comparison)
    ]
    return [f"**{title}, by group and evaluations**", "", *rows(header, body), ""]
