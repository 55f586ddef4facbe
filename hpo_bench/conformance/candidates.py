"""What is tested: a method or an objective, named as a suite names it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna
from optuna.pruners import NopPruner
from optuna.samplers import BaseSampler

from hpo_bench import methods, objectives, plugins
from hpo_bench.conformance.problems import NUMBERS
from hpo_bench.errors import HpoBenchError, InputError, one_of
from hpo_bench.objectives import Objective
from hpo_bench.search import Search, Setup
from hpo_bench.spaces import Space

MAX_FIDELITY = 3
"""Of the evaluations that methods are given: enough for a method that stops some early."""


@dataclass(frozen=True)
class Method:
    """A method: a name registered under `hpo_bench.methods`, or `module:object`."""

    target: str
    """Its name, or `module:object`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Its own keyword arguments, as a suite would give them."""

    def search(
        self,
        space: Space,
        *,
        seed: int = 0,
        direction: Literal["minimize", "maximize"] = "minimize",
    ) -> Search:
        """Set it to work on an empty study in memory.

        Raises:
            HpoBenchError: It cannot be built for this space, or does not take its options.
        """
        study = optuna.create_study(direction=direction, pruner=NopPruner())
        setup = Setup(study, space, seed, MAX_FIDELITY)
        return methods.build("method", setup, target=self.target, options=self.options)

    def sampler(self, *, seed: int = 0) -> BaseSampler | None:
        """Make its sampler, for a study whose space shows only as it goes.

        Returns:
            None if it must be told the space beforehand, or is a search of its own.
        """
        found = self.factory
        if plugins.takes(found, "setup") or _must_be_given(found, "search_space"):
            return None
        made = found(**self.options, **({"seed": seed} if plugins.takes(found, "seed") else {}))
        return made if isinstance(made, BaseSampler) else None

    @property
    def factory(self) -> Any:
        """What the target stands for."""
        return plugins.load("method", plugins.METHODS, self.target)


@dataclass(frozen=True)
class ObjectiveType:
    """An objective: a name registered under `hpo_bench.objectives`, or `module:object`."""

    target: str
    """Its name, or `module:object`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Its own keyword arguments, as a suite would give them."""

    def build(self, *, seed: int = 0) -> Objective:
        """Make it as a run does, its data in memory.

        Raises:
            HpoBenchError: It cannot be built, or its data is not there.
        """
        made = objectives.build(self.target, None, seed, self.options)
        made.prepare()
        return made


Candidate = Method | ObjectiveType


def candidate(target: str, options: Mapping[str, Any]) -> Candidate:
    """Tell whether a name or an import path stands for a method or for an objective.

    Raises:
        HpoBenchError: It stands for neither, or for both, or cannot be built.
    """
    made: Candidate
    if _is_method(target):
        made = Method(target, options)
        made.search(NUMBERS)
    else:
        made = ObjectiveType(target, options)
        objectives.build(target, None, 0, options)
    return made


def _is_method(target: str) -> bool:
    if ":" in target:
        return _makes_a_method(target, plugins.load("TARGET", plugins.METHODS, target))
    registered, others = (
        {plugin.name for plugin in plugins.installed(group)}
        for group in (plugins.METHODS, plugins.OBJECTIVES)
    )
    if target in registered & others:
        raise InputError("TARGET", target, "it names a method and an objective; give module:object")
    if target not in registered | others:
        known = one_of(target, registered | others)
        raise InputError("TARGET", target, f"{known}; or an import path module:object")
    return target in registered


def _makes_a_method(target: str, found: Any) -> bool:
    if plugins.takes(found, "setup"):
        return True
    if inspect.isclass(found):
        is_sampler = issubclass(found, BaseSampler | Search)
        if not is_sampler and not hasattr(found, "evaluate"):
            expected = "expected a sampler, or an objective with search_space, directions, evaluate"
            raise InputError("TARGET", target, expected)
        return is_sampler
    return not _makes_an_objective(target)


def _must_be_given(found: Any, name: str) -> bool:
    parameter = inspect.signature(found).parameters.get(name)
    return parameter is not None and parameter.default is parameter.empty


def _makes_an_objective(target: str) -> bool:
    """Ask a function what it makes by calling it as a suite would."""
    try:
        objectives.build(target, None, 0, {})
    except HpoBenchError:
        return False
    return True
