"""Options that several commands take, and how they are read."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpo_bench.cli.root import lazily
from hpo_bench.errors import HpoBenchError, InputError
from hpo_bench.known import MAX_SEEDS, shipped

if TYPE_CHECKING:
    from hpo_bench import api, suite
    from hpo_bench.suite import Suite
else:
    suite = lazily("hpo_bench.suite")
    api = lazily("hpo_bench.api")


def _suites_that_start_so(incomplete: str) -> list[str]:
    """Complete a suite's name, or a suite file of the working directory, in the shell."""
    known = [*shipped(), *(file.name for file in Path().glob("*.toml"))]
    return [name for name in known if name.startswith(incomplete)]


def _methods_that_start_so(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the last of several methods, of the suite that stands before it."""
    before, comma, last = incomplete.rpartition(",")
    for word in context.args:
        with suppress(HpoBenchError):
            known = suite.load_all(word)[0].methods
            return [f"{before}{comma}{name}" for name in known if name.startswith(last)]
    return []


StorageOption = Annotated[
    str, typer.Option("--storage", metavar="URL", help="SQLAlchemy URL of the storage.")
]


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
