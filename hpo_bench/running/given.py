"""Configurations that are given: trained outside of any search, each time by another seed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import PartialFixedSampler, RandomSampler
from optuna.study import StudyDirection

from hpo_bench.methods import SamplerSearch
from hpo_bench.objectives import Evaluation, Objective
from hpo_bench.search import Job, Setup
from hpo_bench.spaces import Configuration, Space, check_value, is_known
from hpo_bench.storage.records import FIRST_FRESH_SEED, TRAINING_SEED

_SEED = "(training seed)"
"""Its name in a configuration on its way to the objective; no hyperparameter has such a name."""


def fresh_seeds(seed: int, count: int) -> tuple[int, ...]:
    """Give seeds that no run of any suite has: the same for all methods, more by appending.

    Args:
        seed: Of the run.
        count: How many.
    """
    # A few to spare, should two be the same.
    words = np.random.SeedSequence(seed).generate_state(count + 8)
    distinct = dict.fromkeys(FIRST_FRESH_SEED | int(word) for word in words)
    return tuple(distinct)[:count]


class Given(SamplerSearch):
    """Hands out one configuration, once for every seed: the n-th trial has the n-th of them.

    Args:
        setup: What it works on; the objective must be `Seeded`.
        configuration: Within the space.
        seeds: Of the trainings.
    """

    def __init__(self, setup: Setup, configuration: Configuration, seeds: Sequence[int]) -> None:
        space = setup.space
        fixed = dict(configuration)
        if is_known(space):
            fixed = {name: check_value(name, configuration[name], space[name]) for name in space}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            sampler = PartialFixedSampler(fixed, RandomSampler(seed=0))
        super().__init__(setup, sampler, None)
        self._seeds = seeds

    def ask(self) -> Job | None:
        """The configuration, by the seed of the trial."""
        job = super().ask()
        if job is None:
            return None
        seed = self._seeds[job.trial.number]
        job.trial.set_user_attr(TRAINING_SEED, seed)
        return replace(job, configuration={**job.configuration, _SEED: seed})


class Seeded(Objective):
    """An objective whose configurations say by which seed they are trained.

    Args:
        build: Makes the objective of a seed.
        seed: Of the one that stands for all where they do not differ.
    """

    def __init__(self, build: Callable[[int], Objective], seed: int) -> None:
        self._build = build
        self._first = build(seed)
        self._objectives: dict[int, Objective] = {}
        self.metric_name = self._first.metric_name
        self.fidelity_name = self._first.fidelity_name
        self.max_fidelity = self._first.max_fidelity
        self.is_instant = self._first.is_instant
        self.is_simulated = self._first.is_simulated
        self.is_called = self._first.is_called

    @property
    def search_space(self) -> Space:
        """The objective's."""
        return self._first.search_space

    @property
    def directions(self) -> list[StudyDirection]:
        """The objective's."""
        return self._first.directions

    def start(self, configuration: Configuration) -> Evaluation:
        """Begin."""
        objective, rest = self._split(configuration)
        return objective.start(rest)

    def call(self, number: int, configuration: Configuration, answers: Any) -> Any:
        """Call the objective, where it is called."""
        objective, rest = self._split(configuration)
        return objective.call(number, rest, answers)

    def restore(self, configuration: Configuration, checkpoint: bytes) -> Evaluation:
        """Go on from a checkpoint."""
        objective, rest = self._split(configuration)
        return objective.restore(rest, checkpoint)

    def provide(self) -> None:
        """See that the data are there."""
        self._first.provide()

    def prepare(self) -> None:
        """Load what evaluations need."""
        self._first.prepare()

    def describe(self) -> Mapping[str, Any]:
        """Say what tells the objective apart."""
        return self._first.describe()

    def machine(self) -> Mapping[str, Any]:
        """Tell how this machine evaluates."""
        return self._first.machine()

    def _split(self, configuration: Configuration) -> tuple[Objective, Configuration]:
        rest = {name: value for name, value in configuration.items() if name != _SEED}
        seed = configuration[_SEED]
        if seed not in self._objectives:
            # Each is prepared: what the first has loaded, most of them find in memory.
            self._objectives = {seed: self._build(seed)}
            self._objectives[seed].prepare()
        return self._objectives[seed], rest
