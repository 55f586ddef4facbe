"""Particle swarm optimisation as a function of what has been evaluated. Knows NumPy only.

A `Swarm` is told evaluations, in any order, and answers where to look next. What it answers depends
on the set of evaluations, the seed and the number of the question, and on nothing else: the same
set gives the same answer in another process, so nothing here needs to be saved.

Coordinates lie in [0, 1]. A numeric coordinate with n levels owns n cells of equal width; a
categorical one with n choices stands in the middle of its choice's cell, and is never moved by
arithmetic: it adopts the choice of one of the points that pull it.

Sources: Kennedy and Eberhart, "Particle Swarm Optimization" (1995), equation 1 of the move; Shi and
Eberhart, "A Modified Particle Swarm Optimizer" (1998) for the inertia; van den Bergh and
Engelbrecht, "A New Locally Convergent Particle Swarm Optimiser" (2002) for a leader that samples
around the best point; Regis, "Particle swarm with radial basis function surrogates" (2014) for
candidates that a cubic radial basis function sifts.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _rbf
from ._archive import Archive, Taken, stacked
from ._cube import Array, Coding, Cube
from ._design import initial_point
from ._model import Model, Modeller, Search, is_noisy
from ._moves import N_ROAMING, View, put


@dataclass(frozen=True)
class Settings:
    """The constants of a swarm; `PSOSampler` tells what they mean and which are allowed."""

    swarm_size: int
    inertia: float
    cognitive: float
    social: float
    max_velocity: float
    n_candidates: int
    surrogate: str | None = None

    @property
    def n_initial(self) -> int:
        """How many points are looked at before the particles move."""
        return self.swarm_size if self.surrogate == "gp" else 2 * self.swarm_size

    @property
    def n_spread(self) -> int:
        """How many of them are spread evenly; the Gaussian process chooses the others."""
        least = max(_LEAST_SPREAD, self.swarm_size // 2)
        return min(least, self.n_initial) if self.surrogate == "gp" else self.n_initial


class Evaluation(NamedTuple):
    """A finished evaluation. The value is to be minimised.

    `value` is None for a point that was given up on (pruned): it warns the candidates off, and is
    no position of a particle. `active` says which coordinates the configuration has, None that it
    has all; `reports` what was found before, by step, to be minimised, too.
    """

    number: int
    value: float | None
    move: Move
    active: NDArray[np.bool_] | None = None
    reports: Mapping[int, float] = {}


class Move(NamedTuple):
    """Where to look, and what must be remembered of it when the evaluation is told.

    Attributes:
        x: The position.
        v: The velocity that led there; None where none did.
        particle: Whose move it is; None for an initial point, or one that somebody else chose.
        incumbent: The number of the best evaluation when the leader moved, else None.
        radius: The leader's step, in units of the swarm's spread, else 0.
        since: Number and turn of the move with which its flock set out; zeros for the first one.
    """

    x: Array
    v: Array | None = None
    particle: int | None = None
    incumbent: int | None = None
    radius: float = 0.0
    since: tuple[int, int] = (0, 0)


_RADIUS = 0.12  # the leader's first step, in units of the swarm's spread
_GROW, _SHRINK = 1.3, 0.75
_RADIUS_RANGE = (1e-3, 1.0)
_N_RECOMMENDED = 5  # evaluations of which the most trusted is recommended
_LEAST_SPREAD = 4  # points of the initial design, where a Gaussian process chooses the others
# Every so many moves the Gaussian process chooses. The others are the radial functions', which are
# better at the smooth valleys that a continuum may have: there, it chooses the first moves only.
_TURNS_OF_CONTINUUM, _TURNS = 3, 2
_EARLY = 10  # evaluations per dimension
# A flock is done when its personal bests spread, in shares of the ranges, by less than _COLLAPSED
# and nothing better was found in _PATIENCE moves per particle, or by less than _CONVERGED.
_COLLAPSED, _PATIENCE, _CONVERGED = 0.01, 2, 1e-5


class Swarm:
    """The swarm: particles that start from the best initial points and move one at a time.

    Args:
        cube: What the coordinates stand for.
        settings: The constants.
        seed: Any integer >= 0.

    Example:
        >>> cube = Cube(np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.bool_))
        >>> swarm = Swarm(cube, Settings(4, 0.4, 1.6, 2.0, 0.2, 8), seed=1)
        >>> for number in range(40):
        ...     move = swarm.ask(number, turn=number)
        ...     swarm.tell(Evaluation(number, float(np.sum((move.x - 0.7) ** 2)), move))
        >>> swarm.best.value < 1e-3
        True
    """

    def __init__(self, cube: Cube, settings: Settings, seed: int) -> None:
        self._cube = cube
        self._set = settings
        self._seed = seed
        self._told: dict[int, Evaluation] = {}
        self._best: tuple[float, int] | None = None
        self._free: list[Evaluation] = []
        self._flocks = {(0, 0): _Flock()}  # by the number and turn of their first move
        self._archive = Archive(cube)
        self._modeller = Modeller(cube)

    def has_converged(self, turns: int) -> bool:  # noqa: ARG002
        """Say that this swarm never ends by itself."""
        return False

    @property
    def best(self) -> Evaluation:
        """The best evaluation so far; there must be one."""
        assert self._best is not None
        return self._told[self._best[1]]

    def see(self, turn: int, move: Move) -> None:  # noqa: ARG002
        """Take note of a move that has been made: it may be the first one of a new flock."""
        self._flock(move.since)

    def tell(self, evaluation: Evaluation, turn: int | None = None) -> None:  # noqa: ARG002
        """Take a finished evaluation into account; the order of the calls does not matter."""
        number, value, move, active, reports = evaluation
        known = reports if self._set.surrogate == "gp" else {}
        self._archive.remember(number, move.x, value, active, known)
        if value is None:
            return
        self._told[number] = evaluation
        entry = (value, number)
        self._best = entry if self._best is None else min(self._best, entry)
        self._flock(move.since).tell(evaluation)
        if _is_free(move):
            self._free.append(evaluation)
            for since, flock in self._flocks.items():
                if 0 < since[0] < number:
                    flock.tell(evaluation)

    def _flock(self, since: tuple[int, int]) -> _Flock:
        """Give the flock of a move, which knows of the free points that were tried after it."""
        if since not in self._flocks:
            flock = self._flocks[since] = _Flock()
            for evaluation in self._free:
                if since[0] < evaluation.number:
                    flock.tell(evaluation)
        return self._flocks[since]

    def ask(
        self,
        number: int,
        turn: int,
        running: Iterable[Array] = (),
        fixed: Mapping[int, float] | None = None,
    ) -> Move:
        """Say where to look next.

        Args:
            number: Of the trial that asks: a number twice gives the same randomness.
            turn: How many have asked before, which says whose turn it is.
            running: Points that are being evaluated, so that none is looked at twice.
            fixed: Coordinates that somebody else has chosen, by index; None for a trial that takes
                its turn. One that was enqueued takes none: several of them ask at one turn.
        """
        rng = np.random.default_rng([self._seed, number])
        at_work = stacked(running, len(self._cube))
        taken = self._archive.taken(at_work, fixed, in_continuum=self._set.surrogate == "gp")
        since = max(self._flocks)
        flock = self._flock(since)
        noisy = self._is_noisy(len(at_work)) and flock.n_told >= self._set.n_initial
        model = self._modeller.model(self._archive, at_work) if noisy else None
        bests = self._bests(flock, model)
        if self._is_done(flock, bests):
            if fixed is not None:  # it takes no turn, so it is not the first of a flock either
                return self._start(turn, rng, taken, fixed)
            since = number, turn
            flock = self._flock(since)
        moves_before = turn - since[1]
        if moves_before < self._set.n_initial or flock.best is None:
            start = self._start(turn, rng, taken, fixed)
            if fixed is None and moves_before >= self._set.n_spread:
                model = self._modeller.model(self._archive, at_work)
                start = start if model is None else self._promising(start, rng, taken, model)
            return start._replace(since=since)
        particle = (moves_before - self._set.n_initial) % self._set.swarm_size
        bests = self._bests(flock, model)
        view = self._view(flock, bests, particle)
        xs, vs = self._draw(view, rng, taken, fixed or {})
        is_its_turn = self._set.surrogate == "gp" and self._is_turn_of_process(number)
        if is_its_turn and model is None:
            model = self._modeller.model(self._archive, at_work)
        if not is_its_turn or model is None:
            chosen = self._sift(xs) if len(xs) > 1 else 0
            x, v = xs[chosen], vs[chosen]
        else:
            search = Search(self._cube, self._archive, model, fixed or {})
            x, v = _with_velocity(search.best(rng, xs, taken), xs, vs, view)
        return Move(x, v, particle, bests.best if view.radius else None, view.radius, since)

    def _is_turn_of_process(self, number: int) -> bool:
        if np.any(self._cube.levels):
            return number % _TURNS == 0
        is_early = len(self._archive) < _EARLY * len(self._cube)
        return is_early and number % _TURNS_OF_CONTINUUM == 0

    def recommend(self) -> int | None:
        """Give the number of the evaluation that is believed to be the best one.

        Of the evaluations with the best values, that is the one with the best posterior mean. None
        says that it is the one with the best value: there is no noise, or no model.
        """
        if not self._is_noisy(0):
            return None
        model = self._modeller.model(self._archive, stacked([], len(self._cube)))
        assert model is not None
        beliefs = {n: mean for n, mean in model.beliefs.items() if n in self._told}
        best = sorted(beliefs, key=lambda n: (_value(self._told[n].value), n))[:_N_RECOMMENDED]
        return min(best, key=lambda n: (beliefs[n], n), default=None)

    def _is_noisy(self, n_running: int) -> bool:
        """Say whether the Gaussian process finds that a lucky value is no best."""
        if self._set.surrogate != "gp":
            return False
        hyperparameters = self._modeller.fitted(self._archive, n_running)
        return hyperparameters is not None and is_noisy(hyperparameters)

    def _bests(self, flock: _Flock, model: Model | None) -> _Bests:
        """Give the best evaluations of a flock: where there is noise, those believed to be."""
        if flock.best is None:
            return _Bests(-1, [])
        particles = range(self._set.swarm_size)
        if model is None:
            return _Bests(flock.best[1], [flock.personal_best(particle) for particle in particles])
        beliefs = {n: mean for n, mean in model.beliefs.items() if n in flock}
        own = [flock.believed_best(particle, beliefs) for particle in particles]
        best = min(beliefs, key=lambda n: (beliefs[n], n), default=flock.best[1])
        return _Bests(best, own)

    def _view(self, flock: _Flock, bests: _Bests, particle: int) -> View:
        """Give what a particle sees; a coordinate that a point does not have does not pull."""
        s, leads = self._set, bests.own[particle] == bests.best
        here = self._told[flock.position(particle)].move
        own, best = (self._told[number] for number in (bests.own[particle], bests.best))
        return View(
            self._cube,
            s.inertia,
            s.cognitive,
            s.social,
            s.max_velocity,
            x=here.x,
            v=np.zeros_like(here.x) if here.v is None else here.v,
            own=own.move.x if own.active is None else np.where(own.active, own.move.x, here.x),
            best=best.move.x if best.active is None else np.where(best.active, best.move.x, here.x),
            bests=self._positions(bests.own),
            radius=self._radius(flock) if leads else 0.0,
        )

    def _positions(self, numbers: Iterable[int]) -> Array:
        return np.array([self._told[number].move.x for number in numbers])

    def _is_done(self, flock: _Flock, bests: _Bests) -> bool:
        """Say whether a flock sits in one place and finds nothing there that is worth its while.

        All that is left of the budget would go there: it is better spent on another start.
        """
        if flock.n_told <= self._set.n_initial:
            return False
        stalled = flock.n_after(bests.best) >= _PATIENCE * self._set.swarm_size
        spread = np.std(self._cube.snap(self._positions(bests.own)), axis=0)
        agree = not np.any(spread[self._cube.categorical])
        width = _mean(spread[~self._cube.categorical])
        return agree and width < (_COLLAPSED if stalled else _CONVERGED)

    def _start(
        self, turn: int, rng: np.random.Generator, taken: Taken, fixed: Mapping[int, float] | None
    ) -> Move:
        if fixed is None:
            x = initial_point(self._cube, turn, self._seed)
        else:
            x = put(self._cube.draw(rng, 1)[0], fixed)
        if taken(x):
            elsewhere = put(self._cube.draw(rng, N_ROAMING), fixed or {})
            x = next((y for y in elsewhere if not taken(y)), x)
        return Move(x)

    def _promising(self, start: Move, rng: np.random.Generator, taken: Taken, model: Model) -> Move:
        """Give the start that promises the most, of a given one and those that a model finds."""
        return Move(Search(self._cube, self._archive, model, {}).best(rng, start.x[None], taken))

    def _radius(self, flock: _Flock) -> float:
        if flock.last_lead < 0:
            return _RADIUS
        value, move = self._told[flock.last_lead][1:3]
        before = self._told.get(-1 if move.incumbent is None else move.incumbent)
        success = before is None or _value(value) < _value(before.value)
        radius = move.radius * (_GROW if success else _SHRINK)
        return min(max(radius, _RADIUS_RANGE[0]), _RADIUS_RANGE[1])

    def _draw(
        self, view: View, rng: np.random.Generator, taken: Taken, fixed: Mapping[int, float]
    ) -> tuple[Array, Array]:
        """Draw candidates for a move, with their velocities: new ones, while there are any."""
        for draw in (view.moves, view.shake, view.shake, view.hop, view.hop, view.roam):
            xs, vs = draw(rng, self._set.n_candidates)
            xs = put(xs, fixed)
            fresh = np.array([not taken(x) for x in xs])
            if fresh.any():
                xs, vs = xs[fresh], vs[fresh]
                break
        return xs[: self._set.n_candidates], vs[: self._set.n_candidates]

    def _sift(self, xs: Array) -> int:
        """Choose the candidate that a model of the nearest evaluations predicts best."""
        xs, points = self._archive.canonical(xs), self._archive.points
        numbers, n = self._archive.numbers, len(self._archive)
        coding = Coding(self._cube, xs)
        distances = np.sum((coding(points) - coding(xs).mean(axis=0)) ** 2, axis=1)
        size = min(6 * len(self._cube) + 8, n)
        if size < len(self._cube) + 2:
            return 0
        near = np.flatnonzero(distances <= np.partition(distances, size - 1)[size - 1])
        near = near[np.lexsort((numbers[near], distances[near]))][:size]
        # By number, so that the order in which they were told leaves no trace in the last digits.
        near = near[np.argsort(numbers[near])]
        coding = Coding(self._cube, np.concatenate([points[near], xs]))
        known, ranks = coding(points[near]), _rbf.ranks(self._archive.values[near])
        return int(np.argmin(_rbf.predict(known, ranks, coding(xs))))


class _Bests(NamedTuple):
    """The numbers of a flock's best evaluation, and of each particle's."""

    best: int
    own: list[int]


def _with_velocity(x: Array, xs: Array, vs: Array, view: View) -> tuple[Array, Array]:
    """Give the point that was found with its velocity: the move's, or what led there."""
    moves = np.flatnonzero(np.all(xs == x, axis=1))
    if len(moves):
        return x, vs[moves[0]]
    v = np.clip(x - view.x, -view.max_velocity, view.max_velocity)
    return x, np.where(view.cube.categorical, 0.0, v)


