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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Taken = Callable[[Array], bool]


@dataclass(frozen=True)
class Cube:
    """What each coordinate of the unit cube stands for.

    Args:
        levels: How many values each coordinate has, 0 for a continuum.
        categorical: Whether the values have no order.
        edges: The walls between the cells of coordinates whose cells are not of equal width.
    """

    levels: NDArray[np.int64]
    categorical: NDArray[np.bool_]
    edges: Mapping[int, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.levels)

    @property
    def is_finite(self) -> bool:
        """Whether there are finitely many points."""
        return bool(np.all(self.levels > 0))

    def cells(self, x: Array) -> NDArray[np.int64]:
        """Say in which cell each coordinate lies; what they say of a continuum means nothing."""
        cells = np.floor(x * self.levels).astype(np.int64)
        for j, edges in self.edges.items():
            cells[..., j] = np.searchsorted(edges, x[..., j], side="right") - 1
        return np.clip(cells, 0, np.maximum(self.levels - 1, 0))

    def middles(self, cells: NDArray[np.int64]) -> Array:
        """Give the middles of cells, beyond the last cell those of the last."""
        cells = np.clip(cells, 0, np.maximum(self.levels - 1, 0))
        middles: Array = (cells + 0.5) / np.maximum(self.levels, 1)
        for j, edges in self.edges.items():
            middles[..., j] = (edges[cells[..., j]] + edges[cells[..., j] + 1]) / 2
        return middles

    def snap(self, x: Array) -> Array:
        """Move coordinates with levels to the middle of their cells."""
        snapped: Array = np.where(self.levels > 0, self.middles(self.cells(x)), x)
        return snapped

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """Draw n points anywhere."""
        return self.snap(rng.random((n, len(self))))

    def key(self, x: Array) -> bytes:
        """Give what is equal for points that stand for the same configuration."""
        return self.snap(x).tobytes()


@dataclass(frozen=True)
class Settings:
    """The constants of a swarm; `PSOSampler` tells what they mean and which are allowed."""

    swarm_size: int
    inertia: float
    cognitive: float
    social: float
    max_velocity: float
    n_candidates: int

    @property
    def n_initial(self) -> int:
        """How many points are looked at before the particles move."""
        return 2 * self.swarm_size


