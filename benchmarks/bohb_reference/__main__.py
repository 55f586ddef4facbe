"""Check that the method `bohb` is HpBandSter's BOHB, and measure the cost of each.

The first command that needs the original HpBandSter installs it into a separate environment, on
Python 3.11.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import optuna
import typer
from rich.console import Console
from rich.progress import Progress

from . import picks as picking
from . import throughput as timing
from .environment import Reference, StockError, build

app = typer.Typer(help=__doc__, no_args_is_help=True)

Environment = Annotated[Path, typer.Option(help="Folder of HpBandSter's environment.")]
ENVIRONMENT = Path(".benchmarks/hpbandster-reference")


@contextmanager
def _reference(environment: Path) -> Iterator[tuple[Reference, Progress]]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    console = Console(stderr=True)
    try:
        with console.status(f"installing HpBandSter into {environment}"):
            build(environment)
        with Progress(console=console, transient=True) as progress:
            yield Reference(environment), progress
    except StockError as error:
        console.print(f"Error: {error}", markup=False)
        raise typer.Exit(1) from error


@app.command()
def environment(environment: Environment = ENVIRONMENT) -> None:
    """Make the environment, if it does not exist."""
    with _reference(environment):
        pass


@app.command()
def picks(
    n: Annotated[int, typer.Option(help="Picks per set of results.")] = 1_600,
    environment: Environment = ENVIRONMENT,
) -> None:
    """Compare the picks of both generators after the same results."""
    with _reference(environment) as (reference, progress):
        samples = picking.sample(reference, n, progress)
    print(picking.report(samples))


@app.command()
def throughput(
    workers: Annotated[str, typer.Option(help="Numbers of worker processes.")] = "1,2,4",
    environment: Environment = ENVIRONMENT,
) -> None:
    """Measure evaluations per second of an objective that costs nothing, and CPU time per pick."""
    counts = [int(count) for count in workers.split(",")]
    with _reference(environment) as (reference, progress):
        rates = timing.rates(reference, counts, progress)
        costs = timing.costs(reference, progress)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end\n")
    print(timing.report(rates, costs))


if __name__ == "__main__":
    app()
