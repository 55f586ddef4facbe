"""SMAC (Lindauer et al. 2022) as a sampler: its own package asks, the study's trials answer."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpo_bench.bridges.options import whole
from hpo_bench.bridges.unit_cube import config_space, decode, dimensions, encode
from hpo_bench.errors import InputError
from hpo_bench.spaces import Space

_UNLIMITED = 10**9
"""Trials that SMAC is told of: when the budget is spent, the run decides and not SMAC."""


class SMACSampler(BaseSampler):
    """SMAC3's facade for hyperparameters: a random forest with expected improvement.

    SMAC learns from COMPLETE trials. It is not told of PRUNED ones, whose values are of a lower
    fidelity, nor of FAILed ones, which have none. A process that goes on with a study tells SMAC
    the study's trials and draws from there with another seed.

    Args:
        search_space: name -> distribution.
        seed: 0 or more.
        n_startup_trials: Points of a Sobol sequence before the forest is used, 1 or more. SMAC's
            own default is ten for each hyperparameter.

    Raises:
        InputError: `n_startup_trials` is not a whole number of 1 or more, or nothing varies.
    """

    def __init__(
        self,
        search_space: Mapping[str, BaseDistribution],
        *,
        seed: int = 0,
        n_startup_trials: int = 10,
    ) -> None:
        whole("n_startup_trials", n_startup_trials, 1)
        self._space: Space = dict(search_space)
        if not dimensions(self._space):
            raise InputError(
                "space", sorted(self._space), "SMAC needs a hyperparameter that varies"
            )
        self._seed = seed % 2**32  # NumPy's old generator, which SMAC uses, takes no other
        self._n_startup_trials = n_startup_trials
        self._smac: Any = None
        self._asked: dict[int, Any] = {}  # number of a trial -> SMAC's own record of it
        self._key = 0  # the seed under which SMAC files every result; it takes up the first one
        self._told: set[int] = set()
        self._independent = RandomSampler(seed=seed)

    def n_startup_trials(self, space: Space) -> int:  # noqa: ARG002
        """Say how many points are spread over the space before the forest is used."""
        return self._n_startup_trials

    def infer_relative_search_space(
        self,
        study: optuna.Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        """Give what varies of the space."""
        return {name: self._space[name] for name in dimensions(self._space)}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Tell SMAC what has finished, and ask it."""
        sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if self._smac is None:
            self._smac = self._facade(max(0, self._n_startup_trials - len(done)))
        for complete in done:
            if complete.number not in self._told and complete.value is not None:
                self._tell(complete, sign * complete.value)
        asked = self._asked[trial.number] = self._smac.ask()
        self._key = asked.seed
        configuration = decode(self._space, dict(asked.config))
        return {name: configuration[name] for name in search_space}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw what is outside of the space at random."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def _tell(self, trial: FrozenTrial, cost: float) -> None:
        from smac.runhistory.dataclasses import TrialValue

        self._told.add(trial.number)
        asked = self._asked.pop(trial.number, None) or self._record_of(trial)
        if asked is not None:
            self._smac.tell(asked, TrialValue(cost=cost), save=False)

    def _record_of(self, trial: FrozenTrial) -> Any:
        """Write a trial of another process as SMAC would; None if it lies outside of the space."""
        from ConfigSpace import Configuration
        from smac.runhistory.dataclasses import TrialInfo

        if any(trial.distributions.get(n) != d for n, d in self._space.items() if not d.single()):
            return None
        point = encode(self._space, trial.params)
        return TrialInfo(Configuration(self._smac.scenario.configspace, point), seed=self._key)

    def _facade(self, n_startup_trials: int) -> Any:
        """Make SMAC's facade; it writes files that nobody reads, into a folder that is removed."""
        from smac import HyperparameterOptimizationFacade as Facade
        from smac import Scenario

        with tempfile.TemporaryDirectory() as folder:
            scenario = Scenario(
                config_space(self._space),
                deterministic=True,
                n_trials=_UNLIMITED,
                seed=self._seed,
                output_directory=Path(folder),
            )
            design = Facade.get_initial_design(scenario, n_configs=n_startup_trials)
            return Facade(scenario, initial_design=design, logging_level=False)
