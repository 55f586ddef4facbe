"""Options that several commands take, and how they are read."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from contextlib import suppress
from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpo_bench import plugins
from hpo_bench.cli.root import lazily
from hpo_bench.errors import HpoBenchError, InputError
from hpo_bench.known import DEFAULT_STORAGE, MAX_SEEDS, shipped

if TYPE_CHECKING:
    from hpo_bench import api, suite
    from hpo_bench.suite import Suite
else:
    suite = lazily("hpo_bench.suite")
    api = lazily("hpo_bench.api")


AS_THE_SUITE_SAYS = "as the suite says"
"""Shown as the default of an option that is laid over a suite."""


def _suites_to_run(incomplete: str) -> list[str]:
    """Complete a suite's name, or a suite file of the working directory, in the shell."""
    known = [*shipped(), *(file.name for file in Path().glob("*.toml"))]
    return [name for name in known if name.startswith(incomplete)]


def suites_to_look_at(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a suite that the storage holds; where it cannot be read, of any."""
    from hpo_bench.storage.opening import open_existing
    from hpo_bench.storage.studies import study_names

    url = context.params.get("storage") or DEFAULT_STORAGE
    held: set[str] = set()
    with suppress(HpoBenchError):
        held = {name.split("/")[0] for name in study_names(open_existing(url, patience=0))}
    files = [file.name for file in Path().glob("*.toml")]
    known = [*sorted(held), *files] if held else _suites_to_run(incomplete)
    return [name for name in known if name.startswith(incomplete)]


def _methods_of_suite(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the last of several methods, of the suite that stands before it."""
    return _last_of_several(
        incomplete, [name for one in _suites_before(context) for name in one.methods]
    )


def _objectives_of_suite(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the last of several objectives, of the suite that stands before it."""
    members = (one.name.partition(".")[2] for one in _suites_before(context))
    return _last_of_several(incomplete, [name for name in members if name])


def _suites_before(context: typer.Context) -> list[Suite]:
    for word in context.args:
        with suppress(HpoBenchError):
            return suite.load_all(word)
    return []


def _last_of_several(incomplete: str, known: Iterable[str]) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in dict.fromkeys(known) if name.startswith(last)]


def plugins_that_start_so(incomplete: str) -> list[str]:
    """Complete the name of an installed method or objective."""
    groups = (plugins.METHODS, plugins.OBJECTIVES)
    known = [plugin.name for group in groups for plugin in plugins.installed(group)]
    return [name for name in known if name.startswith(incomplete)]


_STORAGE_HELP = "URL of the storage, as SQLAlchemy takes it, e.g. sqlite:///runs.db."


StorageOption = Annotated[str, typer.Option("--storage", metavar="URL", help=_STORAGE_HELP)]


SuiteArgument = Annotated[
    str,
    typer.Argument(
        metavar="SUITE",
        help="A suite's name (the command `suites` lists them), or a .toml file.",
        autocompletion=_suites_to_run,
    ),
]


StoredSuiteArgument = Annotated[
    str,
    typer.Argument(
        metavar="SUITE",
        help="Name of a suite that was run into the storage, or its .toml file.",
        autocompletion=suites_to_look_at,
    ),
]


StoredSuitesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="SUITE",
        help="Names of suites that were run into the storage, or their .toml files. Of several, "
        "the report also ranks the methods over all of them.",
        autocompletion=suites_to_look_at,
    ),
]


SeedsOption = Annotated[
    str | None,
    typer.Option(
        "--seeds",
        metavar="LIST",
        help="Seeds to run, one run of each method for each: 0,1,2 or 0-9 or 0-4,7.",
        show_default=AS_THE_SUITE_SAYS,
    ),
]


OtherStorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URL",
        help=_STORAGE_HELP,
        show_default=f"the suite file's, or {DEFAULT_STORAGE}",
    ),
]


WorkersOption = Annotated[
    str | None,
    typer.Option(
        "--workers",
        metavar="N",
        help="Number of worker processes, or 'auto': one per core, or per GPU if they are used.",
        show_default=AS_THE_SUITE_SAYS,
    ),
]


DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Directory of the data that the objective trains on.",
        show_default="as the suite says, else $HPO_BENCH_DATA or the user's data directory",
    ),
]


CheckpointOption = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint-dir",
        metavar="DIR",
        help="Directory in which trainings under way are saved, so that they can be resumed.",
        show_default="beside the SQLite file, else ./hpo-bench.checkpoints",
    ),
]


MethodsOption = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="Use only these methods of the suite.",
        autocompletion=_methods_of_suite,
        show_default="all",
    ),
]


ObjectivesOption = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="Use only these objectives, where the suite has several.",
        autocompletion=_objectives_of_suite,
        show_default="all",
    ),
]


SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a key of the suite file, e.g. budget.epochs=300; may be given many times.",
    ),
]


def choose(
    name: str, overrides: dict[str, Any], methods: str | None, objectives: str | None
) -> list[Suite]:
    """Read a suite, or as much of it as was asked for."""
    return api.choose(name, overrides, names(methods), names(objectives))


def names(text: str | None) -> list[str] | None:
    """Read `A,B`; None stays None."""
    return None if text is None else [part.strip() for part in text.split(",")]


def overlay(
    settings: list[str] | None,
    seeds: str | None,
    storage: str | None,
    workers: str | None,
    data_dir: Path | None,
) -> dict[str, Any]:
    """What the flags lay over a suite: dotted key -> value."""
    overrides = dict(setting(text) for text in settings or [])
    overrides |= _given(
        storage=storage,
        workers=None if workers is None else _toml_value(workers),
        seeds=None if seeds is None else _seeds(seeds),
    )
    if data_dir is not None:
        overrides["objective.options.data_dir"] = str(data_dir)
    return overrides


def setting(text: str) -> tuple[str, Any]:
    """Read `KEY=VALUE`.

    Raises:
        InputError: It is none.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise InputError("--set", text, "expected KEY=VALUE, e.g. budget.epochs=300")
    if key.count(".") >= suite.MAX_DEPTH:
        raise InputError("--set", text, f"expected a key of {suite.MAX_DEPTH} parts at most")
    return key, _toml_value(value.strip())


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _toml_value(text: str) -> Any:
    """Read a value as TOML; what is not TOML is a string, and so is what only looks like a date."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # also of numbers with too many digits
        return text
    is_text = len(table) > 1 or isinstance(table["value"], date | time)
    return text if is_text else table["value"]


def _seeds(text: str) -> list[int]:
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            low, high = int(first), int(last if dash else first)
        except ValueError:
            raise InputError("--seeds", text, "expected numbers, e.g. 0,1,2 or 0-9") from None
        if low > high:
            raise InputError("--seeds", text, "expected the lower number first, e.g. 0-9")
        if len(seeds) + high - low >= MAX_SEEDS:  # said before they take all memory
            raise InputError("--seeds", text, f"expected {MAX_SEEDS} seeds at most")
        seeds += range(low, high + 1)
    return seeds
