"""The points that a swarm looks at before it moves. Knows NumPy only."""

from __future__ import annotations

import math

import numpy as np

from ._cube import Array, Cube


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
