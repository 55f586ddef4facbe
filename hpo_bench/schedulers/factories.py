"""`successive-halving`, `hyperband` and `asha`, as a suite names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo_bench import methods
from hpo_bench.bridges.options import whole
from hpo_bench.errors import InputError
from hpo_bench.schedulers import rungs
from hpo_bench.schedulers.rungs import Schedule
from hpo_bench.schedulers.search import ScheduledSearch
from hpo_bench.search import Setup


def successive_halving(
    setup: Setup,
    *,
    sampler: str = "tpe",
    sampler_options: Mapping[str, Any] | None = None,
    min_epochs: int = 1,
    eta: int = 3,
    n_configurations: int | None = None,
) -> ScheduledSearch:
    """Successive halving (Jamieson and Talwalkar 2016), one bracket after the other.

    Args:
        setup: What every method is given.
        sampler: The method that proposes, by name or import path.
        sampler_options: Its own options.
        min_epochs: The lowest rung has at least so many epochs, 1 or more.
        eta: One in `eta` goes on to the next rung, with `eta` times the epochs; 2 or more.
        n_configurations: How many a bracket starts with; None: as many as bring one of them to the
            highest rung, which are the fewest that can be asked for.

    Raises:
        InputError: No such sampler, an option out of its range, or too few epochs for two rungs.
    """
    fidelities = _ladder(setup, min_epochs, eta)
    fewest = eta ** (len(fidelities) - 1)
    n = fewest if n_configurations is None else n_configurations
    whole("n_configurations", n, fewest)
    bracket = rungs.halving(n, fidelities, eta)
    return _search(setup, rungs.Synchronous([bracket]), sampler, sampler_options)


def hyperband(
    setup: Setup,
    *,
    sampler: str = "tpe",
    sampler_options: Mapping[str, Any] | None = None,
    min_epochs: int = 1,
    eta: int = 3,
) -> ScheduledSearch:
    """Hyperband (Li et al. 2018): brackets of successive halving that start at every rung in turn.

    Args:
        setup: What every method is given.
        sampler: The method that proposes, by name or import path.
        sampler_options: Its own options.
        min_epochs: The lowest rung has at least so many epochs, 1 or more.
        eta: One in `eta` goes on to the next rung, with `eta` times the epochs; 2 or more.

    Raises:
        InputError: No such sampler, an option out of its range, or too few epochs for two rungs.
    """
    brackets = rungs.hyperband(_ladder(setup, min_epochs, eta), eta)
    return _search(setup, rungs.Synchronous(brackets), sampler, sampler_options)


def asha(
    setup: Setup,
    *,
    sampler: str = "tpe",
    sampler_options: Mapping[str, Any] | None = None,
    min_epochs: int = 1,
    eta: int = 3,
    patience: int | None = None,
) -> ScheduledSearch:
    """ASHA (Li et al. 2020): promotes as soon as a configuration is among the best of its rung.

    Args:
        setup: What every method is given.
        sampler: The method that proposes, by name or import path.
        sampler_options: Its own options.
        min_epochs: The lowest rung has at least so many epochs, 1 or more.
        eta: One in `eta` goes on to the next rung, with `eta` times the epochs; 2 or more.
        patience: A configuration that waits is dropped when so many that started after it have
            come to its rung, 1 or more; None: the square of `eta`.

    Raises:
        InputError: No such sampler, an option out of its range, or too few epochs for two rungs.
    """
    fidelities = _ladder(setup, min_epochs, eta)
    patience = eta**2 if patience is None else patience
    whole("patience", patience, 1)
    return _search(setup, rungs.Asynchronous(fidelities, eta, patience), sampler, sampler_options)


def _ladder(setup: Setup, min_epochs: int, eta: int) -> tuple[int, ...]:
    whole("eta", eta, 2)
    whole("min_epochs", min_epochs, 1, setup.max_fidelity)
    fidelities = rungs.ladder(min_epochs, setup.max_fidelity, eta)
    if len(fidelities) == 1:
        needed = f"{setup.max_fidelity} epochs from min_epochs = {min_epochs} are one rung"
        raise InputError("eta", eta, f"{needed}; expected a smaller one, or more epochs")
    return fidelities


def _search(
    setup: Setup, schedule: Schedule, sampler: str, options: Mapping[str, Any] | None
) -> ScheduledSearch:
    return ScheduledSearch(
        setup, schedule, methods.sampler_maker("sampler", sampler, options or {})
    )
