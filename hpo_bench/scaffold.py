"""Something to start from: a package with a sampler or an objective and its test, or a suite."""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from string import Template

from hpo_bench import plugins
from hpo_bench.errors import InputError

_FOLDER = files("hpo_bench") / "templates"
_ENDING = ".txt"
"""Keeps tools for Python and TOML away from what is no file of theirs yet."""


class Kind(StrEnum):
    """What is written."""

    SAMPLER = "sampler"
    OBJECTIVE = "objective"
    SUITE = "suite"


def create(kind: Kind, name: str, directory: Path | None = None) -> Path:
    """Write a package that registers a sampler or an objective under a name.

    Args:
        kind: What it adds.
        name: Of the package, and in suites; words of small letters and digits, joined by dashes.
        directory: Where it goes, new or empty; by default the name, in the working directory.

    Returns:
        The directory.

    Raises:
        InputError: The name cannot be used, or the directory holds something.
    """
    module = _module(name)
    _check_unregistered(name)
    target = directory or Path(name)
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InputError("--directory", str(target), "it holds something; expected a new one")
        target.mkdir(parents=True, exist_ok=True)
        for template in sorted((_FOLDER / kind.value).iterdir(), key=lambda file: file.name):
            text = Template(template.read_text(encoding="utf-8"))
            made = text.substitute(name=name, module=module, kind=_class(name, kind))
            path = target / template.name.removesuffix(_ENDING).replace("module", module)
            path.write_text(made, encoding="utf-8")
    except OSError as error:
        raise InputError("--directory", str(target), f"it cannot be written: {error}") from error
    return target


def create_suite(name: str, source: str, directory: Path | None = None) -> Path:
    """Write a copy of a suite, comments included, under another name.

    Args:
        name: Of the copy: its file is called so, and so are the studies of its runs.
        source: What is copied: the name of a shipped suite, or a `.toml` file.
        directory: Where the file goes; by default the working directory.

    Returns:
        The file, `<name>.toml`.

    Raises:
        HpoBenchError: There is no such suite, the name cannot be used, or the file is there.
    """
    from hpo_bench import suite  # help and completion need not wait for Optuna

    if not re.fullmatch(suite.NAME, name) or len(name) > suite.LONGEST_NAME:
        expected = "expected letters, digits and . _ + -, a letter or digit first: my-suite"
        raise InputError("NAME", name, expected)
    # Without `name` a suite is called as its file: the copy would else go on with the original.
    top, table, rest = re.split(r"(?m)(^\[|\Z)", suite.text_of(source), maxsplit=1)
    text = re.sub(r"(?m)^name\s*=.*\n?", "", top) + table + rest
    path = (directory or Path()) / f"{name}.toml"
    if os.path.lexists(path):
        raise InputError("NAME", name, f"{path} is there; take another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError("--directory", str(path), f"it cannot be written: {error}") from error
    return path


def _module(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        expected = "expected words of small letters and digits, joined by dashes: my-sampler"
        raise InputError("NAME", name, expected)
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or importlib.util.find_spec(module) is not None:
        raise InputError("NAME", name, f"Python has a module {module!r} already; take another name")
    return module


def _check_unregistered(name: str) -> None:
    for group in (plugins.METHODS, plugins.OBJECTIVES):
        for plugin in plugins.named(group, name):
            expected = f"{plugin.distribution} gives it to {plugin.path}; take another name"
            raise InputError("NAME", name, expected)


def _class(name: str, kind: Kind) -> str:
    made = "".join(word.capitalize() for word in name.split("-"))
    return made if kind is Kind.OBJECTIVE or made.endswith("Sampler") else f"{made}Sampler"
