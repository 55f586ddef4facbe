"""How a run gets its work: a search hands out jobs and is told their outcomes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import optuna

from hpo_bench.spaces import Configuration, Space


@dataclass(frozen=True)
class Setup:
    """What a method is built from."""

    study: optuna.Study
    """Where its trials stand; on resume it already holds some."""
    space: Space
    """What is searched: name -> Optuna distribution."""
    seed: int
    """The run's."""
    max_fidelity: int
    """The fidelity of a full evaluation, in epochs."""


@dataclass(frozen=True)
class Job:
    """Take one configuration to one fidelity."""

    trial: optuna.Trial
    """Where it is recorded; RUNNING until `tell` settles it."""
    configuration: Configuration
    """What is evaluated: name -> value."""
    until: int
    """Fidelity to reach, in epochs; a job for a configuration seen before continues it."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    fidelity: int
    """Fidelity reached, in epochs."""
    value: float | None
    """The objective's value there; None if the evaluation failed."""
    pruned: bool = False
    """Stopped early because the study's pruner said so."""


class Search(ABC):
    """A method at work on one study.

    A search keeps nothing that is not in the study: built anew on a study that was left in the
    middle (after kill -9, say), it hands out what is unfinished first and goes on from there.
    """

    n_configurations: int | None = None
    """How many configurations there are to try at all, where the method knows (a grid does)."""
    n_startup: int = 0
    """How many are tried before it searches at all, where the method knows (a swarm does)."""
    epochs_each: float | None = None
    """Epochs that one of these takes on average; None: those of a full evaluation."""
    evaluations_each: float = 1.0
    """Jobs that one of these takes on average."""

    @property
    def has_unfinished(self) -> bool:
        """Whether jobs that were under way when the run was left are still to be handed out.

        They have begun within the budget: they are done, whatever is spent by now.
        """
        return False

    def prepare(self) -> None:
        """Do what the first `ask` would otherwise be charged for, such as slow imports."""

    @abstractmethod
    def ask(self) -> Job | None:
        """The next job; None when the method has nothing more to try."""

    @abstractmethod
    def tell(self, job: Job, outcome: Outcome) -> None:
        """Take the outcome in, and settle every trial that it decides."""

    def close(self) -> None:
        """Settle what is still open: the budget is spent, no further job will be asked for."""
