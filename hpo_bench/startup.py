"""How long a sampler spreads points over the space before it searches: what suites warn of."""

from __future__ import annotations

import math

from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, TPESampler

from hpo_bench.spaces import Space, is_known

_KEPT_AS = ("_n_startup_trials", "_population_size")
"""Attributes in which Optuna's samplers keep it: TPE and GP; NSGA-II, whose first population it is.

They tell it in no public way.
"""

SHORTER_START = (
    "options: n_startup_trials; of pso swarm_size, of ga population_size, of cma-es popsize, of "
    "bohb min_points_in_model"
)
"""By which options users make it shorter."""


def startup_of(sampler: BaseSampler, space: Space) -> int:
    """Say how many trials a sampler must be told of before it proposes by what it was told.

    A sampler of anybody's says it by a method `n_startup_trials(space)`.

    Returns:
        0 where the sampler does not tell, or would have to know the space beforehand.
    """
    own = getattr(sampler, "n_startup_trials", None)
    if callable(own):  # to others the name may mean a number, or anything
        return int(own(space)) if is_known(space) else 0
    if isinstance(sampler, CmaEsSampler):
        default = _default_popsize(space) if is_known(space) else 0
        return sampler._n_startup_trials + (sampler._popsize or default)
    kept = (getattr(sampler, name, None) for name in _KEPT_AS)
    return next((number for number in kept if isinstance(number, int)), 0)


def learns_from_pruned(sampler: BaseSampler) -> bool:
    """Say whether trials that were pruned count as told; other samplers wait for COMPLETE ones."""
    return isinstance(sampler, TPESampler)


def _default_popsize(space: Space) -> int:
    """The size of CMA-ES's first generation (Hansen 2016, table 1), which knows no results."""
    numbers = [d for d in space.values() if not isinstance(d, CategoricalDistribution)]
    n_dimensions = sum(not dist.single() for dist in numbers)
    return 4 + math.floor(3 * math.log(max(n_dimensions, 1)))
