"""Train LeNet5 on real images and show the landscape: `run` first, then `report`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from .figure import draw
from .runs import plans, read, run_all, schedule_plans, tuned_plans
from .summary import markdown

app = typer.Typer(help=__doc__, no_args_is_help=True)

File = Annotated[Path, typer.Option(help="File of finished trainings, which are not repeated.")]
RUNS = Path(".benchmarks/lenet5-landscape.jsonl")


@app.command()
def run(
    data_dir: Annotated[str, typer.Option(help="Folder with train/<class>/* and test/<class>/*.")],
    train_size: Annotated[int, typer.Option(help="Training images of the landscape.")] = 10_000,
    schedule_size: Annotated[int, typer.Option(help="Training images of the schedules.")] = 20_000,
    runs: File = RUNS,
    workers: int = os.cpu_count() or 1,
) -> None:
    """Train everything; this takes most of an hour on one core."""
    run_all([*plans(train_size), *schedule_plans(schedule_size)], data_dir, runs, workers)
    run_all(tuned_plans(read(runs), schedule_size), data_dir, runs, workers)


@app.command()
def report(
    figure: Annotated[Path | None, typer.Option(help="File for a figure of the landscape.")] = None,
    runs: File = RUNS,
) -> None:
    """Print the tables as Markdown."""
    found = read(runs)
    print(markdown(found))
    if figure is not None:
        draw(found, figure)


if __name__ == "__main__":
    app()
