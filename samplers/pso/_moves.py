"""The moves of a particle. Knows NumPy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ._cube import Array, Cube

N_ROAMING = 64  # points drawn anywhere when all near by have been looked at

_MUTATION = 0.02  # how often a categorical coordinate takes any of its choices


@dataclass(frozen=True)
class View:
    """What a particle sees when it moves."""

    cube: Cube
    inertia: float
    cognitive: float
    social: float
    max_velocity: float
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
        d = len(self.cube)
        basis = self._basis()
        own, best = self.cognitive * rng.random((n, d)), self.social * rng.random((n, d))
        pull = own * ((self.own - self.x) @ basis) + best * ((self.best - self.x) @ basis)
        v = self.inertia * self.v + pull @ basis.T
        v = np.clip(v, -self.max_velocity, self.max_velocity)
        weights = np.stack([np.full((n, d), self.inertia), own, best])
        return self._land(self.x + v, v, self._adopt(rng, weights))

    def _lead(self, rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        d = len(self.cube)
        x = self.best + self.radius * self._spread() * rng.standard_normal((n, d))
        v = np.clip(x - self.x, -self.max_velocity, self.max_velocity)
        stay_best = np.stack([np.zeros((n, d)), np.zeros((n, d)), np.ones((n, d))])
        return self._land(x, v, self._adopt(rng, stay_best))

    def _spread(self) -> float:
        ordered = self.bests[:, ~self.cube.categorical]
        return max(float(np.mean(np.std(ordered, axis=0))), 1e-9) if ordered.size else 0.0

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
        x = self.cube.draw(rng, max(n, N_ROAMING))
        return x, np.zeros_like(x)


def put(x: Array, fixed: Mapping[int, float]) -> Array:
    """Give points with some of their coordinates, by index, replaced."""
    if fixed:
        x = x.copy()
        x[..., list(fixed)] = list(fixed.values())
    return x
