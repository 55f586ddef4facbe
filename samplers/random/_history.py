"""What the random sampler must know about the trials of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from samplers._base.private import contains
from samplers._base.trials import Turns, fixed_params, has_no_turn
from samplers._base.values import level_of, n_levels

# System attributes of a trial:
POINT = "random:point"  # {"v": 1, "params": {name: value}}
SURPLUS = "random:surplus"  # True if the whole sample was drawn before the trial


class History:
    """What the sampler must know about the trials of a study; finished ones are entered once.

    Attributes:
        space: The space of all COMPLETE trials; None before the first one, empty if they differ.
        is_finite: Whether each parameter of the space has finitely many values.
        waiting: Whether an enqueued trial waits for a worker.
        turns: The turns of the trials that this sampler serves.
    """

    def __init__(self) -> None:
        self.space: dict[str, BaseDistribution] | None = None
        self.is_finite = False
        self.waiting = False
        self.turns = Turns()
        self._pending: set[int] = set()
        self._trials: Sequence[FrozenTrial] = []
        self._n_read = 0
        self._seen: set[tuple[int, ...]] = set()
        self._seen_of: dict[str, BaseDistribution] = {}
        self._unentered: list[int] = []

    @property
    def n_served(self) -> int:
        """Number of trials that have had a turn."""
        return self._n_read - self.turns.n_without

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        """Enter the changes since the last call; `trials` are those of the study, by number."""
        for number in range(self._n_read, len(trials)):
            self._pending.add(number)
            if has_no_turn(trials[number]):
                self.turns.leave_out(number)
        for number in sorted(self._pending):
            if trials[number].state.is_finished():
                self._finish(trials[number])
        self._trials, self._n_read = trials, len(trials)
        self.waiting = any(trials[n].state == TrialState.WAITING for n in self._pending)

    def _finish(self, trial: FrozenTrial) -> None:
        self._pending.discard(trial.number)
        self._unentered.append(trial.number)
        died_before_it_drew = trial.state == TrialState.FAIL and not trial.params
        is_served = has_no_turn(trial) or not {POINT, SURPLUS}.isdisjoint(trial.system_attrs)
        if not is_served and not died_before_it_drew:
            self.turns.leave_out(trial.number)  # a trial of another sampler
        if trial.state == TrialState.COMPLETE and self.space != trial.distributions:
            self.space = dict(trial.distributions) if self.space is None else {}
            self.is_finite = is_finite(self.space)

    def seen(
        self, space: Mapping[str, BaseDistribution], but: int
    ) -> tuple[set[tuple[int, ...]], set[tuple[int, ...]]]:
        """Return the points that were tried, and those that unfinished trials try, as digits.

        Args:
            space: A finite space; the digits are levels of its parameters, in its order.
            but: Number of a trial whose point does not count.
        """
        if self._seen_of != space:
            self._seen_of, self._seen = dict(space), set()
            self._unentered = [n for n in range(self._n_read) if n not in self._pending]
        self._seen |= self._digits(space, self._unentered)
        self._unentered = []
        return self._seen, self._digits(space, [n for n in self._pending if n != but])

    def _digits(
        self, space: Mapping[str, BaseDistribution], numbers: Sequence[int]
    ) -> set[tuple[int, ...]]:
        points = set()
        for number in numbers:
            trial = self._trials[number]
            params = {**(point_of(trial) or {}), **fixed_params(trial), **trial.params}
            digits = digits_in(space, params)
            if len(digits) == len(space):
                points.add(tuple(digits.values()))
        return points


def point_of(trial: FrozenTrial) -> dict[str, Any] | None:
    """Return the point that is stored with a trial; None if there is none."""
    stored = trial.system_attrs.get(POINT)
    return None if stored is None else stored["params"]


def digits_in(space: Mapping[str, BaseDistribution], params: Mapping[str, Any]) -> dict[str, int]:
    """Return name to level for all values that lie in the space."""
    inside = {n: d for n, d in space.items() if n in params and contains(d, params[n])}
    digits = {n: level_of(d, params[n]) for n, d in inside.items()}
    return {n: digit for n, digit in digits.items() if digit is not None}


def is_finite(space: Mapping[str, BaseDistribution]) -> bool:
    """Return whether a space has finitely many points, and at least one parameter."""
    return bool(space) and all(n_levels(d) > 0 for d in space.values())
