"""Algorithm 3 of Goulas and Hocquette, "Deep Learning Project Report" (ICE, P24), to the letter.

Knows NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ._cube import Array, Cube
from ._moves import put
from ._swarm import Evaluation, Move


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
        # The best (value, number, position) of each generation; -1 for what others chose.
        self._bests: dict[int, tuple[float, int, Array]] = {}

    def see(self, turn: int, move: Move) -> None:
        """Take note of a move that has been made, whatever becomes of it."""
        self._moves[turn] = move

    def tell(self, evaluation: Evaluation, turn: int | None) -> None:
        """Take a finished evaluation into account; the turn is None for somebody else's."""
        number, value, move = evaluation[:3]
        if value is None:
            return
        generation = -1
        if turn is not None:
            self._values[turn] = value
            generation = turn // self._set.swarm_size
        entry = value, number, move.x
        known = self._bests.get(generation, entry)
        self._bests[generation] = min(known, entry, key=lambda best: best[:2])

    def ask(
        self,
        number: int,
        turn: int,
        running: Iterable[Array] = (),  # noqa: ARG002
        fixed: Mapping[int, float] | None = None,
    ) -> Move:
        """Say where to look next; `Swarm.ask` tells the arguments.

        A trial with fixed coordinates is no particle: the other coordinates are uniform draws.
        """
        if fixed is not None:
            rng = np.random.default_rng([self._seed, number, 0xF1])
            return Move(put(rng.random(len(self._cube)), fixed))
        generation, particle = divmod(turn, self._set.swarm_size)
        before = self._moves.get(turn - self._set.swarm_size)
        if generation == 0 or before is None or self._best_before(generation) is None:
            rng = np.random.default_rng([self._seed, turn])
            return Move(rng.random(len(self._cube)), np.zeros(len(self._cube)), particle)
        return self._step(generation, particle, before)

    def has_converged(self, turns: int) -> bool:
        """Say whether the generation after the last whole one would hardly move.

        Args:
            turns: How many turns, from the first on, are over.
        """
        size = self._set.swarm_size
        generation = turns // size
        last = range((generation - 1) * size, generation * size)
        before = [self._moves.get(turn) for turn in last]
        if generation == 0 or None in before or self._best_before(generation) is None:
            return False
        steps = [self._step(generation, k, m).v for k, m in enumerate(before) if m is not None]
        return float(np.linalg.norm(np.array(steps))) < self._set.epsilon

    def recommend(self) -> int | None:
        """Leave it to the study: this swarm believes what it sees."""
        return None

    def _best_before(self, generation: int) -> Array | None:
        earlier = [best for g, best in self._bests.items() if g < generation]
        return min(earlier, key=lambda best: best[:2])[2] if earlier else None

    def _step(self, generation: int, particle: int, before: Move) -> Move:
        best = self._best_before(generation)
        assert best is not None
        s, size = self._set, self._set.swarm_size
        rng = np.random.default_rng([self._seed, generation, 0xA3])
        u_l, u_g = rng.uniform(0, s.phi_l), rng.uniform(0, s.phi_g)
        last = range((generation - 1) * size, generation * size)
        leader = min(last, key=lambda turn: self._values.get(turn, math.inf))
        local = self._moves[leader].x if leader in self._values else best
        v = np.zeros_like(best) if before.v is None else before.v
        v = s.inertia * v + u_l * (local - before.x) + u_g * (best - before.x)
        return Move(np.clip(before.x + v, 0, 1), v, particle)
