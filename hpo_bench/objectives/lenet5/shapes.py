"""Generate images of ten classes: shapes in random colours, shifted, tilted, cluttered and noisy.

They replace CIFAR-10 without a download. They have its size and number of classes, and are so hard
that wider networks are better. The module needs only NumPy.

The constants below set the difficulty. They were chosen so that, after three epochs on 2,000 images
in batches of 32, the classic LeNet5 is better than chance but not at its best, and configurations
differ by more than seeds do. With a C5 of fewer than about 48 units, the result still depends on
luck at this point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def _square(u: Floats, v: Floats) -> Floats:
    return np.maximum(abs(u), abs(v))


def _plus(u: Floats, v: Floats) -> Mask:
    return (np.minimum(abs(u), abs(v)) < 0.3) & (_square(u, v) < 1.0)


def _turned(shape: Callable[[Floats, Floats], Mask]) -> Callable[[Floats, Floats], Mask]:
    half = np.float32(0.5**0.5)
    return lambda u, v: shape((u + v) * half, (v - u) * half)


# Each function tells whether points are inside of a shape, by coordinates in units of its radius.
# Each shape is its own mirror image, so that a flip does not change the class.
_SHAPES: dict[str, Callable[[Floats, Floats], Mask]] = {
    "disc": lambda u, v: np.hypot(u, v) < 0.9,
    "ring": lambda u, v: abs(np.hypot(u, v) - 0.75) < 0.25,
    "square": lambda u, v: _square(u, v) < 0.8,
    "frame": lambda u, v: abs(_square(u, v) - 0.7) < 0.2,
    "diamond": _turned(lambda u, v: _square(u, v) < 0.8),
    "triangle": lambda u, v: (v < 0.8) & (2 * abs(u) - v < 0.9),
    "plus": _plus,
    "saltire": _turned(_plus),
    "bars": lambda u, v: (_square(u, v) < 0.9) & (abs(abs(u) - 0.6) < 0.3),
    "beams": lambda u, v: (_square(u, v) < 0.9) & (abs(abs(v) - 0.6) < 0.3),
}
CLASSES = tuple(_SHAPES)

_SIDE = 32
_RADIUS = (7.0, 12.0)  # pixels: a shape's radius is uniform between the two
_SHIFT = 3.0  # most pixels between the centres of shape and image, along each axis
_TILT = 0.2  # most radians by which a shape is turned, to either side
_SHADE = 0.12  # standard deviation of the brightness of the background's 8x8 tiles; white is 1
_SPOTS = 3  # small discs that clutter the background of an image
_NOISE = 0.25  # standard deviation of each pixel's noise; white is 1
# Share of the shapes that are darker than their background. Without such a cue, that most shapes
# are lighter, narrow networks stayed at chance for an epoch or two.
_INVERTED = 0.05
_CHUNK = 1000  # images that are drawn at once, in tens of megabytes


def draw(
    n_images: int, seed: int | Sequence[int]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Draw images in random order, with equally many (up to one) of each class.

    Args:
        n_images: Number of images, 1 or more.
        seed: Seed of all draws: an integer, or several, of 0 or more.

    Returns:
        Pixels of shape (n, 32, 32, 3), and labels of shape (n,), which are indices of `CLASSES`.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n_images, dtype=np.int64) % len(CLASSES))
    chunks = [_draw(labels[i : i + _CHUNK], rng) for i in range(0, n_images, _CHUNK)]
    return np.concatenate(chunks), labels


def _draw(labels: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    n = len(labels)
    dark, light = _colours(n, rng, low=0.0, high=0.6), _colours(n, rng, low=0.4, high=1.0)
    inverted = rng.random((n, 1, 1, 1)) < _INVERTED
    image = _background(np.where(inverted, light, dark), rng)
    u, v = _pose(n, rng, radius=_RADIUS, shift=_SHIFT, tilt=_TILT)
    inside = np.zeros(u.shape, dtype=np.bool_)
    for label, shape in enumerate(_SHAPES.values()):
        own = labels == label
        inside[own] = shape(u[own], v[own])
    image = np.where(inside[..., None], np.where(inverted, dark, light), image)
    image += _NOISE * rng.standard_normal(image.shape, dtype=np.float32)
    return (np.clip(image, 0.0, 1.0) * 255).astype(np.uint8)


def _background(colours: Floats, rng: np.random.Generator) -> Floats:
    n = len(colours)
    tile = _SIDE // 4
    shades = _SHADE * rng.standard_normal((n, 4, 4, 3), dtype=np.float32)
    image = colours + shades.repeat(tile, axis=1).repeat(tile, axis=2)
    for _ in range(_SPOTS):
        u, v = _pose(n, rng, radius=(2.0, 4.0), shift=14.0, tilt=0.0)
        spot = (np.hypot(u, v) < 1.0)[..., None]
        image = np.where(spot, _colours(n, rng, low=0.0, high=1.0), image)
    return image


def _colours(n: int, rng: np.random.Generator, low: float, high: float) -> Floats:
    return rng.uniform(low, high, (n, 1, 1, 3)).astype(np.float32)


def _pose(
    n: int, rng: np.random.Generator, radius: tuple[float, float], shift: float, tilt: float
) -> tuple[Floats, Floats]:
    """Draw the positions of n shapes, and transform the pixels' coordinates accordingly.

    Args:
        n: Number of shapes, one per image.
        rng: The random generator.
        radius: Smallest and largest radius of a shape in pixels.
        shift: Most pixels between the centres of shape and image, along each axis.
        tilt: Most radians by which a shape is turned.

    Returns:
        Horizontal and vertical coordinates of all pixels, each of shape (n, 32, 32), relative to
        the shape and in units of its radius.
    """
    axis = np.arange(_SIDE, dtype=np.float32) - (_SIDE - 1) / 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    angle, size, right, down = (
        rng.uniform(low, high, (n, 1, 1)).astype(np.float32)
        for low, high in ((-tilt, tilt), radius, (-shift, shift), (-shift, shift))
    )
    x, y = (x - right) / size, (y - down) / size
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
