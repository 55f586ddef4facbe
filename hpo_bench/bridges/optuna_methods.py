"""Optuna's methods by their usual names, where the name stands for more than a sampler's class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.pruners import MedianPruner
from optuna.samplers import QMCSampler, TPESampler

from hpo_bench import methods
from hpo_bench.search import Search, Setup


class MultivariateTPESampler(TPESampler):
    """Optuna's `TPESampler` that models all parameters jointly.

    On a fixed space, Optuna 5 does so by default, and this is its `TPESampler`. Where the space
    depends on the trial, it is split into groups of parameters that are sampled jointly.

    Args:
        options: Those of `TPESampler`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"multivariate": True, "group": True, **options})


class ScrambledQMCSampler(QMCSampler):
    """Optuna's `QMCSampler` with a sequence that the seed scrambles.

    Without scrambling, every seed would give the same points.

    Args:
        options: Those of `QMCSampler`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"scramble": True, **options})


def median_pruner(
    setup: Setup,
    *,
    sampler: str = "tpe",
    sampler_options: Mapping[str, Any] | None = None,
    n_startup_trials: int = 5,
    n_warmup_steps: int = 0,
    interval_steps: int = 1,
    n_min_trials: int = 1,
) -> Search:
    """Any sampler with Optuna's `MedianPruner`.

    Args:
        setup: What every method is given.
        sampler: The method that proposes, by name or import path.
        sampler_options: Its own options.
        n_startup_trials: How many trials run to the end before any is stopped early.
        n_warmup_steps: Epochs of every trial before it may be stopped.
        interval_steps: Epochs between two decisions about a trial.
        n_min_trials: How many values at an epoch make a median.

    Raises:
        InputError: No such sampler, or an option that it does not take.
    """
    make = methods.sampler_maker("sampler", sampler, sampler_options or {})
    pruner = MedianPruner(
        n_startup_trials, n_warmup_steps, interval_steps, n_min_trials=n_min_trials
    )
    return methods.SamplerSearch(setup, make(setup), pruner, make)
