"""The tested method or objective, named as in a suite."""

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
"""Fidelity of the tests' evaluations in units: enough for methods that stop some of them early."""


@dataclass(frozen=True)
class Method:
    """A tested method."""

    target: str
    """A name registered under `hpo_bench.methods`, or an import path `module:object`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the method, as in a suite: name -> value."""

    def search(
        self,
        space: Space,
        *,
        seed: int = 0,
        direction: Literal["minimize", "maximize"] = "minimize",
    ) -> Search:
        """Build a search by the method, on an empty study in memory.

        Args:
            space: The search space.
            seed: Seed of the method, 0 or more.
            direction: Direction of the study.

        Raises:
            HpoBenchError: The method cannot be built for this space or with these options.
        """
        study = optuna.create_study(direction=direction, pruner=NopPruner())
        setup = Setup(study, space, seed, MAX_FIDELITY)
        return methods.build("method", setup, target=self.target, options=self.options)

    def sampler(self, *, seed: int = 0) -> BaseSampler | None:
        """Build the method's sampler for a study whose space is not known beforehand.

        Returns:
            The sampler; None if it needs the space as an argument, or is no Optuna sampler.
        """
        found = self.factory
        if plugins.takes(found, "setup") or _must_be_given(found, "search_space"):
            return None
        made = found(**self.options, **({"seed": seed} if plugins.takes(found, "seed") else {}))
        return made if isinstance(made, BaseSampler) else None

    @property
    def factory(self) -> Any:
        """The class or function that the target names."""
        return plugins.load("method", plugins.METHODS, self.target)


@dataclass(frozen=True)
class ObjectiveType:
    """A tested objective."""

    target: str
    """A name registered under `hpo_bench.objectives`, or an import path `module:object`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the objective, as in a suite: name -> value."""

    def build(self, *, seed: int = 0) -> Objective:
        """Build the objective as a run does, and load its data.

        Args:
            seed: Seed of the run, 0 or more.

        Raises:
            HpoBenchError: The objective cannot be built, or its data do not exist.
        """
        made = objectives.build(self.target, None, seed, self.options)
        made.prepare()
        return made


Candidate = Method | ObjectiveType


def candidate(target: str, options: Mapping[str, Any]) -> Candidate:
    """Find out whether a target is a method or an objective, and build it once.

    Args:
        target: A registered name, or an import path `module:object`.
        options: Its keyword arguments.

    Raises:
        HpoBenchError: The target is neither or both, or cannot be built.
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
    """Call a function as a suite would; return whether it builds an objective."""
    try:
        objectives.build(target, None, 0, {})
    except HpoBenchError:
        return False
    return True
