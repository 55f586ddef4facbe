"""Images in folders, `train/<class>/*` and `test/<class>/*`, decoded once and cached as arrays."""

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
Files = dict[str, list[tuple[Path, int]]]
"""Of `train` and `test`: every image, with the label of its class."""

SIDE = 32
"""Height and width of every image after reading, in pixels."""

MAX_PIXELS = 50_000_000
"""Of an image before it is made small: 150 MB in memory, whatever the file's size."""

_ENDINGS = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def read(directory: Path) -> tuple[Labelled, Labelled, tuple[str, ...]]:
    """Read all images of a directory, resized to 32x32.

    They are decoded once: the arrays are kept below the data directory under a key of every file's
    name, size and time of change, so an edited directory is decoded anew.

    Args:
        directory: Holds `train/<class>/*` and `test/<class>/*`, the same classes in both.

    Returns:
        Training and test images as pixels (n, 32, 32, 3) and labels (n,), and the classes' names,
        whose order numbers the labels.

    Raises:
        HpoBenchError: A folder is missing or empty, the classes differ, or an image is broken, or
            of grey values that do not fit into 8 bits.
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
    """What a folder holds; what begins with a dot is no class and no image.

    `.ipynb_checkpoints` is Jupyter's, and `._cat.png` is what macOS lays beside `cat.png`.
    """
    return [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]


def _is_image(entry: os.DirEntry[str]) -> bool:
    return Path(entry.name).suffix.lower() in _ENDINGS


def _left_out(directory: Path, classes: list[str]) -> Iterator[str]:
    """Tell what looks as if it was meant, and is not read."""
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
    digest = hashlib.sha256(f"1 {SIDE}".encode())  # counted up when the decoding changes
    for file in (file for part in files.values() for file, _ in part):
        status = file.stat()
        name = file.relative_to(directory).as_posix()
        digest.update(os.fsencode(f"\n{name}\0{status.st_size}\0{status.st_mtime_ns}"))
    return digest.hexdigest()[:16]


def _decode_all(files: Files) -> Arrays:
    # Not in threads: most of the time is spent in Python, which runs one at a time.
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
            if math.prod(image.size) > MAX_PIXELS:  # known before they are unpacked
                raise ValueError(f"it has more than {MAX_PIXELS:,} pixels")
            if image.mode == "F" or image.mode.startswith("I"):
                # Pillow would cut every value above 255 down to it.
                raise ValueError("its grey values have more than 8 bits; expected 8")
            colour = image.convert("RGB")
            if colour.size != (SIDE, SIDE):
                colour = colour.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
            return np.asarray(colour)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise HpoBenchError(f"{file} cannot be read as an image: {error}") from error
