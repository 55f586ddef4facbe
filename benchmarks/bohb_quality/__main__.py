"""Compare BOHB with its peers by spent epochs: `run` first, then `report`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from .figure import draw
from .methods import METHODS, quiet
from .problems import PROBLEMS
from .runs import read, run_all
from .summary import compare, markdown

app = typer.Typer(help=__doc__, no_args_is_help=True)

ALL_METHODS, ALL_PROBLEMS = ",".join(METHODS), ",".join(PROBLEMS)

Methods = Annotated[str, typer.Option(help="Of: " + ", ".join(METHODS))]
Problems = Annotated[str, typer.Option(help="Of: " + ", ".join(PROBLEMS))]
File = Annotated[Path, typer.Option(help="File of finished runs, which are not repeated.")]
Budget = Annotated[int, typer.Option(help="Budget of each run, in full trainings.")]


@app.command()
def run(
    methods: Methods = ALL_METHODS,
    problems: Problems = ALL_PROBLEMS,
    seeds: Annotated[int, typer.Option(help="Runs per method and problem.")] = 20,
    budget: Budget = 81,
    runs: File = Path(".benchmarks/bohb-quality.jsonl"),
    workers: int = os.cpu_count() or 1,
) -> None:
    """Run methods on problems."""
    run_all(methods.split(","), problems.split(","), range(seeds), budget, runs, workers)


@app.command()
def report(
    methods: Methods = ALL_METHODS,
    problems: Problems = ALL_PROBLEMS,
    budget: Budget = 81,
    budgets: Annotated[
        str, typer.Option(help="Compared budgets, in full trainings.")
    ] = "1,3,9,27,81",
    figure: Annotated[Path | None, typer.Option(help="File for the figure.")] = None,
    runs: File = Path(".benchmarks/bohb-quality.jsonl"),
) -> None:
    """Print the tables as Markdown."""
    if not runs.exists():
        raise typer.BadParameter(f"{runs} does not exist; make it with the command run")
    quiet()
    found = [r for r in read(runs) if r.budget == budget]
    comparisons = [compare(name, methods.split(","), found) for name in problems.split(",")]
    print(markdown(comparisons, [int(n) for n in budgets.split(",")]))
    if figure is not None:
        draw(comparisons, figure)


if __name__ == "__main__":
    app()
