"""Write a starter package with a sampler or an objective and its test, or a copy of a suite."""

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
"""Suffix of all template files, so that tools for Python and TOML do not read them."""


class Kind(StrEnum):
    """The kind of thing to write."""

    SAMPLER = "sampler"
    OBJECTIVE = "objective"
    SUITE = "suite"


def create(kind: Kind, name: str, directory: Path | None = None) -> Path:
    """Write a package that registers a sampler or an objective under a name.

    Args:
        kind: What the package adds.
        name: Name of the package, also in suites: words of small letters and digits, joined by
            dashes.
        directory: A new or empty directory for the package; None: a directory of this name in the
            working directory.

    Returns:
        The directory.

    Raises:
        InputError: The name is malformed or taken, the directory is not empty, or it cannot be
            written.
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
        name: Name of the copy, of its file and of its runs' studies.
        source: The suite to copy: the name of a shipped suite, or a `.toml` file.
        directory: Directory for the file; None: the working directory.

    Returns:
        The file, `<name>.toml`.

    Raises:
        HpoBenchError: The suite does not exist, the name is malformed, or the file exists or cannot
            be written.
    """
    from hpo_bench import suite  # help and completion need not wait for Optuna

    if not re.fullmatch(suite.NAME, name) or len(name) > suite.LONGEST_NAME:
        expected = "expected letters, digits and . _ + -, a letter or digit first: my-suite"
        raise InputError("NAME", name, expected)
    # Without the key `name`, a suite has the name of its file. With the original's key, the copy
    # would continue the runs of the original.
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
    """Return the Python module of a package's name; raise InputError if it cannot be used."""
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
    """Return the class of a package's name: `my-grid` gives `MyGrid` or `MyGridSampler`."""
    made = "".join(word.capitalize() for word in name.split("-"))
    return made if kind is Kind.OBJECTIVE or made.endswith("Sampler") else f"{made}Sampler"
