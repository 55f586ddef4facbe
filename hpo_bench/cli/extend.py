"""Commands about what there is to run: plugins, suites, this machine."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpo_bench import plugins, scaffold
from hpo_bench.cli.options import (
    DataOption,
    StorageOption,
    SuiteArgument,
    plugins_that_start_so,
    setting,
)
from hpo_bench.cli.root import app, lazily, make_table, say
from hpo_bench.errors import InputError
from hpo_bench.known import DEFAULT_STORAGE, shipped
from hpo_bench.terminal import PlainConsole

if TYPE_CHECKING:
    from hpo_bench import suite
else:
    suite = lazily("hpo_bench.suite")


@app.command(
    epilog="""Exit status:  0 nothing is broken,  1 a promise is broken.\n
    Examples:\n
    hpo-bench check my_package:MySampler\n
    hpo-bench check grid --set levels=4\n
    hpo-bench check lenet5 --set epochs=2 --set train_size=1000"""
)
def check(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="A method or an objective: its name, or module:object.",
            autocompletion=plugins_that_start_so,
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Option to make the target with, e.g. levels=4; may be given many times.",
        ),
    ] = None,
) -> None:
    """Try whether a sampler or an objective keeps what is promised of it, and what it costs."""
    from hpo_bench import conformance

    tested = conformance.candidate(target, dict(setting(text) for text in settings or []))
    out = PlainConsole()
    verdicts = []
    for finding in conformance.check(tested):
        verdicts.append(finding.verdict)
        told = finding.detail or finding.promise
        style = {"FAILED": "red", "note": "yellow"}.get(finding.verdict, "green")
        out.print(f"{finding.verdict:7}", style=style, end="")
        out.print(f"{finding.check:28}{told}", soft_wrap=True)
    raise typer.Exit(int(conformance.Verdict.FAILED in verdicts))


@app.command(
    epilog="""Examples:\n
    hpo-bench new sampler my-sampler\n
    hpo-bench new objective my-objective --directory ~/src/my-objective\n
    hpo-bench new suite my-suite --from quickstart"""
)
def new(
    kind: Annotated[
        scaffold.Kind,
        typer.Argument(metavar="sampler|objective|suite", help="What the command writes."),
    ],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of what is written, e.g. my-sampler.")
    ],
    directory: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory to write into. For a package it must be new or empty.",
            show_default="./NAME, and for a suite the working directory",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SUITE",
            help="Suite to copy, by its name or as a .toml file; only for a new suite.",
            show_default="quickstart",
        ),
    ] = None,
) -> None:
    """Write a small package that adds a sampler or an objective, or a copy of a suite."""
    if kind is scaffold.Kind.SUITE:
        file = scaffold.create_suite(name, source or "quickstart", directory)
        say(f"Written: {file}. Run it with:  hpo-bench run {shlex.quote(str(file))}")
        return
    if source is not None:
        raise InputError("--from", source, "only a new suite is a copy of another")
    made = scaffold.create(kind, name, directory)
    say(f"Written: {made}. Go on there with:  pip install -e '.[test]' && pytest")


@app.command(
    epilog="""Exit status:  0 suites can run,  1 there is a problem.\n
    Examples:\n
    hpo-bench doctor\n
    hpo-bench doctor --storage postgresql+psycopg://user@host/database --data-dir ~/data"""
)
def doctor(storage: StorageOption = DEFAULT_STORAGE, data_dir: DataOption = None) -> None:
    """Look at what suites need: packages, plugins, storage, data, machine; say what to do."""
    from hpo_bench.doctor import State, examine

    styles = {State.OK: "green", State.WARNING: "yellow", State.PROBLEM: "red"}
    out = PlainConsole()
    states = []
    for line in examine(storage, data_dir):
        states.append(line.state)
        out.print(f"{line.state:9}", style=styles[line.state], end="")
        told = f"{line.topic:16}{line.text}" + (f"; {line.advice}" if line.advice else "")
        out.print(told, soft_wrap=True)
    raise typer.Exit(int(State.PROBLEM in states))


@app.command(
    epilog="""Examples:\n
    hpo-bench show quickstart\n
    hpo-bench show lenet5-cifar10 > my-suite.toml"""
)
def show(name: SuiteArgument) -> None:
    """Print a suite as a file, comments included; nothing of it is imported or run."""
    say(suite.text_of(name).rstrip())


@app.command(epilog="Example:  hpo-bench suites")
def suites() -> None:
    """List the suites that come with the package."""
    listing = make_table("suite", "methods", "what it compares")
    for name in shipped():
        found = suite.load_all(name)[0]
        listing.add_row(name, ", ".join(found.methods), found.description)
    PlainConsole().print(listing)


@app.command(epilog="Example:  hpo-bench methods")
def methods() -> None:
    """List the methods by name, where each comes from, and the extra that it needs, if any."""
    listing = make_table("method", "import path", "from", "extra")
    for plugin in plugins.installed(plugins.METHODS):
        extra, _ = plugins.EXTRAS.get(plugin.name, ("", ()))
        if plugins.missing_module(plugin.name) is not None:
            extra = f"pip install 'hpo-bench[{extra}]'"
        listing.add_row(plugin.name, plugin.path, plugin.distribution, extra)
    listing.add_row("hub:samplers/NAME", "a sampler of OptunaHub", "hub.optuna.org", "hub")
    listing.add_row("MODULE:OBJECT", "any sampler of Optuna, or your own", "", "")
    PlainConsole().print(listing)


@app.command(epilog="Example:  hpo-bench objectives")
def objectives() -> None:
    """List the objectives that are installed, and where each comes from."""
    listing = make_table("objective", "import path", "from")
    for plugin in plugins.installed(plugins.OBJECTIVES):
        listing.add_row(plugin.name, plugin.path, plugin.distribution)
    PlainConsole().print(listing)
