"""What a swarm is told of a study's trials, and how a trial keeps its move."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from samplers._base.spaces import digest_of
from samplers._base.trials import Turns, fixed_params, has_no_turn, is_enqueued

from ._archive import DIGITS
from ._cube import Array
from ._moves import put
from ._space import Space
from ._swarm import Evaluation, Move

MOVE = "pso:move"  # of a trial: its position and what the next moves must know of it

_VERSION = 1


class Engine(Protocol):
    """What the sampler needs of a swarm."""

    def see(self, turn: int, move: Move) -> None: ...
    def tell(self, evaluation: Evaluation, turn: int | None) -> None: ...
    def ask(
        self,
        number: int,
        turn: int,
        running: Iterable[Array] = (),
        fixed: Mapping[int, float] | None = None,
    ) -> Move: ...
    def has_converged(self, turns: int) -> bool: ...
    def recommend(self) -> int | None: ...


class Memory:
    """A swarm, told what the study's trials say; finished trials are told once.

    Args:
        space: Of the swarm.
        engine: The swarm.
        direction: Of the study.
        takes_parts: Whether it is told of trials that lack parameters of the space.
    """

    def __init__(
        self, space: Space, engine: Engine, direction: StudyDirection, *, takes_parts: bool
    ) -> None:
        self.space = space
        self.engine = engine
        self._takes_parts = takes_parts
        self._sign = -1.0 if direction == StudyDirection.MAXIMIZE else 1.0
        self._digest = digest_of(space.distributions)
        self._turns = Turns()
        self._pending: dict[int, Array | None] = {}  # number -> where it is, if it has moved
        self._n_read = 0

    def turns_over(self, with_number: int | None = None) -> int:
        """Count the turns, from the first on, whose trials are finished, or taken to be."""
        running = (self._turns.at(n) for n in self._pending if n != with_number)
        return min(running, default=self._turns.at(self._n_read))

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        for number in range(self._n_read, len(trials)):
            self._pending[number] = None
            if has_no_turn(trials[number]):
                self._turns.leave_out(number)
        self._n_read = len(trials)
        for number in list(self._pending):
            self._enter(trials[number])

    def _enter(self, trial: FrozenTrial) -> None:
        stored = self.stored(trial)
        if stored is not None and stored[0] != self._turns.of(trial):
            stored = None  # a move of another study, from which the trial was taken over
        if stored is not None and not is_enqueued(trial):
            self.engine.see(*stored)
        if not trial.state.is_finished():
            self._pending[trial.number] = None if stored is None else stored[1].x
            return
        del self._pending[trial.number]
        if trial.state == TrialState.FAIL:
            return
        turn, move = stored if stored is not None else (None, None)
        found = self.space.coordinates(trial.params)
        if not self._belongs(trial, found):
            return
        x = put(np.full(len(self.space.cube), 0.5) if move is None else move.x, found)
        active = np.isin(np.arange(len(x)), list(found)) if len(found) < len(x) else None
        if move is None or is_enqueued(trial) or not self._stands_for(move.x, trial):
            turn, move = None, Move(x)  # somebody else's choice, at least in part
        complete = trial.state == TrialState.COMPLETE and trial.value is not None
        value = self._sign * trial.value if complete and trial.value is not None else None
        reports = {step: self._sign * v for step, v in trial.intermediate_values.items()}
        self.engine.tell(Evaluation(trial.number, value, move, active, reports), turn)

    def _belongs(self, trial: FrozenTrial, found: Mapping[int, float]) -> bool:
        """Say whether a trial is a point of the space, or, where such are taken, a part of one."""
        names = self.space.distributions.keys()
        is_inside = len(found) == len(names & trial.params.keys()) > 0
        return is_inside and (self._takes_parts or len(found) == len(names))

    def _stands_for(self, x: Array, trial: FrozenTrial) -> bool:
        moved = self.space.decode(x)
        return all(trial.params[name] == moved[name] for name in moved.keys() & trial.params.keys())

    def ask(self, trial: FrozenTrial) -> tuple[int, Move]:
        """Give the turn of a trial and its move, as it is stored."""
        number, turn = trial.number, self._turns.of(trial)
        running = [x for n, x in self._pending.items() if x is not None and n != number]
        fixed = self.space.coordinates(fixed_params(trial)) if is_enqueued(trial) else None
        move = self.engine.ask(number, turn, running, fixed)
        v = None if move.v is None else np.round(move.v, DIGITS)
        return turn, move._replace(x=np.round(move.x, DIGITS), v=v)

    def to_json(self, turn: int, move: Move) -> dict[str, Any]:
        return {
            "v": _VERSION,
            "space": self._digest,
            "turn": turn,
            "x": move.x.tolist(),
            "dx": None if move.v is None else move.v.tolist(),
            "particle": move.particle,
            "incumbent": move.incumbent,
            "radius": move.radius,
            "since": list(move.since),
        }

    def stored(self, trial: FrozenTrial) -> tuple[int, Move] | None:
        """Give the turn and move of a trial that has moved in this space."""
        kept = trial.system_attrs.get(MOVE)
        if kept is None or kept["space"] != self._digest:
            return None
        v = None if kept["dx"] is None else np.array(kept["dx"])
        number, turn = kept["since"]
        move = Move(
            np.array(kept["x"]),
            v,
            kept["particle"],
            kept["incumbent"],
            kept["radius"],
            (number, turn),
        )
        return kept["turn"], move
