"""A shuffle of any number of points that is computed point by point; it does not use Optuna."""

from __future__ import annotations

from hashlib import blake2b


class Permutation:
    """An invertible shuffle of range(size) by a key, computed element by element.

    It is a balanced Feistel network over the next power of four, with cycle walking for results
    outside of the range (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002,
    sections 4 and 5). The walk takes at most four steps on average. A sampler can therefore shuffle
    the points of a space, or sample them without replacement, without a list of them.

    Args:
        size: Number of elements, at least 1.
        key: Any integer; another key gives another order.

    Example:
        >>> shuffle = Permutation(5, key=1)
        >>> sorted(shuffle(i) for i in range(5)), shuffle.inverse(shuffle(3))
        ([0, 1, 2, 3, 4], 3)
    """

    _ROUNDS = 6

    def __init__(self, size: int, key: int) -> None:
        self._size = size
        self._half = max(1, ((size - 1).bit_length() + 1) // 2)
        self._mask = (1 << self._half) - 1
        self._bytes = (self._half + 7) // 8
        self._key = str(key).encode()

    def __call__(self, place: int) -> int:
        """Return the element at a place in [0, size) of the shuffled order."""
        place = self._forward(place)
        while place >= self._size:
            place = self._forward(place)
        return place

    def inverse(self, element: int) -> int:
        """Return the place of an element in [0, size) in the shuffled order."""
        element = self._backward(element)
        while element >= self._size:
            element = self._backward(element)
        return element

    def _forward(self, x: int) -> int:
        left, right = x >> self._half, x & self._mask
        for turn in range(self._ROUNDS):
            left, right = right, left ^ self._noise(turn, right)
        return left << self._half | right

    def _backward(self, x: int) -> int:
        left, right = x >> self._half, x & self._mask
        for turn in reversed(range(self._ROUNDS)):
            left, right = right ^ self._noise(turn, left), left
        return left << self._half | right

    def _noise(self, turn: int, half: int) -> int:
        """Return the pseudo-random bits that a round adds, a function of the key and one half."""
        message = b"%d:%d:" % (turn, half) + self._key
        # blake2b gives at most 64 bytes: enough for spaces of up to 2**1024 points.
        digest = blake2b(message, digest_size=min(self._bytes, 64)).digest()
        return int.from_bytes(digest, "big") & self._mask
