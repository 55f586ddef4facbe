"""Measure the cost of an evaluation without its objective, and the cost of a pick."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import Any

import optuna
from optuna.storages import BaseStorage, InMemoryStorage
from rich.progress import Progress

from hpo_bench.bridges.hpbandster import bohb
from hpo_bench.objectives import Evaluation, Objective
from hpo_bench.running.checkpoints import Checkpoints
from hpo_bench.running.crew import Crew, Post, Processes
from hpo_bench.running.tasks import Task
from hpo_bench.search import Outcome, Search, Setup
from hpo_bench.spaces import Configuration, Space
from hpo_bench.storage.opening import open_storage

from ..markdown import rows
from .data import ETA, SPACE, as_json, results
from .environment import Reference
from .ours import Pick, draw, random_states

MAX_BUDGET = ETA**2
BRACKETS = 30
OPTIONS: dict[str, dict[str, Any]] = {
    "random picks only": {"random_fraction": 1},
    "default options": {},
}
SIZES = [50, 200, 1_000]
PICKS = 50
TIMEOUT = 120

Measure = Callable[[Mapping[str, Any]], float]
"""Options of BOHB -> evaluations per second."""

Figures = dict[str, list[float]]
"""One row of a table."""


def rates(reference: Reference, workers: Sequence[int], progress: Progress) -> Figures:
    """Measure evaluations per second, with each of OPTIONS."""
    ways = {**_stock_ways(reference, workers), **_our_ways(workers)}
    found: Figures = {}
    for way in progress.track(ways, description="throughput"):
        found[way] = [ways[way](options) for options in OPTIONS.values()]
    return found


def _stock_ways(reference: Reference, workers: Sequence[int]) -> dict[str, Measure]:
    return {
        f"HpBandSter, worker processes: {count}": partial(_stock_rate, reference, count)
        for count in workers
    }


def _our_ways(workers: Sequence[int]) -> dict[str, Measure]:
    crews: dict[str, Measure] = {
        f"hpo-bench, worker processes: {count}": partial(_crew_rate, count) for count in workers
    }
    return {
        **crews,
        "hpo-bench, in process, study in memory": lambda options: _rate(InMemoryStorage(), options),
        "hpo-bench, in process, study in SQLite": _sqlite_rate,
    }


def _stock_rate(reference: Reference, workers: int, options: Mapping[str, Any]) -> float:
    request = {
        "space": as_json(SPACE),
        "options": options,
        "workers": workers,
        "max_budget": MAX_BUDGET,
        "brackets": BRACKETS,
    }
    answer = reference.call("throughput", request, TIMEOUT)
    return float(answer["evaluations"] / answer["seconds"])


def _sqlite_rate(options: Mapping[str, Any]) -> float:
    with tempfile.TemporaryDirectory() as directory:
        return _rate(open_storage(f"sqlite:///{directory}/study.db"), options)


def _rate(storage: BaseStorage, options: Mapping[str, Any]) -> float:
    study = optuna.create_study(storage=storage)
    search = bohb(Setup(study, SPACE, seed=0, max_fidelity=MAX_BUDGET), **options)
    search.prepare()
    n, started = 0, perf_counter()
    job = search.ask()
    while job.trial.user_attrs["bracket"] < BRACKETS:
        search.tell(job, Outcome(job.until, 0.0))
        n, job = n + 1, search.ask()
    return n / (perf_counter() - started)


def _crew_rate(workers: int, options: Mapping[str, Any]) -> float:
    study = optuna.create_study(storage=InMemoryStorage())
    search = bohb(Setup(study, SPACE, seed=0, max_fidelity=MAX_BUDGET), **options)
    search.prepare()
    with tempfile.TemporaryDirectory() as directory, Processes("bench") as crew:
        post = Post(NoOp, Checkpoints(Path(directory), "study", "run"), may_prune=False)
        crew.open(post, workers, timeout=None, should_stop=lambda: False)
        for _ in range(workers):  # the first tasks wait until the processes are ready
            crew.start(Task(0, {}, until=1), _Nobody())
        for _ in range(workers):
            crew.next()
        started = perf_counter()
        return _n_done_by(crew, search) / (perf_counter() - started)


def _n_done_by(crew: Crew, search: Search) -> int:
    n, out, job = 0, {}, search.ask()
    while out or job.trial.user_attrs["bracket"] < BRACKETS:
        if len(out) < crew.size and job.trial.user_attrs["bracket"] < BRACKETS:
            out[job.trial.number] = job
            crew.start(Task(job.trial.number, job.configuration, job.until), _Nobody())
            job = search.ask()
            continue
        number, work = crew.next()
        assert work is not None
        search.tell(out.pop(number), work.outcome)
        n += 1
    return n


class NoOp(Objective):
    """An objective that costs nothing."""

    max_fidelity = MAX_BUDGET

    @property
    def search_space(self) -> Space:
        """Give the space of the comparison."""
        return SPACE

    def start(self, configuration: Configuration) -> Evaluation:  # noqa: ARG002
        """Start an evaluation."""
        return _Nothing()


class _Nothing(Evaluation):
    def advance(self) -> float:
        self.fidelity += 1
        return 0.0


class _Nobody:
    def report(self, step: int, value: float) -> None:
        pass

    def should_prune(self) -> bool:
        return False


def costs(reference: Reference, progress: Progress) -> Figures:
    """Measure the CPU milliseconds of a model-based pick, after each of SIZES."""
    found: Figures = {"HpBandSter": [], "hpo-bench": []}
    options = {"random_fraction": 0}
    for size in progress.track(SIZES, description="CPU per pick"):
        told = results(SPACE, seed=0, n=size, n_budgets=1)
        request = {"space": as_json(SPACE), "results": told, "options": options}
        request["states"] = random_states(0, PICKS)
        stock = [Pick(**pick) for pick in reference.call("draw", request, TIMEOUT)]
        found["HpBandSter"].append(_milliseconds(stock))
        found["hpo-bench"].append(_milliseconds(draw(SPACE, told, 0, PICKS, options)))
    return found


def _milliseconds(picks: Sequence[Pick]) -> float:
    return 1e3 * mean(pick.cpu_s for pick in picks if pick.kind == "model")


def report(rates: Figures, costs: Figures) -> str:
    """Write both tables."""
    return "\n".join(
        [
            *("**Evaluations per second, the objective a no-op**", ""),
            *_table(OPTIONS, rates, "{:.0f}"),
            *("", "**CPU time of a model-based pick, in ms, by results on one budget**", ""),
            *_table(map(str, SIZES), costs, "{:.1f}"),
        ]
    )


def _table(columns: Iterable[str], figures: Figures, style: str) -> list[str]:
    body = [[name, *map(style.format, values)] for name, values in figures.items()]
    return rows(["", *columns], body)
