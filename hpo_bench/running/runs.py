"""What a run is: a method with a seed, or a configuration that is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpo_bench.budget import Budget
from hpo_bench.objectives import Objective
from hpo_bench.running.given import Given, Seeded
from hpo_bench.search import Search, Setup
from hpo_bench.spaces import Configuration
from hpo_bench.storage import records
from hpo_bench.storage.studies import Glance
from hpo_bench.suite import Suite


@dataclass(frozen=True)
class Run:
    """One method with one seed of a suite: one Optuna study."""

    suite: Suite
    """What it belongs to."""
    method: str
    """One of the suite's, by its name there."""
    seed: int
    """0 or more, below 2^31."""
    checkpoint_directory: Path
    """Where those of all runs are."""
    apart: bool = field(default=False, kw_only=True)
    """Evaluate in a process of its own even what is evaluated one at a time.

    It takes longer to start; but a configuration whose training kills its process fails alone.
    """

    @property
    def study_name(self) -> str:
        """`suite/method/seed-NN`."""
        return f"{self.suite.name}/{self.method}/seed-{self.seed:02d}"

    @property
    def budget(self) -> Budget:
        """What it may spend."""
        return self.suite.budget_of(self.method)

    def build_objective(self) -> Objective:
        """Make its objective; loads no data yet."""
        return self.suite.build_objective(self.seed)

    def build_search(self, setup: Setup) -> Search:
        """Make its search."""
        return self.suite.build_search(self.method, setup)

    def definition(self) -> dict[str, Any]:
        """What makes it what it is, as far as the suite says."""
        return {**self.suite.definition(self.method), "seed": self.seed}

    def declared(self, objective: Objective) -> dict[str, Any]:
        """What is recorded before it begins of how it will be judged; never compared."""
        known = dict(objective.optimum)
        told = {records.OPTIMUM: known} if known else {}
        return {records.ENDPOINT: self.suite.endpoint_of(objective), **told}

    def ended(self, there: Glance) -> str | None:
        """Why it has ended, by its study; None if it has not."""
        return there.user_attrs.get(records.FINISHED)

    def is_done(self, there: Mapping[str, Glance]) -> bool:
        """Whether nothing is left to do, by all studies of the storage: no confirmation either."""
        study = there.get(self.study_name)
        if study is None or self.ended(study) is None:
            return False
        if self.suite.confirm == 0:
            return True
        again = there.get(records.confirmation_name(self.study_name))
        if again is None or records.FINISHED not in again.user_attrs:
            return False
        return again.n_finished >= self.suite.confirm


@dataclass(frozen=True)
class Retraining(Run):
    """A configuration that is given, trained by some seeds; no method hears of it."""

    configuration: Configuration
    training_seeds: tuple[int, ...]
    name: str

    @property
    def study_name(self) -> str:
        """One that no search has."""
        return self.name

    @property
    def budget(self) -> Budget:
        """A training for each seed."""
        return Budget(evaluations=len(self.training_seeds), free_repeats=0)

    def build_objective(self) -> Objective:
        """Make one whose configurations say by which seed they are trained."""
        return Seeded(self.suite.build_objective, self.seed)

    def build_search(self, setup: Setup) -> Search:
        """Make what hands it out for every seed."""
        return Given(setup, self.configuration, self.training_seeds)

    def definition(self) -> dict[str, Any]:
        """What makes it what it is; how many seeds does not: others can be added."""
        return {
            **self.suite.objective_definition(),
            "method": self.method,
            "seed": self.seed,
            "configuration": self.configuration,
        }

    def declared(self, objective: Objective) -> dict[str, Any]:  # noqa: ARG002
        """Nothing: no verdict is made of it alone."""
        return {}

    def ended(self, there: Glance) -> str | None:
        """Why it has ended, by its study; None while a seed is left."""
        return super().ended(there) if there.n_finished >= len(self.training_seeds) else None

    def is_done(self, there: Mapping[str, Glance]) -> bool:
        """Whether nothing is left to do, by all studies of the storage."""
        study = there.get(self.study_name)
        return study is not None and self.ended(study) is not None


@dataclass(frozen=True)
class Status:
    """How a run stands: told to whoever watches, after every unit of fidelity."""

    share: float
    """Share of the budget that is spent, 0 to 1."""
    evaluations: int
    incumbent: float | None
    """Best value at full fidelity."""
    finished: str | None = None
    """Why it ended; None while it goes on."""


def runs_of(suite: Suite, checkpoint_directory: Path) -> list[Run]:
    """Every run of a suite, seed by seed, so that all methods advance together.

    The objective's default configuration, where it has one, and the suite's baselines are trained
    by each seed, too.
    """
    default = suite.build_objective(suite.seeds[0]).default
    runs: list[Run] = []
    for seed in suite.seeds:
        named = [
            (baseline, configuration, records.baseline_name(suite.name, seed, baseline))
            for baseline, configuration in suite.baselines.items()
        ]
        if default is not None:
            named.insert(0, ("default", default, records.default_name(suite.name, seed)))
        for method, configuration, name in named:
            place = (suite, method, seed, checkpoint_directory)
            runs.append(Retraining(*place, configuration, training_seeds=(seed,), name=name))
        runs += [Run(suite, method, seed, checkpoint_directory) for method in suite.methods]
    return runs
