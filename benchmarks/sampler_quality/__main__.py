"""Measure the quality of the samplers beside their peers: `run` first, then `report`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from .figure import draw
from .methods import METHODS
from .runs import read, run_all
from .sets import DEVELOPMENT, suite
from .summary import compare, markdown

app = typer.Typer(help=__doc__, no_args_is_help=True)

Suite = Annotated[
    str, typer.Option("--suite", help="bbob, lattice, mixed, noise, trees or parallel.")
]
File = Annotated[Path, typer.Option(help="Where the runs are kept; what is there is not repeated.")]


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


@app.command()
def run(
    suite_name: Suite = "bbob",
    methods: Annotated[str, typer.Option(help="Of: " + ", ".join(METHODS))] = "pso,random",
    which: Annotated[str, typer.Option("--set", help="development or held-out.")] = DEVELOPMENT,
    quick: Annotated[bool, typer.Option(help="A part that two cores run in minutes.")] = False,
    budget: Annotated[int, typer.Option(help="Evaluations.")] = 200,
    runs: File = Path(".benchmarks/sampler-quality.jsonl"),
    workers: int = os.cpu_count() or 1,
) -> None:
    """Run methods on the problems of a suite."""
    problems = suite(suite_name, which, quick=quick)
    run_all(methods.split(","), problems, budget, runs, workers)


@app.command()
def report(
    suite_name: Suite = "bbob",
    methods: Annotated[str, typer.Option(help="All that have run, if not given.")] = "",
    reference: Annotated[str, typer.Option(help="What the others are compared with.")] = "pso",
    budgets: Annotated[str, typer.Option(help="Evaluations to compare at.")] = "25,50,100,200",
    figure: Annotated[Path | None, typer.Option(help="Draw the targets reached into it.")] = None,
    runs: File = Path(".benchmarks/sampler-quality.jsonl"),
) -> None:
    """Print the tables of a suite as Markdown."""
    if not runs.exists():
        raise typer.BadParameter(f"{runs} does not exist; make it with the command run")
    found, chosen = list(read(runs)), methods.split(",") if methods else None
    comparison = compare(found, suite_name, chosen, _numbers(budgets))
    print(markdown(comparison, reference))
    if figure is not None:
        steps = [int(n) for n in 10 ** np.arange(0, np.log10(max(comparison.budgets)), 0.1)]
        draw(compare(found, suite_name, chosen, sorted({*steps, *comparison.budgets})), figure)


if __name__ == "__main__":
    app()
