"""What the evaluations say of the search space: which hyperparameters matter."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, create_trial

from hpo_bench.analysis.history import History, budget_factor
from hpo_bench.analysis.targets import plain_random
from hpo_bench.spaces import Configuration, Space

Point = tuple[str, Configuration, float]
"""A full evaluation: its method, its configuration, its value."""

MIN_EVALUATIONS = 30
"""Full evaluations below which importances are noise: the best tenth would be two of them."""


@dataclass(frozen=True)
class Importances:
    """Shares of the hyperparameters in what tells the best tenth of the evaluations apart."""

    shares: dict[str, float]
    """Largest first; they add up to 1."""
    evaluations: int
    source: str
    """Whose evaluations they are."""


def importances(histories: Sequence[History]) -> Importances | None:
    """Judge hyperparameters by random search's evaluations, or by everybody's if those are few.

    Only random search looks everywhere alike; others look where they hope. None if there are too
    few evaluations, or a single hyperparameter.

    Source: Watanabe, Bansal and Hutter 2023, "PED-ANOVA", as Optuna has it.
    """
    usual = [history for history in histories if budget_factor(history) == 1]
    for source, runs in (("random search", plain_random(histories)), ("all methods", usual)):
        trials = _trials(runs)
        if len(trials) >= MIN_EVALUATIONS and len(trials[0].params) > 1:
            study = optuna.create_study(direction="maximize" if runs[0].maximise else "minimize")
            study.add_trials(trials)
            found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
            return Importances(found, len(trials), source)
    return None


def searched(histories: Sequence[History]) -> Space:
    """What was searched: name -> distribution; empty if there are no trials."""
    return next((history.space for history in histories if history.space), {})


def levels(histories: Sequence[History]) -> dict[str, dict[int, float]]:
    """Give what the levels of a recorded table stand for: name -> level -> number.

    Only of hyperparameters whose levels stand for one number each, in every evaluation.
    """
    found: dict[str, dict[int, set[float]]] = {
        name: {}
        for name, dist in searched(histories).items()
        if isinstance(dist, IntDistribution) and not dist.log
    }
    for history in histories:
        for step in history.steps:
            for name in found.keys() & step.recorded.keys() & step.configuration.keys():
                level = step.configuration[name]
                found[name].setdefault(level, set()).add(step.recorded[name])
    return {
        name: {level: min(numbers) for level, numbers in sorted(told.items())}
        for name, told in found.items()
        if told and all(len(numbers) == 1 for numbers in told.values())
    }


def points(histories: Sequence[History], space: Space) -> list[Point]:
    """Give the full evaluations within a space; a storage may hold others, or trials of others."""
    return [
        (history.method, step.configuration, float(value))
        for history in histories
        for step, value in zip(history.steps, history.values, strict=True)
        if not np.isnan(value) and _is_within(step.configuration, space)
    ]


def _is_within(configuration: Configuration, space: Space) -> bool:
    return configuration.keys() == space.keys() and all(
        _takes(dist, configuration[name]) for name, dist in space.items()
    )


def _takes(dist: BaseDistribution, value: Any) -> bool:
    if isinstance(dist, FloatDistribution | IntDistribution):
        return isinstance(value, int | float) and dist.low <= value <= dist.high
    return isinstance(dist, CategoricalDistribution) and value in dist.choices


def _trials(runs: Sequence[History]) -> list[FrozenTrial]:
    space = searched(runs)
    made = []
    for _, configuration, value in points(runs, space):
        # Optuna refuses a value between the steps of its range, which a storage may hold.
        with suppress(ValueError):
            made.append(create_trial(params=configuration, distributions=space, value=value))
    return made
