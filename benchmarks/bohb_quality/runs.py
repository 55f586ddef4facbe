"""One run of a method on a problem, and many of them, kept in a file as they finish."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import optuna
from optuna.pruners import NopPruner

from hpo_bench.search import Job, Outcome, Setup
from hpo_bench.storage.studies import recorded

from .. import kept
from .methods import METHODS, quiet
from .problems import Problem, build


@dataclass(frozen=True)
class Run:
    """What one run gave.

    Attributes:
        method: Its name.
        problem: Its name.
        seed: Of the method and of the problem's noise.
        budget: Full trainings.
        trace: (epochs spent, value) where the incumbent changed: the configuration that looked
            best at the highest fidelity so far, and what it is truly worth, so it may get worse.
    """

    method: str
    problem: str
    seed: int
    budget: int
    trace: list[tuple[int, float]]

    def at(self, epochs: float) -> float:
        """Give the value that the incumbent had after so many epochs."""
        values = (value for spent, value in reversed(self.trace) if spent <= epochs)
        return next(values, float("inf"))

    def reaches(self, target: float) -> float:
        """Give the epochs after which the incumbent was first as good as a target; else inf."""
        return next((spent for spent, value in self.trace if value <= target), float("inf"))


def run(method: str, problem_name: str, seed: int, budget: int) -> Run:
    """Run a method until the epochs of so many full trainings are spent.

    A job that continues an earlier one is charged the further epochs only (Falkner et al. 2018,
    section 4.2, where the network can go on from a checkpoint).
    """
    quiet()
    problem = build(problem_name)
    # HyperbandPruner assigns brackets by the study's name.
    name = f"{problem_name}/{method}/{seed}"
    study = optuna.create_study(study_name=name, pruner=NopPruner())
    search = METHODS[method](Setup(study, problem.space, seed, problem.max_fidelity), problem)
    trace: list[tuple[int, float]] = []
    spent, best = 0, (0, float("inf"))
    while spent < budget * problem.max_fidelity:
        job = search.ask()
        assert job is not None
        before = recorded(job.trial).last_step or 0
        outcome = _evaluate(job, problem, seed, before)
        assert outcome.value is not None
        search.tell(job, outcome)
        spent += outcome.fidelity - before
        if (-outcome.fidelity, outcome.value) < best:
            best = (-outcome.fidelity, outcome.value)
            trace.append((spent, problem.value(job.configuration)))
    return Run(method, problem_name, seed, budget, trace)


def _evaluate(job: Job, problem: Problem, seed: int, before: int) -> Outcome:
    for epoch in range(before + 1, job.until + 1):
        value = problem.observe(job.configuration, epoch, seed)
        job.trial.report(value, epoch)
        if job.trial.should_prune():
            return Outcome(epoch, value, pruned=True)
    return Outcome(job.until, value)


def run_all(
    methods: Iterable[str],
    problems: Iterable[str],
    seeds: Iterable[int],
    budget: int,
    path: Path,
    workers: int,
) -> None:
    """Run what the file does not hold yet, and append it."""
    done = {(r.method, r.problem, r.seed) for r in read(path) if r.budget >= budget}
    wanted = ((m, p, seed) for p, seed, m in product(problems, seeds, methods))
    kept.append(path, run, [(*key, budget) for key in wanted if key not in done], workers)


def read(path: Path) -> Iterator[Run]:
    """Read the runs of a file."""
    return (Run(**fields) for fields in kept.read(path))
