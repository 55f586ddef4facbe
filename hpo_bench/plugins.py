"""Finding methods and objectives: by the name of an entry point, or by an import path."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from operator import attrgetter
from pathlib import Path
from typing import Any, cast

from hpo_bench import hub
from hpo_bench.errors import InputError, MissingExtraError, one_of, reason_of
from hpo_bench.references import Reference

METHODS = "hpo_bench.methods"
OBJECTIVES = "hpo_bench.objectives"

EXTRAS = {
    "bohb": ("bohb", ("hpbandster", "ConfigSpace", "Pyro4", "scipy", "serpent", "statsmodels")),
    "cma-es": ("cma-es", ("cmaes",)),
    "gp": ("gp", ("scipy", "torch")),
    "smac": ("smac", ("smac", "ConfigSpace")),
}
"""Method -> the extra that it needs, and the modules of that extra."""


@dataclass(frozen=True)
class Plugin:
    """An installed extension."""

    name: str
    path: str
    distribution: str
    """The package it comes from, with its version."""


def installed(group: str) -> list[Plugin]:
    """Everything that is registered under an entry-point group, sorted by name."""
    return sorted((_plugin(entry) for entry in entry_points(group=group)), key=lambda p: p.name)


def named(group: str, name: str) -> list[Plugin]:
    """What is registered under one name: by one package, or by several."""
    return [_plugin(entry) for entry in entry_points(group=group, name=name)]


def _plugin(entry: EntryPoint) -> Plugin:
    source = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
    return Plugin(entry.name, entry.value, source)


def look_in(directory: Path) -> None:
    """Let modules be imported from a directory, too: those that stand nowhere else.

    Worker processes get it with the rest of the path. Where Python is told to keep to what is
    installed (`-P`, PYTHONSAFEPATH), nothing changes.
    """
    place = str(directory.absolute())
    if not sys.flags.safe_path and place not in sys.path:
        sys.path.append(place)  # last: a file there replaces no module of Python or of a package


def look_beside(file: str) -> None:
    """Let a suite file name modules that stand beside it; a shipped suite has no such place."""
    if file.endswith(".toml"):
        look_in(Path(file).parent)


def load(field: str, group: str, name: str) -> Callable[..., Any]:
    """Import what `name` stands for: an entry point of `group`, or a path `module:object`.

    A name that begins with `hub:` stands for a class of an OptunaHub package.

    Raises:
        InputError: No such entry point, module or object, or several packages have given it.
        MissingExtraError: A package that it needs is not installed.
    """
    if isinstance(name, Reference):
        return load_path(field, name)
    if name.startswith(hub.PREFIX):
        return hub.load(field, name)
    if ":" in name:
        return load_path(field, name)
    found = {plugin.path: plugin.distribution for plugin in named(group, name)}
    if not found:
        allowed = one_of(name, {plugin.name for plugin in installed(group)})
        expected = _with_colon(name) or f"{allowed}; or an import path module:object"
        raise InputError(field, name, expected)
    if len(found) > 1:
        given = " and ".join(f"{path} ({source})" for path, source in sorted(found.items()))
        raise InputError(field, name, f"it stands for {given}; expected one of these paths")
    missing = missing_module(name) if group == METHODS else None
    if missing is not None:
        raise MissingExtraError(f"the method {name}", EXTRAS[name][0], missing)
    (path,) = found
    return load_path(field, path)


def missing_module(method: str) -> str | None:
    """Name the first module that a method needs and that is not installed; None if all are."""
    _, modules = EXTRAS.get(method, ("", ()))
    return next((one for one in modules if importlib.util.find_spec(one) is None), None)


def _with_colon(path: str) -> str | None:
    """Say how an import path is written, of one whose object stands behind a dot."""
    module, dot, attribute = path.rpartition(".")
    return f"use a colon before the object: {module}:{attribute}" if module and dot else None


def load_path(field: str, path: str) -> Callable[..., Any]:
    """Import `module:object`, unless the object is at hand (`hpo_bench.references`).

    Raises:
        InputError: It is not of that form, or there is no such module or object.
    """
    if isinstance(path, Reference):
        return cast(Callable[..., Any], path.held)
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute or module_name.startswith("."):
        expected = "expected an import path of the form module:object"
        raise InputError(field, path, ("" if ":" in path else _with_colon(path)) or expected)
    try:
        found = attrgetter(attribute)(import_module(module_name))
    except ModuleNotFoundError as error:
        expected = f"ModuleNotFoundError: {error}"
        if error.name is not None:
            expected = (
                f"there is no module {error.name!r}: installed, on PYTHONPATH, in the working "
                "directory, or beside the suite file"
            )
        raise InputError(field, path, expected) from error
    except (Exception, SystemExit) as error:  # whatever somebody else's module raises
        raise InputError(field, path, reason_of(error)) from error
    if not callable(found):
        raise InputError(field, path, "expected a class or a function")
    return cast(Callable[..., Any], found)


def check_options(
    field: str, function: Callable[..., Any], options: Mapping[str, Any], hidden: set[str]
) -> None:
    """See that a callable takes every option; `hidden` names are not for users to give.

    Raises:
        InputError: An option that it does not take.
    """
    allowed, is_open = _parameters(function)
    if is_open:
        return
    allowed -= hidden
    for name in options:
        if name not in allowed:
            raise InputError(f"{field}.{name}", options[name], one_of(name, allowed))


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a callable names a parameter so, itself or where it hands its keywords on."""
    return name in _parameters(function)[0]


def _parameters(function: Callable[..., Any]) -> tuple[set[str], bool]:
    """Names of the keyword arguments, and whether any other is taken, too.

    A class that takes `**kwargs` hands them to the classes that it derives from.
    """
    if not inspect.isclass(function):
        return _own_parameters(function)
    names: set[str] = set()
    for base in inspect.getmro(function):
        if "__init__" in vars(base):
            own, is_open = _own_parameters(vars(base)["__init__"])
            names |= own - {"self"}
            if base is object or not is_open:
                return names, False
    return names, True


def _own_parameters(function: Callable[..., Any]) -> tuple[set[str], bool]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some built-in callables do not tell
        return set(), True
    named = {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)
