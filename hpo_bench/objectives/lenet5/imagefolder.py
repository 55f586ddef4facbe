"""Read images from folders `train/<class>/*` and `test/<class>/*`, and cache them as arrays."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track

from hpo_bench.errors import HpoBenchError, needing
from hpo_bench.objectives.lenet5.cache import Arrays, say, shared
from hpo_bench.terminal import PlainConsole

Labelled = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]
"""Pixels, shape (n, 32, 32, 3), RGB, and labels, shape (n,), from 0."""
Files = dict[str, list[tuple[Path, int]]]
"""`train` or `test` -> its image files, each with the label of its class."""

SIDE = 32
"""Height and width of every image after reading, in pixels."""

MAX_PIXELS = 50_000_000
"""Most pixels of an image file: they take 150 MB of memory, however small the file is."""

_ENDINGS = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def read(directory: Path) -> tuple[Labelled, Labelled, tuple[str, ...]]:
    """Read all images of a directory, and resize them to 32x32 pixels.

    The images are decoded once. The cache has a key made of the name, size and time of change of
    every file, so images of a changed directory are decoded again.

    Args:
        directory: A directory that holds `train/<class>/*` and `test/<class>/*`, with the same
            classes in both.

    Returns:
        Training images and test images, each as pixels of shape (n, 32, 32, 3) and labels of shape
        (n,), and the names of the classes; a label is an index of them.

    Raises:
        HpoBenchError: A folder is missing or has no images, the classes differ, or an image is
            damaged, has more than 50 million pixels, or has grey values of more than 8 bits.
        MissingExtraError: Pillow is not installed.
    """
    try:
        classes = _classes(directory)
        files = {part: _files(directory / part, classes) for part in ("train", "test")}
        name = f"imagefolder-{_key(directory, files)}"
    except OSError as error:
        raise HpoBenchError(f"{error.filename} cannot be read: {error.strerror}") from error

    def decode(path: Path) -> Arrays:
        n_images = sum(len(part) for part in files.values())
        say(f"decoding {n_images:,} images of {directory}, kept in {path}")
        for told in _left_out(directory, classes):
            say(told)
        return _decode_all(files)

    arrays: dict[str, Any] = shared(name, decode)
    train, test = ((arrays[f"{part}_pixels"], arrays[f"{part}_labels"]) for part in files)
    return train, test, tuple(classes)


def _classes(directory: Path) -> list[str]:
    """Return the sorted names of the classes; raise unless train and test have the same ones."""
    found = {}
    for part in ("train", "test"):
        folder = directory / part
        if not folder.is_dir():
            raise HpoBenchError(
                f"{folder} is not a directory; data = 'imagefolder' needs data_dir to hold "
                "train/<class>/* and test/<class>/*"
            )
        found[part] = {entry.name for entry in _shown(folder) if entry.is_dir()}
    if found["train"] != found["test"]:
        only = ", ".join(sorted(found["train"] ^ found["test"]))
        raise HpoBenchError(
            f"{directory}: train and test must hold the same classes; only one of them has {only}"
        )
    if len(found["train"]) < 2:
        raise HpoBenchError(f"{directory / 'train'}: expected two classes (folders) or more")
    return sorted(found["train"])


def _files(folder: Path, classes: list[str]) -> list[tuple[Path, int]]:
    """Return the image files of `train` or `test`, sorted by class and name, with their labels."""
    files = []
    for label, name in enumerate(classes):
        entries = sorted(_shown(folder / name), key=lambda entry: entry.name)
        images = [Path(entry.path) for entry in entries if _is_image(entry)]
        if not images:
            endings = ", ".join(sorted(_ENDINGS))
            raise HpoBenchError(f"{folder / name} holds no images (files ending in {endings})")
        files += [(image, label) for image in images]
    return files


def _shown(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder without hidden ones, which are no classes and no images."""
    # Jupyter makes folders `.ipynb_checkpoints`; macOS writes `._cat.png` beside `cat.png`.
    return [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]


def _is_image(entry: os.DirEntry[str]) -> bool:
    return Path(entry.name).suffix.lower() in _ENDINGS


def _left_out(directory: Path, classes: list[str]) -> Iterator[str]:
    """Yield a message for each folder that seems to hold images but is not read."""
    for part in ("train", "test"):
        hidden = [e.name for e in os.scandir(directory / part) if e.name[0] == "." and e.is_dir()]
        if hidden:
            yield f"{directory / part}: {', '.join(sorted(hidden))} left out, as hidden folders are"
        for name in classes:
            folders = (entry for entry in _shown(directory / part / name) if entry.is_dir())
            below = [f.name for f in folders if any(map(_is_image, _shown(Path(f.path))))]
            if below:
                told = ", ".join(sorted(below))
                yield f"{directory / part / name}: the images in its folders {told} are left out"


def _key(directory: Path, files: Files) -> str:
    """Return a key of all files, by their names, sizes and times of change."""
    digest = hashlib.sha256(f"1 {SIDE}".encode())  # increase the 1 if the decoding changes
    for file in (file for part in files.values() for file, _ in part):
        status = file.stat()
        name = file.relative_to(directory).as_posix()
        digest.update(os.fsencode(f"\n{name}\0{status.st_size}\0{status.st_mtime_ns}"))
    return digest.hexdigest()[:16]


def _decode_all(files: Files) -> Arrays:
    # Threads would not help: most of the time is spent in Python, which runs one thread at a time.
    arrays: Arrays = {}
    console = PlainConsole(stderr=True)
    for name, part in files.items():
        pixels = np.empty((len(part), SIDE, SIDE, 3), dtype=np.uint8)
        shown = track(part, description=name, console=console, disable=not console.is_terminal)
        for index, (file, _) in enumerate(shown):
            pixels[index] = _decode(file)
        arrays[f"{name}_pixels"] = pixels
        arrays[f"{name}_labels"] = np.array([label for _, label in part], dtype=np.int64)
    return arrays


def _decode(file: Path) -> npt.NDArray[np.uint8]:
    with needing("lenet5", "data = 'imagefolder'"):
        from PIL import Image
    try:
        with Image.open(file) as image:
            if math.prod(image.size) > MAX_PIXELS:  # known from the header, before decoding
                raise ValueError(f"it has more than {MAX_PIXELS:,} pixels")
            if image.mode == "F" or image.mode.startswith("I"):
                # Pillow would clip these values at 255: most of such an image would become white.
                raise ValueError("its grey values have more than 8 bits; expected 8")
            colour = image.convert("RGB")
            if colour.size != (SIDE, SIDE):
                colour = colour.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
            return np.asarray(colour)
    # Pillow raises a SyntaxError for a damaged PNG file.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise HpoBenchError(f"{file} cannot be read as an image: {error}") from error
