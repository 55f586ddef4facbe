"""The command line itself: what its commands share, and how it ends."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import optuna
import typer
from rich.console import Console
from rich.table import Column, Table

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
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What cannot be written (± in ASCII) shows as its code; standard error does so anyway.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="hpo-bench")  # also as `python -m hpo_bench`; completion goes by it
    except HpoBenchError as error:
        say(f"error: {error}", stderr=True, style="red")
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
    stream = sys.stderr if stderr else sys.stdout
    is_terminal = stream is not None and stream.isatty()
    is_bounded = is_terminal or os.environ.get("COLUMNS", "").isdigit()
    return Console(stderr=stderr, width=None if is_bounded else 120)


def make_table(*headings: str) -> Table:
    """Make a table without lines; long names are folded, not cut: they differ in their ends."""
    columns = (Column(heading, overflow="fold") for heading in headings)
    return Table(*columns, box=None, header_style="bold")


def say(text: str, *, stderr: bool = False, style: str | None = None) -> None:
    """Print a message as it stands; folded on a terminal alone, so that a file can be searched."""
    console = make_console(stderr)
    console.print(
        text, style=style, highlight=False, markup=False, soft_wrap=not console.is_terminal
    )
