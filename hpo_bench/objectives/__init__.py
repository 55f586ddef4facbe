"""What is searched: the objective's contract, and objectives by name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from optuna.distributions import BaseDistribution

from hpo_bench import plugins
from hpo_bench.errors import HpoBenchError, InputError, reason_of
from hpo_bench.objectives.base import Evaluation, Objective, suggest
from hpo_bench.objectives.plain import PlainObjective
from hpo_bench.objectives.steps import Steps
from hpo_bench.spaces import contains, is_known

__all__ = ["Evaluation", "Objective", "build", "suggest", "takes_seed"]


def build(
    name: str,
    space: Mapping[str, Any] | str | None,
    seed: int,
    options: Mapping[str, Any],
    keys: Collection[str] = (),
) -> Objective:
    """Make the objective that a suite names.

    Args:
        name: An entry point of `hpo_bench.objectives`, or an import path `module:object`.
        space: What to search, as `hpo_bench.spaces` reads it; None for the objective's default.
        seed: Of its random draws (initial weights, order of the data), where it takes one.
        options: Its further arguments.
        keys: Those of them that stand beside `options` in a suite's `[objective]`.

    Raises:
        InputError: No such objective, an option it does not take, or a space it cannot have.
    """
    factory = _factory(plugins.load("objective.name", plugins.OBJECTIVES, name))
    own = {key: value for key, value in options.items() if key not in keys}
    plugins.check_options("objective.options", factory, own, hidden={"space", "seed", *keys})
    arguments = dict(options)
    if space is not None:
        if not plugins.takes(factory, "space"):
            raise InputError("space", space, f"the space of objective {name!r} is fixed: leave out")
        arguments["space"] = space
    if plugins.takes(factory, "seed"):
        arguments["seed"] = seed
    try:
        built = factory(**arguments)
    except InputError as error:
        raise _placed(error, keys) from error
    except HpoBenchError:
        raise
    except Exception as error:  # whatever somebody else's code raises
        raise InputError("objective.options", dict(options), reason_of(error)) from error
    objective = built if isinstance(built, Objective) else PlainObjective(built)
    _check(name, objective)
    return objective


def _placed(error: InputError, keys: Collection[str]) -> InputError:
    """Name the field of an error as it stands in a suite."""
    first = error.field.partition(".")[0]
    if first == "space":
        return error
    return error.under("objective" if first in keys else "objective.options")


def takes_seed(name: str) -> bool:
    """Whether the objective of that name can be trained by another seed.

    Raises:
        InputError: There is no such objective.
    """
    found = plugins.load("objective.name", plugins.OBJECTIVES, name)
    return found.takes_seed if isinstance(found, Steps) else plugins.takes(_factory(found), "seed")


def _factory(found: Callable[..., Any]) -> Callable[..., Any]:
    """Give what makes an objective, also where an import path leads to an objective itself."""
    if isinstance(found, Steps):
        return found.remade
    if isinstance(found, Objective):
        return lambda: found
    return found


def _check(name: str, objective: Objective) -> None:
    try:
        space, directions = objective.search_space, objective.directions
        is_open = not is_known(space)
        is_space = is_open or all(isinstance(d, BaseDistribution) for d in space.values())
    except Exception as error:  # a method where a property is expected, say
        raise InputError("objective.name", name, f"its search_space: {reason_of(error)}") from error
    if not is_space:
        raise InputError("objective.name", name, "its search_space must hold distributions")
    default = objective.default
    if default is not None and not is_open and not contains(space, default):
        raise InputError("objective.name", name, f"its default is not in its space: {default}")
    if len(directions) != 1:
        raise InputError("objective.name", name, "it has several values; methods compare on one")
