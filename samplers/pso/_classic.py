"""Algorithm 3 of the source report, to the letter. Knows NumPy only."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ._swarm import Array, Cube, Evaluation, Move


@dataclass(frozen=True)
class ClassicSettings:
    """The report's S, w, phi_l, phi_g and epsilon."""

    swarm_size: int
    inertia: float
    phi_l: float
    phi_g: float
    epsilon: float


class ClassicSwarm:
    """The report's swarm: generations, zero initial velocity, iteration best, two scalar draws.

    In generation t, with u_l ~ U[0, phi_l] and u_g ~ U[0, phi_g] drawn once for all,

        v_t = w * v_(t-1) + u_l * (h~ - x_(t-1)) + u_g * (h* - x_(t-1)),    x_t = x_(t-1) + v_t

    where h~ is the best position of generation t-1 and h* the best of all. It ends when the norm
    of all velocities of a generation is below epsilon. Positions are stopped at the walls of the
    cube, of which the report says nothing.

    The turn tells generation and particle. A particle whose evaluation failed moves on from where
    it was. A generation that is asked for before the last one is finished uses what is known.
    """

    def __init__(self, cube: Cube, settings: ClassicSettings, seed: int) -> None:
        self._cube = cube
        self._set = settings
        self._seed = seed
        self._moves: dict[int, Move] = {}  # by turn
        self._values: dict[int, float] = {}  # by turn
        self._best: tuple[float, int, Array] | None = None  # value, number, position

    def see(self, turn: int, move: Move) -> None:
        """Take note of a move that has been made, whatever becomes of it."""
        self._moves[turn] = move

    def tell(self, evaluation: Evaluation, turn: int | None) -> None:
        """Take a finished evaluation into account; the turn is None for somebody else's."""
        number, value, move = evaluation
        if value is None:
            return
        if turn is not None:
            self._values[turn] = value
        if self._best is None or (value, number) < self._best[:2]:
            self._best = value, number, move.x

    def ask(self, number: int, turn: int, running: Iterable[Array] = ()) -> Move:  # noqa: ARG002
        """Say where to look next."""
        generation, particle = divmod(turn, self._set.swarm_size)
        before = self._moves.get(turn - self._set.swarm_size)
        if generation == 0 or before is None or self._best is None:
            rng = np.random.default_rng([self._seed, turn])
            return Move(rng.random(len(self._cube)), np.zeros(len(self._cube)), particle)
        return self._step(generation, particle, before)

    def has_converged(self, turns: int) -> bool:
        """Say whether, after that many turns, the next generation would hardly move."""
        size = self._set.swarm_size
        generation, rest = divmod(turns, size)
        before = [self._moves.get(turn) for turn in range(turns - size, turns)]
        if generation == 0 or rest or self._best is None or None in before:
            return False
        steps = [self._step(generation, k, m).v for k, m in enumerate(before) if m is not None]
        return float(np.linalg.norm(np.array(steps))) < self._set.epsilon

    def _step(self, generation: int, particle: int, before: Move) -> Move:
        assert self._best is not None
        s, size = self._set, self._set.swarm_size
        rng = np.random.default_rng([self._seed, generation, 0xA3])
        u_l, u_g = rng.uniform(0, s.phi_l), rng.uniform(0, s.phi_g)
        best = self._best[2]
        last = range((generation - 1) * size, generation * size)
        leader = min(last, key=lambda turn: self._values.get(turn, math.inf))
        local = self._moves[leader].x if leader in self._values else best
        v = np.zeros_like(best) if before.v is None else before.v
        v = s.inertia * v + u_l * (local - before.x) + u_g * (best - before.x)
        return Move(np.clip(before.x + v, 0, 1), v, particle)
