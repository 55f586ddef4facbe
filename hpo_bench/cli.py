"""The door: parses, validates, prints."""

from __future__ import annotations

import os
import sys
import tomllib
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import optuna
import typer
from optuna.storages import BaseStorage
from rich.console import Console
from rich.table import Table

import hpo_bench
from hpo_bench import plugins, scaffold, suite
from hpo_bench.errors import HpoBenchError, InputError, needing, one_of
from hpo_bench.suite import DEFAULT_STORAGE, Suite

app = typer.Typer(
    help="Measure how to search: hyperparameter optimization methods on the same objective, "
    "with the same budget, seeds and storage.",
    epilog="Start with:  hpo-bench run quickstart",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

StorageOption = Annotated[
    str, typer.Option("--storage", metavar="URL", help="SQLAlchemy URL of the storage.")
]


def _suites_that_start_so(incomplete: str) -> list[str]:
    """Complete a suite's name, or a suite file of the working directory, in the shell."""
    known = [*suite.shipped(), *(file.name for file in Path().glob("*.toml"))]
    return [name for name in known if name.startswith(incomplete)]


def _methods_that_start_so(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the last of several methods, of the suite that stands before it."""
    before, comma, last = incomplete.rpartition(",")
    for word in context.args:
        with suppress(HpoBenchError):
            known = suite.load_all(word)[0].methods
            return [f"{before}{comma}{name}" for name in known if name.startswith(last)]
    return []


SuiteArgument = Annotated[
    str,
    typer.Argument(
        metavar="SUITE",
        help="A suite's name, or a .toml file.",
        autocompletion=_suites_that_start_so,
    ),
]
SeedsOption = Annotated[
    str | None, typer.Option("--seeds", metavar="LIST", help="Seeds: 0,1,2 or 0-9 or both.")
]
OtherStorageOption = Annotated[
    str | None, typer.Option("--storage", metavar="URL", help="SQLAlchemy URL of the storage.")
]
WorkersOption = Annotated[
    str | None,
    typer.Option("--workers", metavar="N", help="Worker processes, or 'auto': one per core."),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="Where the objective finds its data."),
]
CheckpointOption = Annotated[
    Path | None,
    typer.Option("--checkpoint-dir", metavar="DIR", help="Where evaluations under way are kept."),
]
MethodsOption = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="Only these methods of the suite.",
        autocompletion=_methods_that_start_so,
    ),
]
ObjectivesOption = Annotated[
    str | None, typer.Option(metavar="A,B", help="Only these, of a suite with several.")
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any key of the suite, dotted."),
]


class Engine(StrEnum):
    """Where runs are executed."""

    LOCAL = "local"
    RAY = "ray"


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


@app.command(
    epilog="""Examples:\n
    hpo-bench run quickstart\n
    hpo-bench run lenet5-cifar10-small --seeds 0-9 --workers 2\n
    hpo-bench run my-suite.toml --methods random,pso --set budget.epochs=300\n
    hpo-bench run quickstart --storage postgresql+psycopg://user@host/database"""
)
def run(
    name: SuiteArgument,
    methods: MethodsOption = None,
    objectives: ObjectivesOption = None,
    seeds: SeedsOption = None,
    storage: OtherStorageOption = None,
    workers: WorkersOption = None,
    data_dir: DataOption = None,
    checkpoint_dir: CheckpointOption = None,
    settings: SettingsOption = None,
    engine: Annotated[
        Engine | None, typer.Option(help="Where runs are executed; by default as the suite says.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Of a Ray cluster; without it one on this machine is started."
        ),
    ] = None,
) -> None:
    """Run a suite, or go on with it: the same command resumes where it stopped.

    Where other processes work on the same suite, the runs are shared.
    """
    overrides = _overrides(settings, seeds, storage, workers, data_dir)
    if engine is not None:
        overrides["engine"] = engine.value
    _run(_chosen(name, overrides, methods, objectives), checkpoint_dir, address)


@app.command(
    epilog="""Examples:\n
    hpo-bench worker my-suite.toml --storage postgresql+psycopg://user@host/database\n
    hpo-bench worker quickstart --storage $URL --workers 1 --checkpoint-dir /shared/dir"""
)
def worker(
    name: SuiteArgument,
    methods: MethodsOption = None,
    objectives: ObjectivesOption = None,
    seeds: SeedsOption = None,
    storage: OtherStorageOption = None,
    workers: WorkersOption = None,
    data_dir: DataOption = None,
    checkpoint_dir: CheckpointOption = None,
    settings: SettingsOption = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Stay until all runs are finished, to take over if need be."),
    ] = False,
) -> None:
    """Join a suite from any machine that reaches its storage; leave when no run is free.

    SIGTERM saves what is under way and leaves; whoever comes next goes on with it.
    """
    overrides = _overrides(settings, seeds, storage, workers, data_dir)
    chosen = _chosen(name, overrides, methods, objectives)
    _execute(chosen, checkpoint_dir, wait=wait)


