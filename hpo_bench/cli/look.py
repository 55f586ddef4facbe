"""Commands that look at what was found: results, report, compare, dashboard."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

from hpo_bench.cli.options import (
    OtherStorageOption,
    StoredSuiteArgument,
    StoredSuitesArgument,
    suites_to_look_at,
)
from hpo_bench.cli.root import app, lazily, say
from hpo_bench.errors import InputError, needing
from hpo_bench.known import DEFAULT_STORAGE
from hpo_bench.terminal import PlainConsole, telling

if TYPE_CHECKING:  # a command that only prints its help need not wait for a database
    from optuna.storages import BaseStorage

    from hpo_bench import api, suite
    from hpo_bench.analysis.results import SuiteResult
    from hpo_bench.storage.rows import Fault
else:
    suite = lazily("hpo_bench.suite")
    api = lazily("hpo_bench.api")


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"


class FigureFormat(StrEnum):
    """Formats of pictures for papers."""

    PDF = "pdf"
    SVG = "svg"
    PNG = "png"


@app.command(
    epilog="""Exit status:  0 all is shown,  1 runs are left out, whose records are not sound.\n
    Examples:\n
    hpo-bench results quickstart\n
    hpo-bench results quickstart --format csv > runs.csv\n
    hpo-bench results quickstart --failures"""
)
def results(
    name: StoredSuiteArgument,
    storage: OtherStorageOption = None,
    output: Annotated[Format, typer.Option("--format", help="Format to print in.")] = Format.TABLE,
    failures: Annotated[
        bool,
        typer.Option(
            "--failures", help="Show instead why evaluations failed, and where in the code."
        ),
    ] = False,
) -> None:
    """Show what a suite found, also while it runs."""
    found = api.find([name], storage)
    names = found.suites
    if len(names) > 1 and output is not Format.TABLE:
        raise InputError("SUITE", name, f"expected one objective's, for this format: {names}")
    if failures and output is not Format.TABLE:
        expected = "failures are printed as text; a report as JSON has them, too"
        raise InputError("--format", output.value, expected)
    if failures:
        left_out = [fault for each in names for fault in _print_failures(found.storage, each)]
    else:
        left_out = found.left_out
        for one in found.tables:
            print_results(one, output, PlainConsole())
    if left_out:
        raise typer.Exit(1)


def _print_failures(url: str, name: str) -> list[Fault]:
    from hpo_bench.analysis.failures import failures
    from hpo_bench.analysis.stored import read_suite
    from hpo_bench.report.failures import as_text
    from hpo_bench.storage.opening import open_existing

    stored = read_suite(open_existing(url), name)
    found = failures(stored)
    for paragraph in as_text(found):
        say(paragraph)
    if not found:
        say(f"{name}: no evaluation has failed")
    _say_left_out(stored.left_out)
    return stored.left_out


def print_results(result: SuiteResult, output: Format, console: Console) -> None:
    """Print the table of a suite."""
    from hpo_bench.report import table

    if output is Format.TABLE:
        table.print_table(result, console)
    else:
        _print_as(output, table, result)


def _print_as(output: Format, writer: ModuleType, found: Any) -> None:
    """Print by the function of a module that writes a format."""
    if output in (Format.CSV, Format.JSON):
        _say_left_out(found.left_out)
    functions = {
        Format.CSV: writer.to_csv,
        Format.JSON: writer.to_json,
        Format.MARKDOWN: writer.to_markdown,
    }
    print(functions[output](found))  # noqa: T201


def _say_left_out(faults: Sequence[Fault]) -> None:
    from hpo_bench.report.table import left_out

    for told in left_out(faults):
        say(told, stderr=True, style="yellow")


@app.command(
    epilog="""Exit status:  0 all is shown,  1 runs are left out, whose records are not sound.\n
    Examples:\n
    hpo-bench report quickstart\n
    hpo-bench report quickstart --output table.tex --figures figures\n
    hpo-bench report suite-a suite-b --output both.html"""
)
def report(
    names: StoredSuitesArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File to write; its ending names the format: html, md, tex, csv, json or parquet.",
            show_default="SUITE.html",
        ),
    ] = None,
    storage: OtherStorageOption = None,
    targets: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Values whose expected running time is shown, e.g. 0.8,0.85.",
            show_default="what random search finds once in some configurations",
        ),
    ] = None,
    rope: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Two methods that differ by less count as equivalent in practice.",
            show_default="10% of the way from the objective's default to the best run",
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory to write the pictures into as well, for papers.",
            show_default="none",
        ),
    ] = None,
    figure_format: Annotated[
        FigureFormat, typer.Option(help="Format of the pictures that --figures writes.")
    ] = FigureFormat.PDF,
) -> None:
    """Write what suites found: tables, statistics and pictures on one page; also while they run."""
    found = api.find(names, storage)
    given = [] if targets is None else _numbers("--targets", targets)
    path = output or Path(f"{suite.place(names[0], storage)[0]}.html")
    with telling("reading the runs, and computing the statistics"):
        found.report(path, targets=given, rope=rope)
    told = [str(path)]
    if figures is not None:
        made = found.pictures(figures, figure_format.value, targets=given, rope=rope)
        told.append(f"{len(made)} pictures in {figures}")
    say(f"Written: {', '.join(told)}")
    _say_left_out(found.left_out)
    if found.left_out:
        raise typer.Exit(1)


class Measure(StrEnum):
    """What runs are compared by."""

    VALIDATION = "validation"
    TEST = "test"
    HELD_OUT = "held_out"
    HELD_OUT_TEST = "held_out_test"
    CONFIRMED = "confirmed"
    CONFIRMED_TEST = "confirmed_test"


@app.command(
    epilog="""Exit status:  0 no method is worse,  1 a method is worse, or runs are left out,
    2 they cannot be compared,  3 no method is worse as far as so few seeds can say.\n
    Examples:\n
    hpo-bench compare sqlite:///before.db#quickstart sqlite:///after.db#quickstart\n
    hpo-bench compare quickstart quickstart-2"""
)
def compare(
    old: Annotated[
        str,
        typer.Argument(
            metavar="OLD",
            help="The runs before a change: a suite in the storage, its .toml file, "
            "STORAGE#SUITE, or a JSON file of pytest-benchmark.",
            autocompletion=suites_to_look_at,
        ),
    ],
    new: Annotated[
        str,
        typer.Argument(
            metavar="NEW",
            help="The runs after the change, named in the same way.",
            autocompletion=suites_to_look_at,
        ),
    ],
    storage: OtherStorageOption = None,
    measure: Annotated[
        Measure | None,
        typer.Option(
            help="Value of the incumbents to compare; confirmed: of those that were trained again.",
            show_default="the endpoint of the suites",
        ),
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="Format to print in.")] = Format.TABLE,
) -> None:
    """Say for each method whether a change has made it better or worse; for CI by exit status.

    Two JSON files of pytest-benchmark are compared by their times.
    """
    if old.endswith(".json") and new.endswith(".json"):
        _compare_benchmarks(Path(old), Path(new), output)
    with needing("report", "the comparison"):
        from hpo_bench.analysis.change import compare_suites
    from hpo_bench.report import change

    pairs = _pairs(_place("OLD", old, storage), _place("NEW", new, storage))
    with telling("reading the runs, and computing the statistics"):
        found = compare_suites(pairs, None if measure is None else measure.value)
    if output is Format.TABLE:
        change.print_table(found, PlainConsole())
    else:
        _print_as(output, change, found)
    raise typer.Exit(found.exit_status)


def _compare_benchmarks(old: Path, new: Path, output: Format) -> NoReturn:
    with needing("report", "the comparison"):
        from hpo_bench.analysis.timings import compare_timings, exit_status
    from hpo_bench.report import change, markdown, table, timings

    found = compare_timings(old, new)
    status, made = exit_status(found), timings.to_table(found)
    if output is Format.TABLE:
        change.print_made(made, [], PlainConsole())
    elif output is Format.MARKDOWN:
        print(markdown.table(made))  # noqa: T201
    elif output is Format.CSV:
        print(table.records_to_csv(timings.to_records(found)))  # noqa: T201
    else:
        print(timings.to_json(found, status))  # noqa: T201
    raise typer.Exit(status)


def _pairs(
    old: tuple[BaseStorage, str], new: tuple[BaseStorage, str]
) -> list[tuple[tuple[BaseStorage, str], tuple[BaseStorage, str]]]:
    """Pair two suites, objective by objective where they have several."""
    from hpo_bench.storage.studies import members

    before, after = (
        {member.removeprefix(place[1]): (place[0], member) for member in members(*place)}
        for place in (old, new)
    )
    if before.keys() != after.keys():
        named = ", ".join(member for _, member in before.values())
        raise InputError("NEW", new[1], f"expected the same objectives as in the old: {named}")
    return [(before[objective], after[objective]) for objective in before]


def _place(field: str, text: str, storage: str | None) -> tuple[BaseStorage, str]:
    """Read `SUITE` or `STORAGE#SUITE`."""
    from hpo_bench.storage.opening import open_existing

    url, _, name = text.rpartition("#")
    if not name or (not url and "://" in text):
        raise InputError(field, text, "expected SUITE or STORAGE#SUITE, e.g. sqlite:///a.db#mine")
    name, url = suite.place(name, url or storage)
    return open_existing(url), name


def _numbers(field: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(field, text, "expected numbers, e.g. 0.8,0.85") from None


@app.command(
    epilog="""Examples:\n
    hpo-bench dashboard\n
    hpo-bench dashboard my-suite.toml\n
    hpo-bench dashboard --storage sqlite:///hpo-bench.db --notes"""
)
def dashboard(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[SUITE]",
            help="Name of a suite whose storage is opened, or its .toml file.",
            show_default="the storage, whatever it holds",
            autocompletion=suites_to_look_at,
        ),
    ] = None,
    storage: OtherStorageOption = None,
    port: Annotated[
        int,
        typer.Option(
            min=1, max=65535, metavar="PORT", help="Port on 127.0.0.1 on which it listens."
        ),
    ] = 8080,
    notes: Annotated[
        bool,
        typer.Option(
            "--notes",
            help="First write into the storage, for every study, a note on how it stands and the "
            "pictures of its suite.",
        ),
    ] = False,
) -> None:
    """Open optuna-dashboard on the storage; it listens on this machine only."""
    from hpo_bench.storage.opening import open_existing

    with needing("dashboard", "the dashboard"):
        from optuna_dashboard import run_server

        from hpo_bench.report.notes import write_notes
    # A page that waits is worse than one that fails, and is loaded again.
    name, url = (None, storage or DEFAULT_STORAGE) if name is None else suite.place(name, storage)
    opened = open_existing(url, patience=0)
    if name is not None:
        _check_there(opened, name)
    _check_free(port)
    if notes:
        with needing("report", "the pictures of a comparison"):
            from hpo_bench.report.dashboard import write_figures
        with telling("writing notes and pictures into the storage"):
            noted, faults = write_notes(opened)
            drawn, without = write_figures(opened)
        say(f"Written: {noted} notes, pictures on {drawn} studies")
        _say_left_out(faults)
        for told in without:
            say(told, stderr=True, style="yellow")
    say(f"http://127.0.0.1:{port}  (Ctrl-C ends it; it has no login of its own)")
    run_server(opened, host="127.0.0.1", port=port)


def _check_there(storage: BaseStorage, name: str) -> None:
    """See that the storage holds a suite.

    Raises:
        HpoBenchError: It does not; the text says which ones it holds.
    """
    from hpo_bench.storage.studies import members, names_of

    for member in members(storage, name):
        names_of(storage, member)


def _check_free(port: int) -> None:
    """See that the server will be able to listen, before its address is told.

    Raises:
        InputError: Something else listens there, or this user may not.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            expected = f"127.0.0.1 does not give it ({error.strerror}); expected one that is free"
            raise InputError("--port", port, expected) from None
