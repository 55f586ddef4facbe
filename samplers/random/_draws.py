"""Random draws that are functions of seed, trial and parameter, and arithmetic of finite spaces.

The module does not use Optuna.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from math import prod

import numpy as np


def uniform(seed: int, number: int, name: str, attempt: int = 0) -> float:
    """Return a uniform draw in [0, 1) that is a function of all arguments.

    Equal arguments always give the same draw, so no state is lost with a process.

    Args:
        seed: Any integer.
        number: Number of the trial.
        name: Name of the parameter.
        attempt: Number of the trial's draws that were thrown away before this one.

    Example:
        >>> uniform(1, 2, "x") == uniform(1, 2, "x") != uniform(1, 2, "y")
        True
    """
    # Python's own hash of a text changes from process to process.
    label = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
    # SeedSequence takes no negative numbers.
    source = np.random.SeedSequence([seed % 2**128, number, label, attempt])
    return float(np.random.Generator(np.random.PCG64(source)).random())


def digits_of(index: int, sizes: Sequence[int]) -> list[int]:
    """Return the mixed-radix digits of an index; the last digit varies fastest.

    Args:
        index: A number in [0, product of the sizes).
        sizes: The radix of each digit.

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
    """Yield each point of a finite space once, in counting order from a given point.

    Args:
        digits: The point to begin with.
        sizes: Number of values of each parameter.

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
    """Draw points until one is new; after too many draws, take the next new one by counting.

    Args:
        draw: Returns the point of an attempt (from 0), as digits.
        sizes: Number of values of each parameter.
        seen: Returns whether a point has been seen.
        n_seen: Number of points that have been seen.
        attempts: Number of draws before counting, at least 1.

    Returns:
        The digits of a new point; the first draw if all points have been seen.
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
