"""Python objects as the words of a suite: an objective, methods, a space."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from hpo_bench import plugins
from hpo_bench.errors import InputError
from hpo_bench.objectives import Objective
from hpo_bench.objectives.steps import Steps
from hpo_bench.references import Reference, digest_of, path_of, reference_to
from hpo_bench.spaces import to_table

NAME_LENGTH = 100
"""Characters of a name that is made here; what is called by it adds to them."""


class Copies:
    """Makes copies of an object, one for each run that asks for one.

    Args:
        made: The object.
    """

    def __init__(self, made: Any) -> None:
        self.made = made

    def __call__(self) -> Any:
        """Make another one."""
        return deepcopy(self.made)


def objective_table(objective: Any, direction: str | None, steps: int | None) -> dict[str, Any]:
    """Say what is searched, as the table `objective` of a suite.

    Args:
        objective: A function of a trial, an `Objective` or its class, a problem of OptunaHub, an
            import path of one of these, or the name of an objective.
        direction: Of a function.
        steps: How often a function reports in full.

    Raises:
        InputError: It is none of these, or says its direction itself.
    """
    path = objective if isinstance(objective, str) else None
    found = objective
    if path is not None:
        found = plugins.load_path("objective", path) if ":" in path else None
    if found is not None and _is_of_a_trial(found):
        options = {"function": path or path_of(found), "direction": direction, "steps": steps}
        return {
            "name": "function",
            "options": {name: value for name, value in options.items() if value is not None},
        }
    for name, value in (("direction", direction), ("steps", steps)):
        if value is not None:
            raise InputError(name, value, "the objective says it itself: leave out")
    if path is not None:
        return {"name": path}
    if isinstance(found, Steps):  # not a copy: each run makes it again with its own seed
        return {"name": reference_to(found, named_by=found.function)}
    return {"name": path_of(found) if callable(found) and _makes(found) else _copies(found)}


def _is_of_a_trial(found: Any) -> bool:
    """Whether it is a function of Optuna's: it must be given one thing, the trial."""
    if isinstance(found, Objective) or inspect.isclass(found) or _is_problem(found):
        return False
    if not callable(found):
        raise InputError("objective", found, "expected a function of a trial, or an Objective")
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):  # some built-in callables do not tell
        return True
    needed = [p.name for p in parameters if p.default is p.empty and p.kind < p.VAR_POSITIONAL]
    if len(needed) > 1:
        expected = "a function is called with a trial alone: bind its others by functools.partial"
        raise InputError("objective", f"{_name_of(found)}({', '.join(needed)})", expected)
    return len(needed) == 1


def _is_problem(found: Any) -> bool:
    return all(hasattr(found, name) for name in ("search_space", "directions", "evaluate"))


def _makes(found: Any) -> bool:
    """Whether it makes objectives: a class, or a function that needs nothing."""
    return inspect.isclass(found) or not (isinstance(found, Objective) or _is_problem(found))


def _copies(made: Any) -> Reference:
    return reference_to(Copies(made), named_by=made)


def version(objective: Any) -> str:
    """Tell a function from another version of it, also where its import path is the same."""
    is_path = isinstance(objective, str) and ":" in objective
    found = plugins.load_path("objective", objective) if is_path else objective
    is_function = not isinstance(found, str) and _is_of_a_trial(found)
    return digest_of(found) if is_function else ""


def called(objective: Any) -> str:
    """Give a name for a comparison on an objective."""
    if isinstance(objective, str):
        return slug(objective.rpartition(":")[2])
    return _name_of(objective)


def _name_of(held: Any) -> str:
    held = held.function if isinstance(held, Steps) else held
    held = getattr(held, "func", held)  # of a functools.partial
    return slug(getattr(held, "__name__", type(held).__name__))


def slug(text: str) -> str:
    """Make a name as suites have them: letters, digits and . _ + -, a letter or digit first."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).strip("-._+")[:NAME_LENGTH] or "unnamed"


def digest(table: Mapping[str, Any]) -> str:
    """Give some letters that tell one comparison from another."""
    text = json.dumps(table, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def space_table(space: Mapping[str, Any] | str | None) -> dict[str, Any] | str | None:
    """Write a space as a suite does; Optuna's distributions become tables."""
    if not isinstance(space, Mapping):
        return space
    return {
        name: to_table(value) if isinstance(value, BaseDistribution) else value
        for name, value in space.items()
    }


def methods_table(methods: Any) -> dict[str, dict[str, Any]]:
    """Say how it is searched, as the table `methods` of a suite.

    Args:
        methods: name -> method, or a list of methods, which give their names themselves. A method
            is a name, an import path, a sampler's class, a function that makes a sampler, a pair
            of one of these and a pruner, or a table as in a suite.

    Raises:
        InputError: One is none of these, or two have the same name.
    """
    if isinstance(methods, Mapping):
        return {name: _method(method)[1] for name, method in methods.items()}
    if isinstance(methods, str) or not isinstance(methods, Sequence):
        raise InputError("methods", methods, 'expected a list, e.g. ["random", "pso"]')
    made: dict[str, dict[str, Any]] = {}
    for method in methods:
        name, table = _method(method)
        if name in made:
            expected = "two have this name: give {name: method}"
            raise InputError("methods", name, expected)
        made[name] = table
    return made


def _method(method: Any) -> tuple[str, dict[str, Any]]:
    """Give the name of a method, and its table."""
    if isinstance(method, str):
        return _named(method)
    if isinstance(method, Mapping):
        return _as_in_a_suite(method)
    if isinstance(method, tuple) and len(method) == 2:
        name, table = _method(method[0])
        return f"{name}+{_name_of(method[1])}", table | {"pruner": _maker(method[1], BasePruner)}
    return _name_of(method), {"sampler": _maker(method, BaseSampler)}


def _named(method: str) -> tuple[str, dict[str, Any]]:
    if ":" in method:
        return slug(method.rpartition(":")[2]), {"sampler": method}
    return method, {"method": method}


def _as_in_a_suite(method: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    table = dict(method)
    name = table.pop("name", None)
    target = table.get("sampler", table.get("method"))
    for key, kind in (("sampler", BaseSampler), ("pruner", BasePruner)):
        if key in table and not isinstance(table[key], str):
            table[key] = _maker(table[key], kind)
    if name is None and target is None:
        raise InputError("methods", dict(method), "expected a name, a method or a sampler in it")
    return name or (called(target)), table


def _maker(held: Any, kind: type) -> str:
    """Give the path of what makes a sampler or a pruner."""
    if isinstance(held, kind):
        if kind is BasePruner:
            return _copies(held)
        made = type(held).__name__
        expected = (
            f"every run needs a sampler of its own, by its seed: give the class {made}, or a "
            f"function that makes one, e.g. lambda seed: {made}(seed=seed)"
        )
        raise InputError("methods", made, expected)
    if not callable(held):
        expected = "expected a name, a sampler's class, a function that makes a sampler, or a pair"
        raise InputError("methods", held, f"{expected} (sampler, pruner)")
    return path_of(held)
