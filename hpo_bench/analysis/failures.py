"""Evaluations that failed, by what they failed with: a fault that meets many is told once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from hpo_bench.analysis.stored import Stored, StoredSuite
from hpo_bench.spaces import Configuration

NO_REASON = "no reason was recorded"


@dataclass(frozen=True)
class Failure:
    """A fault, and the evaluations that it ended; configuration and traceback are of the first."""

    reason: str
    traceback: str | None
    """Where in the objective it was raised; None where nothing was raised, or nothing is known."""
    study: str
    trial: int
    configuration: Configuration
    count: int
    """How many evaluations failed so."""


def failures(suite: StoredSuite) -> list[Failure]:
    """Find the faults of a suite, the most frequent first.

    Evaluations failed alike if the first lines of their reasons are the same.
    """
    fixed = [study for studies in suite.baselines.values() for study in studies]
    studies = [*suite.runs, *suite.confirmations.values(), *fixed]
    groups: dict[str, list[tuple[Stored, FrozenTrial]]] = {}
    for study, trial in _failed(studies):
        groups.setdefault(_reason(trial).partition("\n")[0], []).append((study, trial))
    return sorted(map(_failure, groups.values()), key=lambda failure: -failure.count)


def _failed(studies: Iterable[Stored]) -> Iterable[tuple[Stored, FrozenTrial]]:
    for study in studies:
        for trial in study.trials:
            if trial.state is TrialState.FAIL or "error" in trial.user_attrs:
                yield study, trial


def _reason(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get("error", NO_REASON))


def _failure(group: list[tuple[Stored, FrozenTrial]]) -> Failure:
    study, trial = group[0]
    traceback = trial.user_attrs.get("traceback")
    return Failure(
        reason=_reason(trial),
        traceback=None if traceback is None else str(traceback),
        study=study.name,
        trial=trial.number,
        configuration=dict(trial.params),
        count=len(group),
    )