@app.command(epilog="Example:  hpo-bench status quickstart")
def status(
    name: SuiteArgument,
    methods: MethodsOption = None,
    objectives: ObjectivesOption = None,
    seeds: SeedsOption = None,
    storage: OtherStorageOption = None,
    settings: SettingsOption = None,
) -> None:
    """Show how the runs of a suite stand, and who works on them."""
    from hpo_bench.standing import standing

    overrides = _overrides(settings, seeds, storage, None, None)
    listing = Table("run", "spent", "evaluations", "best", "state", box=None, header_style="bold")
    for each in standing(_chosen(name, overrides, methods, objectives)):
        found = each.status
        figures = ["–", "0", "–"]
        if found is not None:
            best = "–" if found.incumbent is None else f"{found.incumbent:.4f}"
            figures = [f"{found.share:.0%}", str(found.evaluations), best]
        listing.add_row(each.run.study_name, *figures, each.state)
    _console().print(listing)


@app.command(
    epilog="""Examples:\n
    hpo-bench record quickstart --output quickstart.csv.gz\n
    hpo-bench record my-suite.toml --output my-table.parquet --seeds 0-2 --workers 2"""
)
def record(
    name: SuiteArgument,
    output: Annotated[
        Path,
        typer.Option(metavar="TABLE", help="File to write: .csv, .csv.gz or .parquet."),
    ],
    seeds: SeedsOption = None,
    storage: OtherStorageOption = None,
    workers: WorkersOption = None,
    data_dir: DataOption = None,
    checkpoint_dir: CheckpointOption = None,
    settings: SettingsOption = None,
    cpu_time: Annotated[
        bool,
        typer.Option("--cpu-time", help="Record CPU seconds, which other work changes little."),
    ] = False,
) -> None:
    """Train a suite's grid once for every seed, and write a table to replay.

    The same command goes on where it was stopped.
    """
    from hpo_bench import recording

    recording.check_output(output)
    chosen = suite.load(name, _overrides(settings, seeds, storage, workers, data_dir))
    made = recording.recording(chosen, cpu_time=cpu_time)
    _execute([made], checkpoint_dir)
    rows = recording.export(made, output)
    _console().print(f"{output}: {rows} rows. Replay them with the objective 'table'.")


def _chosen(
    name: str, overrides: dict[str, Any], methods: str | None, objectives: str | None
) -> list[Suite]:
    """Read a suite, or as much of it as was asked for."""
    only = None if objectives is None else objectives.split(",")
    chosen = suite.load_all(name, overrides, only)
    return chosen if methods is None else [_only(one, methods.split(",")) for one in chosen]


def _overrides(
    settings: list[str] | None,
    seeds: str | None,
    storage: str | None,
    workers: str | None,
    data_dir: Path | None,
) -> dict[str, Any]:
    """What the flags lay over a suite: dotted key -> value."""
    overrides = dict(_setting(text) for text in settings or [])
    overrides |= _given(
        storage=storage,
        workers=None if workers is None else _toml_value(workers),
        seeds=None if seeds is None else _seeds(seeds),
    )
    if data_dir is not None:
        overrides["objective.options.data_dir"] = str(data_dir)
    return overrides


