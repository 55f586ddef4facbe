"""The command line itself: what its commands share, and how it ends."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from functools import wraps
from importlib.util import LazyLoader, find_spec, module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from rich.table import Column, Table
from typer.core import TyperGroup

import hpo_bench
from hpo_bench import plugins
from hpo_bench.errors import HpoBenchError
from hpo_bench.terminal import PlainConsole, log_plainly, show_optuna_plainly

_CommandLineError: Any = next(
    error for error in typer.BadParameter.__mro__ if error.__name__ == "ClickException"
)
"""Click's base of errors; Typer has its own copy of Click, or not, by its version."""


def lazily(name: str) -> ModuleType:
    """Give a module that is imported when something is taken out of it.

    Help, the version and completion are there before Optuna and a database could be imported.
    """
    if name in sys.modules:
        return sys.modules[name]
    spec = find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    spec.loader = LazyLoader(spec.loader)
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _without_types(parameters: list[Any]) -> list[Any]:
    """Let the help show no type of a flag, which takes no value."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


class _Commands(TyperGroup):
    """Sets up Optuna for a command that works, and not for one that only shows its help."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            _without_types(command.get_params(ctx))
        if command is not None and command.callback is not None:
            command.callback = _working(command.callback)
        return name, command, rest


def _working(callback: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(callback)
    def work(*arguments: Any, **options: Any) -> Any:
        show_optuna_plainly()
        return callback(*arguments, **options)

    return work


app = typer.Typer(
    cls=_Commands,
    help="Measure how to search: hyperparameter optimization methods on the same objective, "
    "with the same budget, seeds and storage.\n\n"
    "A module that a suite or a command names (module:object) may be installed, or stand beside "
    "the suite file or in the working directory.",
    epilog="Start with:  hpo-bench run quickstart",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; what the user can put right is told without a traceback."""
    log_plainly()
    plugins.look_in(Path())
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What cannot be written (± in ASCII) shows as its code; standard error does so anyway.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        # Named: also as `python -m hpo_bench`; completion goes by it.
        status = app(prog_name="hpo-bench", standalone_mode=False)
    except _CommandLineError as error:
        _tell_usage(error)
        status = error.exit_code
    except HpoBenchError as error:
        say(f"error: {error}", stderr=True, style="red")
        status = 2
    sys.exit(status or 0)


def _tell_usage(error: Any) -> None:
    """Say what is wrong with the words of a command: a password may be among them."""
    context, told = error.ctx, error.format_message()
    if context is None or not told:  # where no command was given, its help was printed by then
        return
    say(context.get_usage(), stderr=True)
    say(f"Try '{context.command_path} --help' for help.", stderr=True)
    say(f"error: {HpoBenchError(told)}", stderr=True, style="red")


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


def make_table(*headings: str) -> Table:
    """Make a table without lines; long names are folded, not cut: they differ in their ends."""
    columns = (Column(heading, overflow="fold") for heading in headings)
    return Table(*columns, box=None, header_style="bold")


def say(text: str, *, stderr: bool = False, style: str | None = None) -> None:
    """Print a message as it stands."""
    PlainConsole(stderr=stderr).say(text, style)
