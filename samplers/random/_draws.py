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