class Evaluation(NamedTuple):
    """A finished evaluation. The value is to be minimised.

    `value` is None for a point that was given up on (pruned): it warns the candidates off, and is
    no position of a particle.
    """

    number: int
    value: float | None
    move: Move


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
_MUTATION = 0.02  # how often a categorical coordinate takes any of its choices
_SAME = 1e-9  # of a range: points that are nearer to each other are one
_N_ROAMING = 64  # points drawn anywhere when all near by have been looked at
_LONG_LIST = 64  # choices of which each has a column of the model
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
        self._points = np.empty((64, len(cube)))
        self._values = np.empty(64)
        self._numbers = np.empty(64, dtype=np.int64)
        self._n = 0
        self._seen: set[bytes] = set()

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
        number, value, move = evaluation
        self._remember(number, move.x, math.inf if value is None else value)
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

    def _remember(self, number: int, x: Array, value: float) -> None:
        if self._n == len(self._values):
            self._points = np.concatenate([self._points, self._points])
            self._values = np.concatenate([self._values, self._values])
            self._numbers = np.concatenate([self._numbers, self._numbers])
        self._points[self._n], self._values[self._n] = self._cube.snap(x), value
        self._numbers[self._n] = number
        self._n += 1
        self._seen.add(self._cube.key(x))

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
        taken = self._taken(running, fixed)
        since = max(self._flocks)
        if self._is_done(self._flocks[since]):
            if fixed is not None:  # it takes no turn, so it is not the first of a flock either
                return self._start(turn, rng, taken, fixed)
            since = number, turn
        flock = self._flock(since)
        moves_before = turn - since[1]
        if moves_before < self._set.n_initial or flock.best is None:
            return self._start(turn, rng, taken, fixed)._replace(since=since)
        particle = (moves_before - self._set.n_initial) % self._set.swarm_size
        best, bests = flock.best[1], self._personal_bests(flock)
        leads = bests[particle] == best
        here = self._told[flock.position(particle)].move
        view = _View(
            self._cube,
            self._set,
            x=here.x,
            v=np.zeros_like(here.x) if here.v is None else here.v,
            own=self._told[bests[particle]].move.x,
            best=self._told[best].move.x,
            bests=self._positions(bests),
            radius=self._radius(flock) if leads else 0.0,
        )
        x, v = self._pick(view, rng, taken, fixed or {})
        return Move(x, v, particle, best if leads else None, view.radius, since)

    def _personal_bests(self, flock: _Flock) -> list[int]:
        return [flock.personal_best(particle) for particle in range(self._set.swarm_size)]

    def _positions(self, numbers: Iterable[int]) -> Array:
        return np.array([self._told[number].move.x for number in numbers])

    def _is_done(self, flock: _Flock) -> bool:
        """Say whether a flock sits in one place and finds nothing there that is worth its while.

        All that is left of the budget would go there: it is better spent on another start.
        """
        if flock.n_told <= self._set.n_initial:
            return False
        stalled = flock.n_since_best >= _PATIENCE * self._set.swarm_size
        bests = self._cube.snap(self._positions(self._personal_bests(flock)))
        spread = np.std(bests, axis=0)
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
            elsewhere = put(self._cube.draw(rng, _N_ROAMING), fixed or {})
            x = next((y for y in elsewhere if not taken(y)), x)
        return Move(x)

    def _taken(self, running: Iterable[Array], fixed: Mapping[int, float] | None) -> Taken:
        if self._cube.is_finite:
            busy = {self._cube.key(x) for x in running}
            return lambda x: (key := self._cube.key(x)) in self._seen or key in busy
        if fixed is None:
            return lambda _: False
        # Trials that are enqueued together move the same particle. Where the velocity stops at its
        # limit, or the particle at a wall, their moves would end at one point.
        points = np.array([*self._points[: self._n], *(self._cube.snap(x) for x in running)])
        points = points.reshape(-1, len(self._cube))
        return lambda x: bool(np.any(np.all(np.abs(points - self._cube.snap(x)) < _SAME, axis=1)))

    def _radius(self, flock: _Flock) -> float:
        if flock.last_lead < 0:
            return _RADIUS
        _, value, move = self._told[flock.last_lead]
        before = self._told.get(-1 if move.incumbent is None else move.incumbent)
        success = before is None or _value(value) < _value(before.value)
        radius = move.radius * (_GROW if success else _SHRINK)
        return min(max(radius, _RADIUS_RANGE[0]), _RADIUS_RANGE[1])

    def _pick(
        self, view: _View, rng: np.random.Generator, taken: Taken, fixed: Mapping[int, float]
    ) -> tuple[Array, Array]:
        for draw in (view.moves, view.shake, view.shake, view.hop, view.hop, view.roam):
            xs, vs = draw(rng, self._set.n_candidates)
            xs = put(xs, fixed)
            fresh = np.array([not taken(x) for x in xs])
            if fresh.any():
                xs, vs = xs[fresh], vs[fresh]
                break
        xs = xs[: self._set.n_candidates]
        chosen = self._sift(xs) if len(xs) > 1 else 0
        return xs[chosen], vs[chosen]

    def _sift(self, xs: Array) -> int:
        """Choose the candidate that a model of the nearest evaluations predicts best."""
        cube, xs, points = self._cube, self._cube.snap(xs), self._points[: self._n]
        numbers, middle = self._numbers[: self._n], _encode(cube, xs, xs).mean(axis=0)
        distances = np.sum((_encode(cube, points, xs) - middle) ** 2, axis=1)
        size = min(6 * len(self._cube) + 8, self._n)
        if size < len(self._cube) + 2:
            return 0
        near = np.flatnonzero(distances <= np.partition(distances, size - 1)[size - 1])
        near = near[np.lexsort((numbers[near], distances[near]))][:size]
        # By number, so that the order in which they were told leaves no trace in the last digits.
        near = near[np.argsort(numbers[near])]
        here = np.concatenate([points[near], xs])
        codes = _encode(cube, here, here)
        known, at = codes[: len(near)], codes[len(near) :]
        return int(np.argmin(_predict(known, _ranks(self._values[near]), at)))


