"""Classes of OptunaHub packages, loaded by names such as `hub:samplers/auto_sampler`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

from hpo_bench.errors import InputError, needing, one_of, reason_of

PREFIX = "hub:"

_NAME = re.compile(r"hub:(?P<package>\w+(?:/\w+)+)(?:#(?P<ref>[\w./-]+))?(?::(?P<attribute>\w+))?")


def load(field: str, name: str) -> Callable[..., Any]:
    """Load a class of an OptunaHub package, and download the package on first use.

    OptunaHub keeps what it has downloaded in its cache directory, and does not download it again.

    Args:
        field: Where the name stands, for error messages.
        name: `hub:PACKAGE[#REF][:CLASS]`. REF is a branch, tag or commit of the registry; without
            it, `main`. CLASS may be left out where the package exports one class.

    Raises:
        InputError: The name has another form, or there is no such package or class.
        MissingExtraError: optunahub is not installed.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise InputError(field, name, "expected hub:PACKAGE, hub:PACKAGE#REF or hub:PACKAGE:CLASS")
    with needing("hub", "a package of OptunaHub"):
        import optunahub  # noqa: F401
    try:
        module = _package(found["package"], found["ref"] or "main")
    except (Exception, SystemExit) as error:  # whatever the download or the module raises
        expected = f"OptunaHub cannot load it: {reason_of(error)}"
        raise InputError(field, name, expected) from error
    classes = _classes(module)
    wanted = found["attribute"] or (next(iter(classes)) if len(classes) == 1 else None)
    if wanted is None:
        raise InputError(field, name, f"expected {name}:CLASS, where CLASS is {_listed(classes)}")
    if wanted not in classes:
        raise InputError(field, name, f"no such class; {one_of(wanted, classes)}")
    return classes[wanted]


@cache
def _package(package: str, ref: str) -> ModuleType:
    """Load a package once: OptunaHub would execute it again, and make its classes anew."""
    import optunahub

    return optunahub.load_module(package, ref=ref)


def _classes(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The classes that a package exports: name -> class."""
    exported = getattr(module, "__all__", [name for name in vars(module) if name[0] != "_"])
    found = {name: getattr(module, name, None) for name in exported}
    return {name: value for name, value in found.items() if inspect.isclass(value)}


def _listed(classes: dict[str, Callable[..., Any]]) -> str:
    return " or ".join(classes) or "a class, but the package exports none"
