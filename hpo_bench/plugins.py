"""Finding methods and objectives: by the name of an entry point, or by an import path."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from operator import attrgetter
from typing import Any, cast

from hpo_bench.errors import InputError, one_of

METHODS = "hpo_bench.methods"
OBJECTIVES = "hpo_bench.objectives"


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


def _plugin(entry: EntryPoint) -> Plugin:
    source = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
    return Plugin(entry.name, entry.value, source)


def load(field: str, group: str, name: str) -> Callable[..., Any]:
    """Import what `name` stands for: an entry point of `group`, or a path `module:object`.

    Raises:
        InputError: No such entry point, module or object.
    """
    if ":" in name:
        return load_path(field, name)
    known = {plugin.name: plugin for plugin in installed(group)}
    if name not in known:
        raise InputError(field, name, f"{one_of(name, known)}; or an import path module:object")
    return load_path(field, known[name].path)


def load_path(field: str, path: str) -> Callable[..., Any]:
    """Import `module:object`.

    Raises:
        InputError: It is not of that form, or there is no such module or object.
    """
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise InputError(field, path, "expected an import path of the form module:object")
    try:
        found = attrgetter(attribute)(import_module(module_name))
    except ModuleNotFoundError as error:
        raise InputError(field, path, f"there is no module {error.name!r} here") from error
    except AttributeError as error:
        raise InputError(field, path, str(error)) from error
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
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    allowed = {
        parameter.name
        for parameter in parameters
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    } - hidden
    for name in options:
        if name not in allowed:
            raise InputError(f"{field}.{name}", options[name], one_of(name, allowed))


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a callable has a parameter of that name, or takes any."""
    parameters = inspect.signature(function).parameters
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