class _Flock:
    """The particles between one start of the swarm and the next, by numbers of evaluations."""

    def __init__(self) -> None:
        self.best: tuple[float, int] | None = None
        self.last_lead = -1  # the number of the leader's latest evaluation
        self._starts: list[tuple[float, int]] = []  # (value, number), best first
        self._last: dict[int, int] = {}  # particle -> number of its latest evaluation
        self._bests: dict[int, tuple[float, int]] = {}  # particle -> its best (value, number)
        self._numbers: list[int] = []

    @property
    def n_told(self) -> int:
        """How many evaluations are finished."""
        return len(self._numbers)

    @property
    def n_since_best(self) -> int:
        """How many of them were begun after the best one."""
        return 0 if self.best is None else self.n_told - bisect.bisect(self._numbers, self.best[1])

    def tell(self, evaluation: Evaluation) -> None:
        """Take a finished evaluation into account."""
        number, value, move = evaluation
        entry = (_value(value), number)
        bisect.insort(self._numbers, number)
        self.best = entry if self.best is None else min(self.best, entry)
        if move.particle is None:
            bisect.insort(self._starts, entry)
            return
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

    def _start(self, particle: int) -> tuple[float, int]:
        if self._starts:
            return self._starts[particle % len(self._starts)]
        assert self.best is not None
        return self.best


def _is_free(move: Move) -> bool:
    """Say whether a point belongs to no particle of any flock: others may have chosen it."""
    return move.since == (0, 0) and move.particle is None


