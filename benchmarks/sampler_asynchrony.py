"""Measure the gain of asking whenever a worker is free, instead of generation by generation.

Workers are simulated: a trial lasts a random time, and a method knows finished trials only. The
unit of time is the mean duration of a trial. A search ends when workers that never wait would have
evaluated the budget.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import optuna
import typer
from optuna.trial import Trial
from rich.console import Console
from rich.progress import track

from .sampler_quality.methods import SAMPLERS, quiet
from .sampler_quality.problems import build
from .sampler_quality.summary import FLOOR

SIGMA = 0.75  # of the logarithm of a duration; the longest of 16 takes about three times the mean


@dataclass(frozen=True)
class Setting:
    """Settings of one cell of the table."""

    method: str
    in_generations: bool
    workers: int


@dataclass(frozen=True)
class Outcome:
    """The number of trials that finished in time, and the best value."""

    n_evaluations: int
    log_regret: float


def simulate(setting: Setting, problem_name: str, budget: int) -> Outcome:
    """Search a problem for the time in which workers that never wait evaluate `budget` trials."""
    quiet()
    problem = build(problem_name)
    seed = int(problem_name.rsplit("/", 1)[1])
    study = optuna.create_study(sampler=SAMPLERS[setting.method](problem.space, seed))
    durations = _durations(seed)
    now, deadline = 0.0, budget / setting.workers
    running: list[tuple[float, int, Trial]] = []
    waiting: list[Trial] = []  # finished trials that wait for the rest of their generation
    generation = setting.workers if setting.in_generations else 1
    best, n = np.inf, 0
    while now <= deadline:
        while len(running) < setting.workers and (not setting.in_generations or not waiting):
            trial = study.ask(dict(problem.space))
            heapq.heappush(running, (now + next(durations), trial.number, trial))
        now, _, trial = heapq.heappop(running)
        waiting.append(trial)
        if now <= deadline:
            n += 1
            best = min(best, problem.value(trial.params))
        if len(waiting) == generation:
            for finished in waiting:
                study.tell(finished, problem.value(finished.params))
            waiting.clear()
    assert problem.optimum is not None
    return Outcome(n, float(np.log10(max(best - problem.optimum, FLOOR))))


def _durations(seed: int) -> Iterator[float]:
    rng = np.random.default_rng([seed, 0xD0])
    while True:
        yield float(rng.lognormal(-(SIGMA**2) / 2, SIGMA))


def main(
    methods: Annotated[str, typer.Option(help="Of: " + ", ".join(SAMPLERS))] = (
        "pso,optuna-cmaes,optuna-tpe,random"
    ),
    workers: Annotated[str, typer.Option(help="Simulated ones.")] = "1,4,16",
    budget: Annotated[int, typer.Option(help="Evaluations, if no worker ever waited.")] = 200,
    dimension: Annotated[int, typer.Option(help="Of BBOB's 24 functions.")] = 5,
    instances: Annotated[int, typer.Option(help="Of each function, with a seed each.")] = 3,
    processes: Annotated[int, typer.Option(help="Real ones.")] = os.cpu_count() or 1,
) -> None:
    """Print a Markdown table of evaluations finished and mean log10 regret when time is up."""
    problems = [
        f"bbob/f{function:02}-d{dimension}/{instance}"
        for function in range(1, 25)
        for instance in range(1, instances + 1)
    ]
    columns = [int(w) for w in workers.split(",")]
    rows = [(m, generations) for m in methods.split(",") for generations in (False, True)]
    print(f"| method | told | {' | '.join(f'{w} workers' for w in columns)} |")
    print(f"| --- | --- |{' ---: |' * len(columns)}")
    with ProcessPoolExecutor(processes) as pool:
        for method, in_generations in rows:
            cells = []
            for w in track(columns, method, console=Console(stderr=True), transient=True):
                setting, n = Setting(method, in_generations, w), len(problems)
                outcomes = list(pool.map(simulate, [setting] * n, problems, [budget] * n))
                done = np.mean([outcome.n_evaluations for outcome in outcomes])
                regret = np.mean([outcome.log_regret for outcome in outcomes])
                cells.append(f"{done / budget:.0%}, {regret:.2f}")
            told = "generation by generation" if in_generations else "at once"
            print(f"| {method} | {told} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
