"""What the evaluations say of the search space: which hyperparameters matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, create_trial

from hpo_bench.analysis.history import History, budget_factor
from hpo_bench.analysis.targets import plain_random

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


def _trials(runs: Sequence[History]) -> list[FrozenTrial]:
    return [
        create_trial(params=step.configuration, distributions=run.space, value=float(value))
        for run in runs
        for step, value in zip(run.steps, run.values, strict=True)
        if not np.isnan(value)
    ]
