"""A suite as its storage holds it, read once for all that is made of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from hpo_bench.storage.records import confirmation_name, default_name
from hpo_bench.storage.studies import all_study_names, iterate_studies, load_study


@dataclass(frozen=True)
class Stored:
    """A study with its trials."""

    name: str
    direction: StudyDirection
    metric: str
    attributes: dict[str, Any]
    trials: Sequence[FrozenTrial]

    @property
    def method(self) -> str:
        """Of a run's study: its method."""
        return self.name.split("/")[1]

    @property
    def seed(self) -> int:
        """Of the run, or of what belongs to it; a study cut short says it by its name alone."""
        return int(re.findall(r"/seed-(\d+)", self.name)[-1])


@dataclass(frozen=True)
class StoredSuite:
    """All studies of a suite."""

    name: str
    runs: list[Stored]
    confirmations: dict[str, Stored]
    """Name of a run's study -> the study in which its incumbent was trained again."""
    defaults: dict[int, Stored]
    """Seed of runs -> the study in which the objective's default was trained by it."""


def read_suite(storage: BaseStorage, suite: str) -> StoredSuite:
    """Read every study of a suite, also while runs go on.

    Raises:
        HpoBenchError: The storage holds no run of it.
    """
    runs = [_stored(study) for study in iterate_studies(storage, suite)]
    held = set(all_study_names(storage))

    def load(name: str) -> Stored:
        return _stored(load_study(storage, name))

    again = {run.name: confirmation_name(run.name) for run in runs}
    seeds = (run.seed for run in runs)
    defaults = {seed: default_name(suite, seed) for seed in sorted(set(seeds))}
    return StoredSuite(
        suite,
        runs,
        {run: load(name) for run, name in again.items() if name in held},
        {seed: load(name) for seed, name in defaults.items() if name in held},
    )


def _stored(study: optuna.Study) -> Stored:
    names = study.metric_names
    return Stored(
        name=study.study_name,
        direction=study.direction,
        metric=names[0] if names else "value",
        attributes=study.user_attrs,
        trials=study.get_trials(deepcopy=False),
    )
