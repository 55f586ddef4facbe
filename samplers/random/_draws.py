"""Random draws that are functions of what they are for, and the arithmetic of finite spaces.

Nothing here knows Optuna.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from math import prod

import numpy as np


def uniform(seed: int, number: int, name: str, attempt: int = 0) -> float:
    """Give the draw in [0, 1) that belongs to a seed, a trial, a parameter and an attempt.

    The same four always give the same draw, so nothing is lost with a process.

    Args:
        seed: Any integer.
        number: The trial's number.
        name: The parameter's name.
        attempt: 0, or how often the trial's draw has been thrown away.

    Example:
        >>> uniform(1, 2, "x") == uniform(1, 2, "x") != uniform(1, 2, "y")
        True
    """
    label = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
    source = np.random.SeedSequence([seed % 2**128, number, label, attempt])
    return float(np.random.Generator(np.random.PCG64(source)).random())


def digits_of(index: int, sizes: Sequence[int]) -> list[int]:
    """Write a number in mixed radix, the last digit fastest.

    Example:
        >>> digits_of(4, [2, 3])
        [1, 1]
    """
    digits = []
    for size in reversed(sizes):
        index, digit = divmod(index, size)
        digits.append(digit)
    return digits[::-1]


def neighbours(digits: Sequence[int], sizes: Sequence[int]) -> Iterator[list[int]]:
    """Give every point of a finite space once, counting on from one point.

    Example:
        >>> list(neighbours([1, 0], [2, 2]))
        [[1, 0], [1, 1], [0, 0], [0, 1]]
    """
    total = prod(sizes)
    start = 0
    for digit, size in zip(digits, sizes, strict=True):
        start = start * size + digit
    for step in range(total):
        yield digits_of((start + step) % total, sizes)


class Permutation:
    """A shuffle of range(size) by a key, computed element by element.

    A balanced Feistel network over the next power of four, with cycle walking for what lies
    outside the range (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002,
    sections 4 and 5): a sample without replacement from a space that is never listed.

    Args:
        size: At least 1.
        key: Another key gives another order.

    Example:
        >>> shuffle = Permutation(5, key=1)
        >>> sorted(shuffle(i) for i in range(5))
        [0, 1, 2, 3, 4]
    """

    _ROUNDS = 6

    def __init__(self, size: int, key: int) -> None:
        self._size = size
        self._half = max(1, ((size - 1).bit_length() + 1) // 2)
        self._mask = (1 << self._half) - 1
        self._key = str(key).encode()

    def __call__(self, place: int) -> int:
        """Give the element at a place of the shuffled order."""
        place = self._step(place)
        while place >= self._size:
            place = self._step(place)
        return place

    def _step(self, x: int) -> int:
        left, right = x >> self._half, x & self._mask
        for turn in range(self._ROUNDS):
            left, right = right, left ^ self._noise(turn, right)
        return left << self._half | right

    def _noise(self, turn: int, half: int) -> int:
        message = b"%d:%d:" % (turn, half) + self._key
        # 64 bytes is what blake2b gives: enough for spaces of up to 2**1024 points.
        digest = blake2b(message, digest_size=min((self._half + 7) // 8, 64)).digest()
        return int.from_bytes(digest, "big") & self._mask


def first_unseen(
    draw: Callable[[int], list[int]],
    sizes: Sequence[int],
    seen: Callable[[list[int]], bool],
    n_seen: int,
    attempts: int = 64,
) -> list[int]:
    """Draw again until the point is new; when luck runs out, count on to the next new one.

    Args:
        draw: Gives the point of an attempt, as digits.
        sizes: How many values each parameter has.
        seen: Whether a point has been seen.
        n_seen: How many points have been seen: with all of them, the first draw is given.
        attempts: How many draws before counting; at least 1.
    """
    first = draw(0)
    if n_seen >= prod(sizes):
        return first
    point = first
    for attempt in range(attempts):
        point = draw(attempt) if attempt else first
        if not seen(point):
            return point
    return next((p for p in neighbours(point, sizes) if not seen(p)), first)