def _console(stderr: bool = False) -> Console:
    # A pipe has no width: leave the table room instead of folding it to 80 columns.
    is_bounded = (sys.stderr if stderr else sys.stdout).isatty() or "COLUMNS" in os.environ
    return Console(stderr=stderr, width=None if is_bounded else 120)


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError("--set", text, "expected KEY=VALUE, e.g. budget.epochs=300")
    return key.strip(), _toml_value(value.strip())


def _toml_value(text: str) -> Any:
    """Read a value as TOML; what is not TOML is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _seeds(text: str) -> list[int]:
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            seeds += range(int(first), int(last) + 1) if dash else [int(first)]
        except ValueError:
            raise InputError("--seeds", text, "expected numbers, e.g. 0,1,2 or 0-9") from None
    return seeds


def _only(chosen: Suite, names: list[str]) -> Suite:
    for name in names:
        if name not in chosen.methods:
            raise InputError("--methods", name, one_of(name, chosen.methods))
    return chosen.model_copy(update={"methods": {n: chosen.methods[n] for n in names}})


def _run(chosen: list[Suite], checkpoint_dir: Path | None, address: str | None) -> None:
    from hpo_bench.storage import shown

    url = chosen[0].storage
    if address is not None and chosen[0].engine != "ray":
        raise InputError("--address", address, "expected with --engine ray only")
    _execute(chosen, checkpoint_dir, show=True, address=address)
    where = "" if url == DEFAULT_STORAGE else f" --storage {shown(url)}"
    _console().print(f"Look at every study with:  hpo-bench dashboard{where}", highlight=False)


def _execute(
    chosen: list[Suite],
    checkpoint_dir: Path | None,
    *,
    show: bool = False,
    wait: bool = True,
    address: str | None = None,
) -> None:
    """Run suites; leave the program with a status of its own if that did not finish."""
    from hpo_bench.coordinator import run_suites
    from hpo_bench.storage import open_existing, study_names

    out = _console()
    console = _console(stderr=True)
    report = run_suites(chosen, checkpoint_dir, console, wait=wait, address=address)
    held = open_existing(
        chosen[0].storage, patience=chosen[0].storage_patience, wait=not report.failures
    )
    for one in chosen:
        if show and study_names(held, one.name):
            _print_results(held, one.name, Format.TABLE, out)
    for why in report.taken.values():
        out.print(f"Left to others: {why}", highlight=False, markup=False)
    if report.unfinished or (wait and report.taken):
        out.print(f"Stopped: {len(report.unfinished)} runs left. The same command goes on.")
        raise typer.Exit(130)
    if report.failures:
        raise typer.Exit(1)


@app.command(
    epilog="""Examples:\n
    hpo-bench results quickstart\n
    hpo-bench results quickstart --format csv > runs.csv"""
)
def results(
    name: Annotated[str, typer.Argument(metavar="SUITE", help="Name of a suite in the storage.")],
    storage: StorageOption = DEFAULT_STORAGE,
    output: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Show what a suite found, also while it runs."""
    from hpo_bench.storage import members, open_existing

    opened = open_existing(storage)
    names = members(opened, name)
    if len(names) > 1 and output is not Format.TABLE:
        raise InputError("SUITE", name, f"expected one objective's, for this format: {names}")
    for each in names:
        _print_results(opened, each, output, _console())


def _print_results(storage: BaseStorage, name: str, output: Format, console: Console) -> None:
    from hpo_bench.analysis.results import collect
    from hpo_bench.report import table

    result = collect(storage, name)
    if output is Format.TABLE:
        table.print_table(result, console)
        return
    text = {
        Format.CSV: table.to_csv,
        Format.JSON: table.to_json,
        Format.MARKDOWN: table.to_markdown,
    }[output](result)
    print(text)  # noqa: T201


