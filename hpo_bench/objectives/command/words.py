"""The words of a command line: split once, with values put in for `{names}`. No shell is involved.

A value that holds spaces, quotes or `;` therefore stays one argument of the program.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Any

from hpo_bench.errors import InputError

FIELD = "command"


def split(command: str) -> list[str]:
    """Split a command line into words as a POSIX shell does.

    Args:
        command: The program and its arguments. An argument may hold `{name}`; `{{` and `}}` stand
            for braces.

    Returns:
        One word or more, the braces still in them.

    Raises:
        InputError: It is empty, a quotation is not closed, braces hold anything but a name, or the
            program's own name holds one.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(FIELD, command, f"expected a command line: {error}") from None
    if not words or "\0" in command:
        expected = 'expected a program and its arguments: "python train.py --lr {lr}"'
        raise InputError(FIELD, command, expected)
    for word in words:
        names_in(word)
    if names_in(words[0]):
        raise InputError(FIELD, words[0], "expected a program's name without braces")
    return words


def names_in(word: str) -> list[str]:
    """List the names that stand in braces.

    Raises:
        InputError: Braces do not match, or hold anything but a name.
    """
    return [name for _, name in _parts(word) if name is not None]


def fill(word: str, values: Mapping[str, Any]) -> str:
    """Put values in for the names: texts as they are, numbers and booleans as JSON writes them."""
    return "".join(
        literal + ("" if name is None else _text(values[name])) for literal, name in _parts(word)
    )


def _parts(word: str) -> Iterator[tuple[str, str | None]]:
    hint = "write {{ and }} for braces that are meant as they stand"
    try:
        parts = list(Formatter().parse(word))
    except ValueError as error:
        raise InputError(FIELD, word, f"{error}; {hint}") from None
    for literal, name, format_spec, conversion in parts:
        if name == "" or format_spec or conversion:
            raise InputError(FIELD, word, f"expected a parameter's name in braces: {{lr}}; {hint}")
        yield literal, name


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
