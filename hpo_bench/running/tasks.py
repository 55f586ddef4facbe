"""What is done for a trial, who follows it, and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from optuna.distributions import BaseDistribution

from hpo_bench.search import Outcome
from hpo_bench.spaces import Configuration


@dataclass(frozen=True)
class Task:
    """What an evaluator must know of a job."""

    number: int
    """Of the trial."""
    configuration: Configuration
    until: int
    """Fidelity to reach, in epochs."""
    fidelity_before: int = 0
    """What earlier jobs of the trial have reached."""
    seconds_before: float = 0.0
    """What they have spent on training."""
    reported: int = 0
    """The last fidelity that was reported, by earlier jobs or by a process that is gone."""


@dataclass
class Work:
    """What a task has come to."""

    outcome: Outcome
    epochs: int = 0
    """Units of fidelity trained for this task, in whatever process."""
    train_seconds: float = 0.0
    earlier_seconds: float = 0.0
    """The part of `train_seconds` spent before the run was left, which its clock has not counted;
    known from the checkpoint."""
    simulated_seconds: float = 0.0
    """By how much the clock of the run is put forward: training that nobody waited for."""
    measurements: dict[str, Any] = field(default_factory=dict)
    """What is recorded with the trial besides: numbers, and of a function any JSON values."""
    error: str | None = None
    traceback: str | None = None
    """Where the error comes from, where there is more to say of it than `error` does."""
    restarted: bool = False
    """There was no usable checkpoint to go on from."""
    worker: str | None = None
    """The process that did it, where it was another one."""


class Listener(Protocol):
    """Who follows an evaluation."""

    def suggest(self, name: str, dist: BaseDistribution) -> Any:
        """Give a hyperparameter's value, where the objective asks for it while it runs."""

    def report(self, step: int, value: float, reached: int) -> None:
        """Take the value at a step; one that was reported before may come again.

        Args:
            step: The objective's own name for it; the fidelity, unless it is a function's.
            value: Before the end.
            reached: The fidelity that it has come to.
        """

    def should_prune(self) -> bool:
        """Say whether to stop here."""