@app.command(
    epilog="""Examples:\n
    hpo-bench report quickstart\n
    hpo-bench report quickstart --output table.tex --figures figures\n
    hpo-bench report suite-a suite-b --output both.html"""
)
def report(
    names: Annotated[
        list[str],
        typer.Argument(metavar="SUITE...", help="Suites in the storage; several are ranked, too."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Its ending names the format: html, md, tex, csv, json, parquet. "
            "By default SUITE.html.",
        ),
    ] = None,
    storage: StorageOption = DEFAULT_STORAGE,
    targets: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Values to reach; by default from random search."),
    ] = None,
    rope: Annotated[
        float | None,
        typer.Option(help="Difference that does not matter; by default 1% of an accuracy."),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the pictures for papers, too.")
    ] = None,
    figure_format: Annotated[
        FigureFormat, typer.Option(help="Of the pictures for papers.")
    ] = FigureFormat.PDF,
) -> None:
    """Write what suites found: tables, statistics and pictures on one page; also while they run."""
    with needing("report", "the report"):
        from hpo_bench.analysis.summary import summarise
        from hpo_bench.report.files import write, write_figures
    from hpo_bench.storage import members, open_existing, shown

    opened = open_existing(storage)
    given = [] if targets is None else _numbers("--targets", targets)
    path = output or Path(f"{names[0]}.html")
    every = [member for name in names for member in members(opened, name)]
    found = [summarise(opened, name, given_targets=given, rope=rope) for name in every]
    write(path, found, shown(storage))
    told = [str(path)]
    if figures is not None:
        made = write_figures(figures, found, shown(storage), figure_format.value)
        told.append(f"{len(made)} pictures in {figures}")
    Console().print(f"Written: {', '.join(told)}", highlight=False, markup=False)


class Measure(StrEnum):
    """What runs are compared by."""

    VALIDATION = "validation"
    TEST = "test"
    CONFIRMED = "confirmed"
    CONFIRMED_TEST = "confirmed_test"


