"""The suite as a file, and the command that runs it again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hpo_bench import objectives, plugins
from hpo_bench.analysis.history import History
from hpo_bench.errors import HpoBenchError, MissingExtraError
from hpo_bench.spaces import to_table

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def suite_file(suite: str, histories: Sequence[History], *, confirm: int = 0) -> str | None:
    """Write the suite as TOML from what its studies say; None where they say nothing.

    Args:
        suite: Its name.
        histories: Of its runs.
        confirm: How often incumbents were trained again, which no run's study says.
    """
    told = [history for history in histories if history.attributes]
    if not told:
        return None
    first = told[0].attributes
    lines = [
        f"name = {to_toml(suite)}",
        f"seeds = {to_toml(sorted({history.seed for history in histories}))}",
        *(f"{key} = {to_toml(first[key])}" for key in _WORKERS if key in first),
        *([f"confirm = {confirm}"] if confirm else []),
        "",
        "[objective]",
        f"name = {to_toml(first['objective'])}",
        *_entry("options", first["objective_options"]),
        *_space(first),
        "",
        "[budget]",
        *(f"{key} = {to_toml(value)}" for key, value in _budget(first).items()),
    ]
    methods = {history.method: history.attributes for history in told}
    for name, attributes in methods.items():
        lines += ["", f"[methods.{_key(name)}]", *_method(name, attributes)]
    return "\n".join(lines) + "\n"


def command(suite: str, storage: str, *, with_directory: bool = False) -> str:
    """Give the command that runs a suite's file again, into another storage.

    Args:
        suite: Its name.
        storage: Where it was, without a password.
        with_directory: Let it name the directory of the data, which no study says.
    """
    where = "sqlite:///repeated.db" if storage.startswith("sqlite") else "URL"
    data = " --data-dir DIRECTORY" if with_directory else ""
    return f"hpo-bench run {suite}.toml --storage {where}{data}"


def needs_directory(histories: Sequence[History]) -> bool:
    """Whether the objective takes a directory of data, and cannot be built here without one."""
    told = next((history.attributes for history in histories if history.attributes), None)
    if told is None or not _takes(told, "data_dir"):
        return False
    try:
        objectives.build(told["objective"], None, 0, told["objective_options"])
    except MissingExtraError:
        return False
    except HpoBenchError:
        return True
    return False


_WORKERS = ("workers_per_run", "batch_size", "deterministic")


def _budget(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Give the suite's budget, of which the run may have had a multiple."""
    factor = attributes.get("budget_factor", 1)
    return {
        key: value if key == "target" or factor == 1 else type(value)(value / factor)
        for key, value in attributes["budget"].items()
    }


def _space(attributes: Mapping[str, Any]) -> list[str]:
    """Write what was searched, and what was held; nothing where an objective's own is that."""
    searched, fixed = attributes["search_space"], attributes.get("fixed", {})
    if _takes(attributes, "space") is False:  # a fixed one, which must not be given
        return []
    if not fixed and _own_space(attributes) == searched:
        return []
    values = {**searched, **fixed}
    return ["", "[space]", *(f"{_key(k)} = {to_toml(v)}" for k, v in values.items())]


def _takes(attributes: Mapping[str, Any], option: str) -> bool | None:
    """Whether the objective takes an option; None if it cannot be found here."""
    try:
        factory = plugins.load("objective.name", plugins.OBJECTIVES, attributes["objective"])
    except HpoBenchError:
        return None
    return plugins.takes(factory, option)


def _own_space(attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the space that the objective has if none is given; None if it cannot be built here."""
    name, options = attributes["objective"], attributes["objective_options"]
    try:
        objective = objectives.build(name, None, 0, options)
    except HpoBenchError:
        return None
    own: dict[str, Any] = json.loads(
        json.dumps({name: to_table(dist) for name, dist in objective.search_space.items()})
    )
    return own


def _method(name: str, attributes: Mapping[str, Any]) -> list[str]:
    target = attributes["method"]
    lines = []
    if ":" in target:
        lines.append(f"sampler = {to_toml(target)}")
    elif target != name:
        lines.append(f"method = {to_toml(target)}")
    if attributes.get("budget_factor", 1) > 1:
        lines.append(f"budget_factor = {attributes['budget_factor']}")
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