@dataclass(frozen=True)
class _View:
    """What a particle sees when it moves."""

    cube: Cube
    settings: Settings
    x: Array
    v: Array
    own: Array
    best: Array
    bests: Array
    radius: float

    def moves(self, rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        """Draw n moves: their ends and velocities."""
        return self._lead(rng, n) if self.radius > 0 else self._follow(rng, n)

    def _follow(self, rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        s, d = self.settings, len(self.cube)
        basis = self._basis()
        own, best = s.cognitive * rng.random((n, d)), s.social * rng.random((n, d))
        pull = own * ((self.own - self.x) @ basis) + best * ((self.best - self.x) @ basis)
        v = s.inertia * self.v + pull @ basis.T
        v = np.clip(v, -s.max_velocity, s.max_velocity)
        weights = np.stack([np.full((n, d), s.inertia), own, best])
        return self._land(self.x + v, v, self._adopt(rng, weights))

    def _lead(self, rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        d = len(self.cube)
        x = self.best + self.radius * self._spread() * rng.standard_normal((n, d))
        v = np.clip(x - self.x, -self.settings.max_velocity, self.settings.max_velocity)
        stay_best = np.stack([np.zeros((n, d)), np.zeros((n, d)), np.ones((n, d))])
        return self._land(x, v, self._adopt(rng, stay_best))

    def _spread(self) -> float:
        ordered = self.bests[:, ~self.cube.categorical]
        return max(_mean(np.std(ordered, axis=0)), 1e-9) if ordered.size else 0.0

    def _basis(self) -> Array:
        """Give the axes along which the personal bests lie: there the pulls are scaled apart.

        Scaled per coordinate, a swarm favours moves along the coordinates; in the eigenbasis of
        its own shape it does not.
        """
        basis = np.eye(len(self.cube))
        ordered = np.flatnonzero(~self.cube.categorical & (self.cube.levels != 1))
        if len(ordered) > 1:
            covariance = np.cov(self.bests[:, ordered], rowvar=False)
            basis[np.ix_(ordered, ordered)] = np.linalg.eigh(covariance)[1]
        return basis

    def _adopt(self, rng: np.random.Generator, weights: Array) -> Array:
        """Draw a choice for the categorical coordinates: stay, one's own best, or the best.

        The weights are those of the terms of the velocity, so that a choice spreads through the
        swarm as fast as a numeric value does; no order among the choices is made up. Now and then
        any choice is taken, since a swarm that agrees could never leave it.
        """
        _, n, d = weights.shape
        share = np.cumsum(weights, axis=0) / np.sum(weights, axis=0)
        source = np.sum(rng.random((n, d)) > share, axis=0)
        adopted = np.stack([self.x, self.own, self.best])[np.minimum(source, 2), np.arange(d)]
        anything = rng.random((n, d)) < _MUTATION
        return np.where(anything, rng.random((n, d)), adopted)

    def _land(self, x: Array, v: Array, adopted: Array) -> tuple[Array, Array]:
        """Stop at the walls, and give the categorical coordinates what they adopted."""
        outside = (x < 0) | (x > 1)
        x, v = np.clip(x, 0, 1), np.where(outside | self.cube.categorical, 0.0, v)
        return np.where(self.cube.categorical, self.cube.snap(adopted), x), v

    def shake(self, rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        """Draw moves that end up to half a level elsewhere: they leave cells that are known."""
        x, v = self.moves(rng, n)
        shift = (rng.random(x.shape) - 0.5) / np.maximum(self.cube.levels, 1)
        return self._land(np.where(self.cube.categorical, x, x + shift), v, x)

    def hop(self, rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        """Draw points one or two levels, or another choice, away from one's own best."""
        d = len(self.cube)
        steps = rng.integers(1, 3, (n, d)) * rng.choice([-1, 1], (n, d))
        moved = rng.random((n, d)) < 0.5
        x = self.cube.middles(self.cube.cells(self.own) + np.where(moved, steps, 0))
        other = np.where(moved, rng.random((n, d)), self.own)
        return self._land(x, np.zeros((n, d)), other)

    def roam(self, rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        """Draw points anywhere, more than were asked for: few may be left."""
        x = self.cube.draw(rng, max(n, _N_ROAMING))
        return x, np.zeros_like(x)


def put(x: Array, fixed: Mapping[int, float]) -> Array:
    """Give points with some of their coordinates, by index, replaced."""
    if fixed:
        x = x.copy()
        x[..., list(fixed)] = list(fixed.values())
    return x


def _mean(spread: Array) -> float:
    return float(np.mean(spread)) if spread.size else 0.0


def _value(value: float | None) -> float:
    return math.inf if value is None else value


def initial_point(cube: Cube, index: int, seed: int) -> Array:
    """Give a point of the initial design: the centre, then a scrambled Halton sequence.

    Every coordinate of the sequence is the radical inverse in a prime base of its own, its digits
    permuted at random (Owen, "A randomized Halton algorithm in R", 2017).

    Args:
        cube: What the coordinates stand for.
        index: At least 0.
        seed: Another seed gives another sequence; the centre stays, but for the choices.
    """
    rng = np.random.default_rng([seed, 0x9A17])
    if index == 0:
        middle = np.full(len(cube), 0.5)
        return cube.snap(np.where(cube.categorical, rng.random(len(cube)), middle))
    bases = _primes(len(cube))
    return cube.snap(np.array([_radical_inverse(index, base, rng) for base in bases]))


def _primes(n: int) -> list[int]:
    primes: list[int] = []
    candidate = 2
    while len(primes) < n:
        if all(candidate % prime for prime in primes if prime * prime <= candidate):
            primes.append(candidate)
        candidate += 1
    return primes


def _radical_inverse(index: int, base: int, rng: np.random.Generator) -> float:
    """Mirror the digits of a number behind the point, each permuted in its own way."""
    value, weight = 0.0, 1.0
    for _ in range(math.ceil(32 / math.log2(base))):
        weight /= base
        index, digit = divmod(index, base)
        value += weight * float(rng.permutation(base)[digit])
    return min(value, 1 - 2**-32)


def _encode(cube: Cube, x: Array, others: Array) -> Array:
    """Write categorical coordinates as one column per choice, two choices at distance 1.

    Of a long list, choices that none of the other points has share a column: it costs no more than
    a short one.
    """
    columns, cells = [x[:, ~cube.categorical]], cube.cells(x)
    for j in np.flatnonzero(cube.categorical):
        n_choices = cube.levels[j]
        is_long = n_choices > _LONG_LIST
        choices = np.unique(cube.cells(others)[:, j]) if is_long else np.arange(n_choices)
        own = cells[:, [j]] == choices
        columns.append(own * math.sqrt(0.5))
        if is_long:
            columns.append(~own.any(axis=1, keepdims=True) * math.sqrt(0.5))
    return np.concatenate(columns, axis=1)


def _ranks(values: Array) -> Array:
    """Give ranks in [0, 1]: what a model sees is not bent by the scale of the values."""
    return np.searchsorted(np.sort(values), values) / max(len(values) - 1, 1)


def _predict(points: Array, values: Array, at: Array) -> Array:
    """Interpolate by a cubic radial basis function with a linear tail."""
    n, d = points.shape
    tail = np.concatenate([np.ones((n, 1)), points], axis=1)
    system = np.zeros((n + d + 1, n + d + 1))
    system[:n, :n] = _distances(points, points) ** 3 + 1e-9 * np.eye(n)
    system[:n, n:], system[n:, :n] = tail, tail.T
    # A trace of regularity keeps the system solvable where points lie in a plane.
    system[n:, n:] = -1e-9 * np.eye(d + 1)
    weights = np.linalg.solve(system, np.concatenate([values, np.zeros(d + 1)]))
    tail_at = np.concatenate([np.ones((len(at), 1)), at], axis=1)
    predicted: Array = _distances(at, points) ** 3 @ weights[:n] + tail_at @ weights[n:]
    return predicted


def _distances(a: Array, b: Array) -> Array:
    distances: Array = np.sqrt(np.sum((a[:, None, :] - b[None, :, :]) ** 2, axis=2))
    return distances
