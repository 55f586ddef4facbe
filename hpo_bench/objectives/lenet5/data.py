"""Images as uint8 arrays in memory: where they come from, and how they are split.

NumPy only: torchvision is imported where CIFAR-10 is read, Pillow where image files are.
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hpo_bench.errors import HpoBenchError, InputError, needing
from hpo_bench.objectives.lenet5 import imagefolder, shapes
from hpo_bench.objectives.lenet5.cache import Arrays, locked, say, shared
from hpo_bench.objectives.lenet5.private import data_directory

Source = Literal["cifar10", "imagefolder", "shapes"]
SOURCES: tuple[Source, ...] = ("cifar10", "imagefolder", "shapes")


@dataclass(frozen=True)
class Images:
    """Some images of a source that is in memory once, whoever uses which of them.

    Attributes:
        source: Pixels of all images of the source, (all, 32, 32, 3) uint8.
        source_labels: Their labels, (all,) int64, counted from 0.
        rows: Which of them these images are, (n,).
    """

    source: npt.NDArray[np.uint8]
    source_labels: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]

    @classmethod
    def all_of(cls, pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> Images:
        """Give all images of a source."""
        return cls(pixels, labels, np.arange(len(labels)))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """A copy of the pixels, (n, 32, 32, 3)."""
        return self.source[self.rows]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """A copy of the labels, (n,)."""
        return self.source_labels[self.rows]

    def take(self, indices: npt.NDArray[np.int64]) -> Images:
        """Give the images at `indices`, in that order."""
        return Images(self.source, self.source_labels, self.rows[indices])


@dataclass(frozen=True)
class Request:
    """Which images to load, and how to split them."""

    source: Source
    directory: Path | None
    """Of `cifar10`: where it is or will be downloaded to; of `imagefolder`: train/ and test/."""
    train_size: int | None
    """Images to train on; None: all that are not validation images (`shapes`: 10,000)."""
    validation_size: int
    test_size: int | None
    """None: all test images (`shapes`: 2,000)."""
    split_seed: int
    splits: int = 1
    """How many sets of validation images there are; no two of them share an image."""
    split: int = 0
    """Which of them these are, from 0."""


@dataclass(frozen=True)
class Data:
    """What a network is trained, validated and tested on."""

    train: Images
    validation: Images
    test: Images
    classes: tuple[str, ...]
    sha256: str
    """Of all pixels and labels of the source, before they were split."""


def load(request: Request) -> Data:
    """Load the images of a request, once per process for the same request.

    Validation images are drawn from the training images by `split_seed`. With several splits, each
    has validation images of its own, as the folds of a cross-validation have. Of images that are
    read, a smaller `train_size` takes a subset of what a larger one takes, and the same validation
    images; `shapes` generates as many as are asked for, and others for other sizes.

    Raises:
        HpoBenchError: The images are not there, broken, or too few; the text says what to do.
    """
    with _loading:
        return _load(request)


_loading = threading.Lock()


@lru_cache(maxsize=8)  # the splits of one source differ in their row numbers only
def _load(request: Request) -> Data:
    whole = _whole(replace(request, splits=1, split=0))
    n_validation = request.validation_size
    if request.splits > 1 and request.splits * n_validation > len(whole.train):
        expected = f"{len(whole.train):,} images cannot hold {n_validation:,} for each of them"
        raise InputError("splits", request.splits, expected)
    order = np.random.default_rng([request.split_seed, 0]).permutation(len(whole.train))
    order = np.roll(order, -request.split * n_validation)
    tested = np.random.default_rng([request.split_seed, 1]).permutation(len(whole.test))
    validation = _head("validation_size", order, n_validation)
    rest = _head("train_size", order[n_validation:], request.train_size)
    return Data(
        train=whole.train.take(rest),
        validation=whole.train.take(validation),
        test=whole.test.take(_head("test_size", tested, request.test_size)),
        classes=whole.classes,
        sha256=whole.sha256,
    )


@dataclass(frozen=True)
class _Whole:
    """All images of a source, before they are split."""

    train: Images
    test: Images
    classes: tuple[str, ...]
    sha256: str


@lru_cache(maxsize=2)
def _whole(request: Request) -> _Whole:
    if request.source == "shapes":
        pixels, tested, classes = _shapes(request)
    elif request.source == "cifar10":
        if request.directory is not None and not request.directory.is_dir():
            expected = "there is no such directory; make it, to download CIFAR-10 there"
            raise InputError("data_dir", str(request.directory), expected)
        pixels, tested, classes = _cifar10(request.directory or data_directory())
    else:
        assert request.directory is not None
        pixels, tested, classes = imagefolder.read(request.directory)
    train, test = Images.all_of(*pixels), Images.all_of(*tested)
    return _Whole(train, test, classes, _digest(train, test))


def _head(field: str, indices: npt.NDArray[np.int64], size: int | None) -> npt.NDArray[np.int64]:
    if len(indices) < (size or 1):
        raise InputError(field, size, f"the data has {len(indices)} images for it")
    return indices[:size]


def _digest(*parts: Images) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(np.ascontiguousarray(part.source).data)
        digest.update(part.source_labels.astype("<i8").tobytes())
    return digest.hexdigest()


def _shapes(request: Request) -> tuple[Any, Any, tuple[str, ...]]:
    n_train = (request.train_size or 10_000) + request.validation_size
    train = shapes.draw(n_train, seed=[request.split_seed, 2])
    test = shapes.draw(request.test_size or 2_000, seed=[request.split_seed, 3])
    return train, test, shapes.CLASSES


def _cifar10(directory: Path) -> tuple[Any, Any, tuple[str, ...]]:
    with needing("lenet5", "data = 'cifar10'"):
        from torchvision.datasets import CIFAR10
    folder = directory / CIFAR10.base_folder
    if not folder.is_dir():
        _cifar10_part(CIFAR10, directory, train=True)

    def read(_: Path) -> Arrays:
        parts = {name: _cifar10_part(CIFAR10, directory, name == "train") for name in _PARTS}
        pixels = {f"{name}_pixels": part.data for name, part in parts.items()}
        labels = {f"{n}_labels": np.array(p.targets, np.int64) for n, p in parts.items()}
        return {**pixels, **labels, "classes": np.array(parts["train"].classes)}

    kept: dict[str, Any] = shared(f"cifar10-{_key(folder)}", read)
    train, test = ((kept[f"{name}_pixels"], kept[f"{name}_labels"]) for name in _PARTS)
    return train, test, tuple(kept["classes"].tolist())


_PARTS = ("train", "test")


def find_cifar10(directory: Path) -> Literal["whole", "archive", "absent", "damaged"]:
    """Look for CIFAR-10 in a directory, by the checksums of its files; downloads nothing.

    Returns:
        `archive` where only what is downloaded is there, still to be unpacked.

    Raises:
        MissingExtraError: torchvision is not installed.
    """
    with needing("lenet5", "data = 'cifar10'"):
        from torchvision.datasets import CIFAR10
        from torchvision.datasets.utils import check_integrity
    archive, folder = directory / CIFAR10.filename, directory / CIFAR10.base_folder
    if folder.is_dir():
        files = CIFAR10.train_list + CIFAR10.test_list
        is_whole = all(check_integrity(folder / name, md5) for name, md5 in files)
        return "whole" if is_whole else "damaged"
    if archive.is_file():
        return "archive" if check_integrity(archive, CIFAR10.tgz_md5) else "damaged"
    return "absent"


def _key(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        status = file.stat()
        digest.update(os.fsencode(f"{file.name}\0{status.st_size}\0{status.st_mtime_ns}\n"))
    return digest.hexdigest()[:16]


def _cifar10_part(dataset: Any, directory: Path, train: bool) -> Any:
    try:
        return dataset(directory, train=train)
    except RuntimeError:  # how torchvision says: not found, or another checksum
        pass
    try:
        with locked(directory):
            say(f"CIFAR-10 goes to {directory} (170 MB, downloaded once)")
            return dataset(directory, train=train, download=True)
    except (OSError, RuntimeError) as error:
        if find_cifar10(directory) == "damaged":
            raise HpoBenchError(
                f"CIFAR-10 in {directory} is damaged: {dataset.base_folder}/ or {dataset.filename} "
                f"has another checksum, and it could not be downloaded again: {error}\n"
                "Delete both, or put a whole one there."
            ) from error
        raise HpoBenchError(
            f"CIFAR-10 is not in {directory} (looked for {dataset.base_folder}/ and "
            f"{dataset.filename}) and could not be downloaded from {dataset.url}: {error}\n"
            f"Place {dataset.filename} there by hand, name the directory that holds it by "
            "data_dir or HPO_BENCH_DATA, or use other images: data = 'imagefolder' for a "
            "directory with train/<class>/* and test/<class>/*, data = 'shapes' for images "
            "generated on the spot."
        ) from error
