"""What it is worth to continue promoted trainings: at equal epochs, on recorded learning curves.

Hyperband and ASHA of this package over three samplers; Optuna's `HyperbandPruner` with the same
samplers; BOHB; and the same Hyperband and ASHA whose promoted trainings start again, as for an
objective without checkpoints. Regret: of the configuration that looked best after full training,
by the mean of its recorded trainings; 0 for the best configuration on the table and 1 for the
median one. Differences are paired by seed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import optuna
import typer
from optuna.pruners import NopPruner
from optuna.study import StudyDirection

from hpo_bench import methods
from hpo_bench.analysis.intervals import estimate
from hpo_bench.objectives.table import Table
from hpo_bench.search import Job, Outcome, Setup
from hpo_bench.spaces import Configuration
from hpo_bench.storage.studies import recorded

from . import kept
from .markdown import rows

TABLES = {"lenet5-cifar10-table": (108, 324), "lenet5-shapes": (54, 108)}
"""Table -> the epochs after which regrets are told; a full training has 9."""

SAMPLERS = ("random", "tpe", "pso")
SWARM = {"swarm_size": 4}
"""The default would spend such budgets before its swarm moves."""


def _own(schedule: str, sampler: str) -> dict[str, Any]:
    options = {"sampler": sampler, "sampler_options": SWARM if sampler == "pso" else {}}
    return {"target": schedule, "options": options}


def _pruned(sampler: str) -> dict[str, Any]:
    return {
        "target": sampler,
        "options": SWARM if sampler == "pso" else {},
        "pruner": "optuna.pruners:HyperbandPruner",
        "pruner_options": {"min_resource": 1, "max_resource": 9, "reduction_factor": 3},
    }


CONTINUED = {f"{s}-{p}": _own(s, p) for s, p in product(("hyperband", "asha"), SAMPLERS)}
PRUNED = {f"pruner-{sampler}": _pruned(sampler) for sampler in SAMPLERS}
METHODS = {**CONTINUED, **PRUNED, "bohb": {"target": "bohb", "options": {}}}
RESTARTED = {f"{name}-restarted": name for name in CONTINUED}
"""Methods whose promoted trainings start again -> what they are otherwise."""


@dataclass(frozen=True)
class Found:
    """What one run has come to."""

    table: str
    method: str
    seed: int
    regrets: list[float]
    """After each budget of the table."""


def search(table: str, method: str, seed: int) -> Found:
    """Run one method once."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    objective = Table(table, seed=seed)
    # HyperbandPruner assigns brackets by the study's name.
    name = f"{table}/{method}/{seed}"
    study = optuna.create_study(
        study_name=name, direction=objective.directions[0], pruner=NopPruner()
    )
    setup = Setup(study, objective.search_space, seed, objective.max_fidelity)
    made = methods.build(method, setup, **METHODS[RESTARTED.get(method, method)])
    sign = -1 if objective.directions[0] is StudyDirection.MAXIMIZE else 1
    spent, looks, best = 0, np.inf, None
    trace: list[tuple[int, Configuration | None]] = []
    while spent < TABLES[table][-1]:
        job = made.ask()
        assert job is not None
        before = recorded(job.trial).last_step or 0
        outcome = _evaluate(job, objective, before)
        assert outcome.value is not None
        made.tell(job, outcome)
        spent += outcome.fidelity - (0 if method in RESTARTED else before)
        if outcome.fidelity == objective.max_fidelity and sign * outcome.value < looks:
            looks, best = sign * outcome.value, job.configuration
        trace.append((spent, best))
    regrets = []
    for budget in TABLES[table]:
        within = [found for epochs, found in trace if epochs <= budget]
        regrets.append(_regret(within[-1], objective))
    return Found(table, method, seed, regrets)


def _evaluate(job: Job, objective: Table, before: int) -> Outcome:
    evaluation = objective.start(job.configuration)
    value = float("nan")
    while evaluation.fidelity < job.until:
        value = evaluation.advance()
        if evaluation.fidelity > before:
            job.trial.report(value, evaluation.fidelity)
            if evaluation.fidelity < job.until and job.trial.should_prune():
                return Outcome(evaluation.fidelity, value, pruned=True)
    return Outcome(job.until, value)


def _regret(configuration: Configuration | None, objective: Table) -> float:
    """0 for the best configuration on the table, 1 for the median one; nothing is the worst."""
    sign = -1 if objective.directions[0] is StudyDirection.MAXIMIZE else 1
    worth = sign * np.nanmean(objective.trainings.values[:, :, -1], axis=1)
    found = worth.max()
    if configuration is not None:
        key, _ = objective.locate(configuration)
        found = worth[objective.trainings.rows[key]]
    return float((found - worth.min()) / (np.median(worth) - worth.min()))


def main(
    runs: Annotated[Path, typer.Option(help="Where runs are kept; those there are not repeated.")],
    seeds: Annotated[int, typer.Option(min=6, help="Runs of each method on each table.")] = 30,
    processes: Annotated[int, typer.Option(help="How many work at the same time.")] = (
        os.cpu_count() or 1
    ),
) -> None:
    """Print Markdown tables: regrets, and paired differences of them."""
    done = {(run["table"], run["method"], run["seed"]) for run in kept.read(runs)}
    cells = product(TABLES, range(seeds), [*METHODS, *RESTARTED])
    todo = [(table, name, seed) for table, seed, name in cells if (table, name, seed) not in done]
    kept.append(runs, search, todo, processes)
    found = {(run["table"], run["method"], run["seed"]): run["regrets"] for run in kept.read(runs)}
    print(f"{seeds} seeds; means with 95% intervals.")
    _print("Regret", found, seeds, dict.fromkeys([*METHODS, *RESTARTED]))
    pruned = {name: f"pruner-{name.rpartition('-')[2]}" for name in CONTINUED}
    _print("Regret beyond Optuna's pruner with the same sampler", found, seeds, pruned)
    _print("Regret beyond BOHB", found, seeds, dict.fromkeys(CONTINUED, "bohb"))
    restarted = {name: again for again, name in RESTARTED.items()}
    _print("Regret beyond the same, restarted", found, seeds, restarted)


def _print(
    title: str,
    found: Mapping[tuple[str, str, int], Sequence[float]],
    seeds: int,
    compared: Mapping[str, str | None],
) -> None:
    """Print a row for each method: its regrets, less those of what it is compared with, if any."""
    body = []
    for name, rival in compared.items():
        cells = []
        for table, place in _columns():
            values = [found[table, name, seed][place] for seed in range(seeds)]
            if rival is not None:
                theirs = (found[table, rival, seed][place] for seed in range(seeds))
                values = [one - two for one, two in zip(values, theirs, strict=True)]
            cells.append(_told(values, ".3f" if rival is None else "+.3f"))
        body.append([name, *cells])
    header = [f"{table}, {TABLES[table][place]} epochs" for table, place in _columns()]
    print(f"\n**{title}**\n")
    print("\n".join(rows(["method", *header], body)))


def _columns() -> Iterator[tuple[str, int]]:
    """Every table and the place of every budget of it."""
    return ((table, place) for table, budgets in TABLES.items() for place in range(len(budgets)))


def _told(values: Sequence[float], form: str) -> str:
    made = estimate(values)
    assert made is not None
    return f"{made.mean:{form}} [{made.low:{form}}, {made.high:{form}}]"


if __name__ == "__main__":
    typer.run(main)