class _Flock:
    """The particles between one start of the swarm and the next, by numbers of evaluations."""

    def __init__(self) -> None:
        self.best: tuple[float, int] | None = None
        self.last_lead = -1  # the number of the leader's latest evaluation
        self._starts: list[tuple[float, int]] = []  # (value, number), best first
        self._last: dict[int, int] = {}  # particle -> number of its latest evaluation
        self._bests: dict[int, tuple[float, int]] = {}  # particle -> its best (value, number)
        self._particles: dict[int, int] = {}  # number -> particle
        self._numbers: list[int] = []

    @property
    def n_told(self) -> int:
        """How many evaluations are finished."""
        return len(self._numbers)

    def __contains__(self, number: int) -> bool:
        place = bisect.bisect_left(self._numbers, number)
        return place < len(self._numbers) and self._numbers[place] == number

    def n_after(self, number: int) -> int:
        """How many of them were begun after one of them."""
        return self.n_told - bisect.bisect(self._numbers, number)

    def tell(self, evaluation: Evaluation) -> None:
        """Take a finished evaluation into account."""
        number, value, move = evaluation[:3]
        entry = (_value(value), number)
        bisect.insort(self._numbers, number)
        self.best = entry if self.best is None else min(self.best, entry)
        if move.particle is None:
            bisect.insort(self._starts, entry)
            return
        self._particles[number] = move.particle
        self._last[move.particle] = max(self._last.get(move.particle, -1), number)
        self._bests[move.particle] = min(self._bests.get(move.particle, entry), entry)
        if move.incumbent is not None:
            self.last_lead = max(self.last_lead, number)

    def position(self, particle: int) -> int:
        """Give the evaluation where a particle is."""
        return self._last.get(particle, self._start(particle)[1])

    def personal_best(self, particle: int) -> int:
        """Give the best evaluation of a particle, its start among them."""
        start = self._start(particle)
        return min(start, self._bests.get(particle, start))[1]

    def believed_best(self, particle: int, beliefs: Mapping[int, float]) -> int:
        """Give the evaluation of a particle of which the most is believed, by the least mean."""
        own = [number for number in beliefs if self._particles.get(number) == particle]
        start = self._start(particle)[1]
        candidates = [*own, start] if start in beliefs else own
        if not candidates:
            return self.personal_best(particle)
        return min(candidates, key=lambda number: (beliefs[number], number))

    def _start(self, particle: int) -> tuple[float, int]:
        if self._starts:
            return self._starts[particle % len(self._starts)]
        assert self.best is not None
        return self.best


def _is_free(move: Move) -> bool:
    """Say whether a point belongs to no particle of any flock: others may have chosen it."""
    return move.since == (0, 0) and move.particle is None


def _mean(spread: Array) -> float:
    return float(np.mean(spread)) if spread.size else 0.0


def _value(value: float | None) -> float:
    return math.inf if value is None else value
