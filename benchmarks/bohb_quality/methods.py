"""The methods, each a search on a study: by epochs (BOHB, Hyperband, pruned) or by full trainings.

One that is a sampler takes a line here, with a pruner or without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, TPESampler

from hpo_bench.bridges.hpbandster import bohb
from hpo_bench.methods import SamplerSearch
from hpo_bench.search import Search, Setup
from samplers import BOHBSampler, PSOSampler, RandomSampler

from .problems import Problem

Method = Callable[[Setup, Problem], Search]


def _hpbandster(**options: Any) -> Method:
    return lambda setup, problem: bohb(setup, min_epochs=1, eta=problem.eta, strict=True, **options)


def _sampled(
    sampler: Callable[[Setup], BaseSampler], pruner: Callable[[Problem], BasePruner] | None = None
) -> Method:
    return lambda setup, problem: SamplerSearch(setup, sampler(setup), pruner and pruner(problem))


def _random(setup: Setup) -> BaseSampler:
    return RandomSampler(seed=setup.seed, search_space=setup.space)


def _pso(setup: Setup) -> BaseSampler:
    return PSOSampler(seed=setup.seed, search_space=setup.space)


def _bohb(setup: Setup) -> BaseSampler:
    return BOHBSampler(seed=setup.seed, search_space=setup.space)


def _tpe(setup: Setup) -> BaseSampler:
    """Optuna's TPE with its defaults of version 5, held fast."""
    return TPESampler(
        n_startup_trials=10,
        n_ei_candidates=24,
        seed=setup.seed,
        multivariate=True,
        group=False,
        constant_liar=True,
    )


def _hyperband(problem: Problem) -> BasePruner:
    return HyperbandPruner(1, problem.max_fidelity, problem.eta)


def _halving(problem: Problem) -> BasePruner:
    # Without company the first trials of each rung would all be promoted.
    return SuccessiveHalvingPruner(1, problem.eta, bootstrap_count=problem.eta)


METHODS: dict[str, Method] = {
    "bohb": _hpbandster(),
    "hyperband": _hpbandster(random_fraction=1.0),
    "sampler-hyperband": _sampled(_bohb, _hyperband),
    "sampler-halving": _sampled(_bohb, _halving),
    "tpe-hyperband": _sampled(_tpe, _hyperband),
    "tpe": _sampled(_tpe),
    "pso-hyperband": _sampled(_pso, _hyperband),
    "pso": _sampled(_pso),
    "random": _sampled(_random),
}


def quiet() -> None:
    """Silence what Optuna says of every trial."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