@app.command(
    epilog="""Exit status:  0 no method is worse,  1 a method is worse,  2 they cannot be compared,
    3 none is shown to be worse, but a method has too few seeds to say.\n
    Examples:\n
    hpo-bench compare sqlite:///before.db#quickstart sqlite:///after.db#quickstart\n
    hpo-bench compare quickstart quickstart-2"""
)
def compare(
    old: Annotated[
        str,
        typer.Argument(metavar="OLD", help="A suite in the storage, or STORAGE#SUITE; or a JSON."),
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The same after a change.")],
    storage: StorageOption = DEFAULT_STORAGE,
    measure: Annotated[
        Measure,
        typer.Option(help="Of incumbents: what is searched by, the test, or trained again."),
    ] = Measure.VALIDATION,
    output: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
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
    found = compare_suites(pairs, measure.value)
    if output is Format.TABLE:
        change.print_table(found, _console())
    else:
        made = {
            Format.CSV: change.to_csv,
            Format.JSON: change.to_json,
            Format.MARKDOWN: change.to_markdown,
        }[output](found)
        print(made)  # noqa: T201
    raise typer.Exit(found.exit_status)


def _compare_benchmarks(old: Path, new: Path, output: Format) -> NoReturn:
    with needing("report", "the comparison"):
        from hpo_bench.analysis.timings import compare_timings, exit_status
    from hpo_bench.report import change, markdown, table, timings

    found = compare_timings(old, new)
    status, made = exit_status(found), timings.to_table(found)
    if output is Format.TABLE:
        change.print_made(made, [], _console())
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
    from hpo_bench.storage import members

    before, after = (
        {member.removeprefix(place[1]): (place[0], member) for member in members(*place)}
        for place in (old, new)
    )
    if before.keys() != after.keys():
        named = ", ".join(member for _, member in before.values())
        raise InputError("NEW", new[1], f"expected the same objectives as in the old: {named}")
    return [(before[objective], after[objective]) for objective in before]


def _place(field: str, text: str, storage: str) -> tuple[BaseStorage, str]:
    """Read `SUITE` or `STORAGE#SUITE`."""
    from hpo_bench.storage import open_existing

    url, _, name = text.rpartition("#")
    if not name or (not url and "://" in text):
        raise InputError(field, text, "expected SUITE or STORAGE#SUITE, e.g. sqlite:///a.db#mine")
    return open_existing(url or storage), name


def _numbers(field: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(field, text, "expected numbers, e.g. 0.8,0.85") from None


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
            metavar="TARGET", help="A method or an objective: its name, or module:object."
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option that it takes."),
    ] = None,
) -> None:
    """Try whether a sampler or an objective keeps what is promised of it, and what it costs."""
    from hpo_bench import conformance

    tested = conformance.candidate(target, dict(_setting(text) for text in settings or []))
    out = _console()
    verdicts = []
    for finding in conformance.check(tested):
        verdicts.append(finding.verdict)
        told = finding.detail or finding.promise
        style = {"FAILED": "red", "note": "yellow"}.get(finding.verdict, "green")
        out.print(f"{finding.verdict:7}", style=style, end="")
        out.print(f"{finding.check:28}{told}", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(int(conformance.Verdict.FAILED in verdicts))


@app.command(
    epilog="""Examples:\n
    hpo-bench new sampler my-sampler\n
    hpo-bench new objective my-objective --directory ~/src/my-objective"""
)
def new(
    kind: Annotated[scaffold.Kind, typer.Argument(metavar="sampler|objective")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the package, e.g. my-sampler.")],
    directory: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New or empty; by default ./NAME.")
    ] = None,
) -> None:
    """Write a small package that adds a sampler or an objective, with its test."""
    made = scaffold.create(kind, name, directory)
    told = f"Written: {made}. Go on there with:  pip install -e '.[test]' && pytest"
    _console().print(told, highlight=False, markup=False)


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
    out = _console()
    states = []
    for line in examine(storage, data_dir):
        states.append(line.state)
        out.print(f"{line.state:9}", style=styles[line.state], end="")
        told = f"{line.topic:16}{line.text}" + (f"; {line.advice}" if line.advice else "")
        out.print(told, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(int(State.PROBLEM in states))


@app.command(epilog="Example:  hpo-bench suites")
def suites() -> None:
    """List the suites that come with the package."""
    listing = Table("suite", "methods", "what it compares", box=None, header_style="bold")
    for name in suite.shipped():
        found = suite.load_all(name)[0]
        listing.add_row(name, ", ".join(found.methods), found.description)
    _console().print(listing)


@app.command(epilog="Example:  hpo-bench methods")
def methods() -> None:
    """List the methods that are installed, and where each comes from."""
    _list_plugins("method", plugins.METHODS)


@app.command(epilog="Example:  hpo-bench objectives")
def objectives() -> None:
    """List the objectives that are installed, and where each comes from."""
    _list_plugins("objective", plugins.OBJECTIVES)


def _list_plugins(kind: str, group: str) -> None:
    listing = Table(kind, "import path", "from", box=None, header_style="bold")
    for plugin in plugins.installed(group):
        listing.add_row(plugin.name, plugin.path, plugin.distribution)
    _console().print(listing)


@app.command(epilog="Example:  hpo-bench dashboard --storage sqlite:///hpo-bench.db --notes")
def dashboard(
    storage: StorageOption = DEFAULT_STORAGE,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8080,
    notes: Annotated[
        bool,
        typer.Option("--notes", help="First write on every study how it stands, with pictures."),
    ] = False,
) -> None:
    """Open optuna-dashboard on the storage; it listens on this machine only."""
    from hpo_bench.storage import open_existing

    with needing("dashboard", "the dashboard"):
        from optuna_dashboard import run_server

        from hpo_bench.report.notes import write_notes
    # A page that waits is worse than one that fails, and is loaded again.
    opened = open_existing(storage, patience=0)
    if notes:
        with needing("report", "the pictures of a comparison"):
            from hpo_bench.report.dashboard import write_figures
        noted = write_notes(opened)
        drawn, left_out = write_figures(opened)
        Console().print(f"Written: {noted} notes, pictures on {drawn} studies")
        for name in left_out:
            Console().print(f"{name}: no pictures, it has too many studies")
    Console().print(f"http://127.0.0.1:{port}  (Ctrl-C ends it; it has no login of its own)")
    run_server(opened, host="127.0.0.1", port=port)
