"""The suite as a file, and the command that runs it again: of what its studies say, which is data.

Nothing that a study names is imported or called, and what is shown can be pasted into a shell.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from hpo_bench.analysis.history import History
from hpo_bench.report.foreign import file_name
from hpo_bench.storage.records import DIRECTORY, SUITE

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def suite_file(suite: str, histories: Sequence[History]) -> str | None:
    """Write the suite as TOML; None where its studies do not say it, or TOML cannot.

    Args:
        suite: Its name.
        histories: Of its runs.
    """
    table = _suite(suite, histories)
    if table is None:
        return None
    text = to_file(table)
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError):  # a null in a list, say
        return None
    return text


def command(suite: str, storage: str) -> str:
    """Give the command that runs a suite's file again, into another storage.

    Args:
        suite: Its name.
        storage: Where it was, without a password.
    """
    where = "sqlite:///repeated.db" if storage.startswith("sqlite") else "URL"
    return f"hpo-bench run {shlex.quote(file_name(suite))}.toml --storage {where}"


def needs_directory(histories: Sequence[History]) -> bool:
    """Whether the suite was given a directory of data, which no study says."""
    told = [h.attributes[SUITE]["objective"] for h in histories if h.attributes.get(SUITE)]
    return any(DIRECTORY in objective.get("options", {}).values() for objective in told)


def program(histories: Sequence[History]) -> str | None:
    """Give the command line that the suite starts as its objective; None if it starts none."""
    told = [h.attributes[SUITE]["objective"] for h in histories if h.attributes.get(SUITE)]
    return next((str(one["command"]) for one in told if one.get("command")), None)


def _suite(suite: str, histories: Sequence[History]) -> dict[str, Any] | None:
    """Put together what the studies say: a method by its own runs, all else by the first one."""
    told = [history for history in histories if history.attributes.get(SUITE)]
    if not told:
        return None
    methods = {h.method: h.attributes[SUITE]["methods"].get(h.method, {}) for h in told}
    seeds = sorted({history.seed for history in told})
    return {"name": suite, "seeds": seeds, **told[0].attributes[SUITE], "methods": methods}


def to_file(table: Mapping[str, Any]) -> str:
    """Write a suite's table as a TOML file."""
    methods = {f"methods.{_key(name)}": spec for name, spec in table["methods"].items()}
    others = {name: value for name, value in table.items() if name != "methods"}
    lines = [f"{_key(k)} = {to_toml(v)}" for k, v in others.items() if not _is_table(v)]
    inner = {_key(name): value for name, value in others.items() if _is_table(value)}
    for heading, entries in {**inner, **methods}.items():
        lines += ["", f"[{heading}]"]
        lines += [f"{_key(k)} = {to_toml(v)}" for k, v in entries.items() if v is not None]
    return "\n".join(lines) + "\n"


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def to_toml(value: Any) -> str:
    """Write a JSON value as TOML on one line; what is `None` in a table is left out."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(k)} = {to_toml(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(to_toml, value)) + "]"
    if isinstance(value, str):
        return _string(value)
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


def _string(text: str) -> str:
    """Quote a string; what is not seen, or turns the direction of what is, shows as its code."""
    return '"' + "".join(map(_character, text)) + '"'


def _character(character: str) -> str:
    if character in '\\"':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    if 0xD800 <= code < 0xE000:  # half of a pair, which is no character
        return "\ufffd"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
