"""Run methods on problems, and keep finished runs in a file."""

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
    """The result of one run.

    Attributes:
        method: Name of the method.
        problem: Name of the problem.
        seed: Seed of the method and of the problem's noise.
        budget: Budget in full trainings.
        trace: (spent epochs, value) at each change of the incumbent: the configuration with the
            best observed value at the highest fidelity so far. The value is its expected value,
            which can get worse.
    """

    method: str
    problem: str
    seed: int
    budget: int
    trace: list[tuple[int, float]]

    def at(self, epochs: float) -> float:
        """Give the value of the incumbent after a number of epochs."""
        values = (value for spent, value in reversed(self.trace) if spent <= epochs)
        return next(values, float("inf"))

    def reaches(self, target: float) -> float:
        """Give the epochs until the incumbent reaches a target; infinity if it never does."""
        return next((spent for spent, value in self.trace if value <= target), float("inf"))


def run(method: str, problem_name: str, seed: int, budget: int) -> Run:
    """Run a method until it has spent the epochs of `budget` full trainings.

    A job that continues an earlier one costs the additional epochs only (Falkner et al. 2018,
    section 4.2, for networks that continue from a checkpoint).
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
    """Do the runs that the file does not contain, and append them."""
    done = {(r.method, r.problem, r.seed) for r in read(path) if r.budget >= budget}
    wanted = ((m, p, seed) for p, seed, m in product(problems, seeds, methods))
    kept.append(path, run, [(*key, budget) for key in wanted if key not in done], workers)


def read(path: Path) -> Iterator[Run]:
    """Read the runs of a file."""
    return (Run(**fields) for fields in kept.read(path))
