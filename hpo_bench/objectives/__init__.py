"""What is searched: the objective's contract, and objectives by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo_bench import plugins
from hpo_bench.errors import HpoBenchError, InputError
from hpo_bench.objectives.base import Evaluation, Objective, suggest
from hpo_bench.objectives.plain import PlainObjective

__all__ = ["Evaluation", "Objective", "build", "suggest"]


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
    if space:
        if not plugins.takes(factory, "space"):
            raise InputError("space", space, f"the space of objective {name!r} is fixed: leave out")
        arguments["space"] = space
    if plugins.takes(factory, "seed"):
        arguments["seed"] = seed
    try:
        built = factory(**arguments)
    except (TypeError, ValueError) as error:
        raise InputError("objective.options", dict(options), str(error)) from error
    objective = built if isinstance(built, Objective) else PlainObjective(built)
    if len(objective.directions) != 1:
        raise HpoBenchError(f"objective {name!r} has several values; methods compare on one")
    return objective
