"""The suite as a file, and the command that runs it again."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from hpo_bench import suite as suites
from hpo_bench.analysis.history import History
from hpo_bench.errors import HpoBenchError

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def suite_file(suite: str, histories: Sequence[History]) -> str | None:
    """Write the suite as TOML from what its studies say; None where they say nothing.

    Hyperparameters that were held at a value stand in it beside those that were searched.
    """
    told = [history for history in histories if history.attributes]
    if not told:
        return None
    first = told[0].attributes
    lines = [
        f"name = {to_toml(suite)}",
        f"seeds = {to_toml(sorted({history.seed for history in histories}))}",
        *(f"{key} = {to_toml(first[key])}" for key in _WORKERS if key in first),
        "",
        "[objective]",
        f"name = {to_toml(first['objective'])}",
        *_entry("options", first["objective_options"]),
        "",
        "[space]",
        *(f"{_key(k)} = {to_toml(v)}" for k, v in first["search_space"].items()),
        *(f"{_key(k)} = {to_toml(v)}" for k, v in first.get("fixed", {}).items()),
        "",
        "[budget]",
        *(f"{key} = {to_toml(value)}" for key, value in first["budget"].items()),
    ]
    methods = {history.method: history.attributes for history in told}
    for name, attributes in methods.items():
        lines += ["", f"[methods.{_key(name)}]", *_method(name, attributes)]
    return "\n".join(lines) + "\n"


def command(suite: str, text: str | None, storage: str) -> str:
    """Give the command that runs a suite again, into another storage.

    Args:
        suite: Its name.
        text: The suite as `suite_file` wrote it.
        storage: Where it was, without a password.
    """
    name = suite if text is not None and _is_shipped(suite, text) else f"{suite}.toml"
    seeds = "" if text is None else _seeds(tomllib.loads(text)["seeds"])
    where = "sqlite:///repeated.db" if storage.startswith("sqlite") else "URL"
    return f"hpo-bench run {name}{seeds} --storage {where}"


_WORKERS = ("workers_per_run", "deterministic")


def _is_shipped(name: str, text: str) -> bool:
    """Whether the package has a suite of this name that means the same."""
    if name not in suites.shipped():
        return False
    try:
        ours, there = suites.load(name), suites.parse(tomllib.loads(text))
        definitions = [
            {method: made.definition(method) for method in made.methods} for made in (ours, there)
        ]
        spaces = [made.build_objective(0).search_space for made in (ours, there)]
    except HpoBenchError:  # made by another version: then only the file can say what it was
        return False
    return definitions[0] == definitions[1] and spaces[0] == spaces[1]


def _seeds(seeds: Sequence[int]) -> str:
    is_range = len(seeds) > 1 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    told = f"{seeds[0]}-{seeds[-1]}" if is_range else ",".join(map(str, seeds))
    return f" --seeds {told}"


def _method(name: str, attributes: Mapping[str, Any]) -> list[str]:
    target = attributes["method"]
    lines = []
    if ":" in target:
        lines.append(f"sampler = {to_toml(target)}")
    elif target != name:
        lines.append(f"method = {to_toml(target)}")
    lines += _entry("options", attributes["method_options"])
    if attributes["pruner"] is not None:
        lines.append(f"pruner = {to_toml(attributes['pruner'])}")
    return lines + _entry("pruner_options", attributes["pruner_options"])


def _entry(key: str, table: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {to_toml(table)}"] if table else []


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)


def to_toml(value: Any) -> str:
    """Write a JSON value as TOML on one line; what is `None` in a table is left out."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(k)} = {to_toml(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(to_toml, value)) + "]"
    return json.dumps(value)
