"""What is searched: the objective's contract, and objectives by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution

from hpo_bench import plugins
from hpo_bench.errors import HpoBenchError, InputError, reason_of
from hpo_bench.objectives.base import Evaluation, Objective, suggest
from hpo_bench.objectives.plain import PlainObjective
from hpo_bench.spaces import contains, is_known

__all__ = ["Evaluation", "Objective", "build", "suggest", "takes_seed"]


def build(
    name: str, space: Mapping[str, Any] | str | None, seed: int, options: Mapping[str, Any]
) -> Objective:
    """Make the objective that a suite names.

    Args:
        name: An entry point of `hpo_bench.objectives`, or an import path `module:object`.
        space: What to search, as `hpo_bench.spaces` reads it; None for the objective's default.
        seed: Of its random draws (initial weights, order of the data), where it takes one.
        options: Its further arguments.

    Raises:
        InputError: No such objective, an option it does not take, or a space it cannot have.
    """
    factory = plugins.load("objective.name", plugins.OBJECTIVES, name)
    plugins.check_options("objective.options", factory, options, hidden={"space", "seed"})
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
        is_option = error.field.partition(".")[0] != "space"
        raise (error.under("objective.options") if is_option else error) from error
    except HpoBenchError:
        raise
    except Exception as error:  # whatever somebody else's code raises
        raise InputError("objective.options", dict(options), reason_of(error)) from error
    objective = built if isinstance(built, Objective) else PlainObjective(built)
    _check(name, objective)
    return objective


def takes_seed(name: str) -> bool:
    """Whether the objective of that name can be trained by another seed.

    Raises:
        InputError: There is no such objective.
    """
    return plugins.takes(plugins.load("objective.name", plugins.OBJECTIVES, name), "seed")


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
