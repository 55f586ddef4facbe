"""The command line itself: what its commands share, and how it ends."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import optuna
import typer
from rich.console import Console

import hpo_bench
from hpo_bench.errors import HpoBenchError

app = typer.Typer(
    help="Measure how to search: hyperparameter optimization methods on the same objective, "
    "with the same budget, seeds and storage.",
    epilog="Start with:  hpo-bench run quickstart",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; what the user can put right is told without a traceback."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        app(prog_name="hpo-bench")  # also as `python -m hpo_bench`; completion goes by it
    except HpoBenchError as error:
        Console(stderr=True).print(f"error: {error}", style="red", highlight=False, markup=False)
        sys.exit(2)


def _version(asked: bool) -> None:
    if asked:
        print(f"hpo-bench {hpo_bench.__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def make_console(stderr: bool = False) -> Console:
    """Make what is printed with: on the standard output, or on the standard error."""
    # A pipe has no width: leave the table room instead of folding it to 80 columns.
    is_bounded = (sys.stderr if stderr else sys.stdout).isatty() or "COLUMNS" in os.environ
    return Console(stderr=stderr, width=None if is_bounded else 120)
