"""Repeats: configurations that a run has evaluated before are answered from its own record.

An answer costs no budget, which is what a cache gives to anybody who searches. It is given for the
same configuration and at most the fidelity that was reached; what goes on to a higher fidelity is
trained. Everything here is a function of what is recorded, so that a run which was left in the
middle goes on as it would have.
"""

from __future__ import annotations

from collections.abc import Iterable

from optuna.trial import FrozenTrial

from hpo_bench.spaces import key_of
from hpo_bench.storage.records import jobs_of


class Repeats:
    """What a run has evaluated, by configuration.

    Args:
        limit: How many answers in a row cost nothing; the next one is trained and charged, so that
            a method which proposes nothing else comes to an end.
        trials: What the run's study holds.
    """

    def __init__(self, limit: int, trials: Iterable[FrozenTrial]) -> None:
        self._limit = limit
        self._in_a_row = 0
        self._evaluated: dict[str, FrozenTrial] = {}
        done = [(job.ended or 0.0, t, job.is_repeat) for t in trials for job in jobs_of(t)]
        for _, trial, is_repeat in sorted(done, key=lambda entry: (entry[0], entry[1].number)):
            self.add(trial, is_repeat=is_repeat)

    def add(self, trial: FrozenTrial, *, is_repeat: bool) -> None:
        """Take note of an evaluation that was recorded and told."""
        self._in_a_row = self._in_a_row + 1 if is_repeat else 0
        before = self._evaluated.get(key := key_of(trial.params))
        if before is None or _reached(trial) > _reached(before):
            self._evaluated[key] = trial

    def answer(self, trial: FrozenTrial, until: int) -> FrozenTrial | None:
        """Give the trial that has evaluated another one's configuration to that fidelity, if any.

        None, too, where so many repeats have come in a row that the next one is charged.
        """
        found = self._evaluated.get(key_of(trial.params))
        is_known = found is not None and found.number != trial.number and _reached(found) >= until
        return found if is_known and self._in_a_row < self._limit else None


def _reached(trial: FrozenTrial) -> int:
    """How far a configuration was evaluated: to where there is a value after every epoch."""
    reached = max((job.fidelity for job in jobs_of(trial) if job.value is not None), default=0)
    return reached if all(n in trial.intermediate_values for n in range(1, reached + 1)) else 0
