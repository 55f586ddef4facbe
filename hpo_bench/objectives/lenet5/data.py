"""Load images as uint8 arrays, and split them into training, validation and test images.

The module needs only NumPy. It imports torchvision to read CIFAR-10, and Pillow to read image
files.
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
    """A selection of the images of a source; all selections share the source's arrays.

    Attributes:
        source: Pixels of all images of the source, shape (all, 32, 32, 3), uint8, RGB.
        source_labels: Labels of all images of the source, shape (all,), int64, from 0.
        rows: Indices of the selected images in the source, shape (n,), int64.
    """

    source: npt.NDArray[np.uint8]
    source_labels: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]

    @classmethod
    def all_of(cls, pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> Images:
        """Select all images of a source."""
        return cls(pixels, labels, np.arange(len(labels)))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """A copy of the selected pixels, shape (n, 32, 32, 3), uint8."""
        return self.source[self.rows]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """A copy of the selected labels, shape (n,), int64."""
        return self.source_labels[self.rows]

    def take(self, indices: npt.NDArray[np.int64]) -> Images:
        """Select the images at `indices` of this selection, in this order."""
        return Images(self.source, self.source_labels, self.rows[indices])


@dataclass(frozen=True)
class Request:
    """The images to load, and the way to split them."""

    source: Source
    """Kind of images."""
    directory: Path | None
    """`cifar10`: directory of the data or for the download, None: the default data directory.
    `imagefolder`: directory that holds train/ and test/. `shapes`: not used."""
    train_size: int | None
    """Number of training images, 1 or more; None: all but the validation images (`shapes`: 10,000).
    """
    validation_size: int
    """Number of validation images, 1 or more."""
    test_size: int | None
    """Number of test images, 1 or more; None: all test images (`shapes`: 2,000)."""
    split_seed: int
    """Seed that draws the validation images, and generates `shapes`; 0 or more."""
    splits: int = 1
    """Number of disjoint sets of validation images, 1 or more."""
    split: int = 0
    """Index of the set to use, from 0 to `splits` - 1."""


@dataclass(frozen=True)
class Data:
    """The images on which a network is trained, validated and tested."""

    train: Images
    """Training images."""
    validation: Images
    """Validation images, which no training uses."""
    test: Images
    """Test images."""
    classes: tuple[str, ...]
    """Names of the classes; a label is an index of it."""
    sha256: str
    """SHA-256 of all pixels and labels of the source before the split, in hexadecimal."""


def load(request: Request) -> Data:
    """Load the images of a request, once per process for equal requests.

    `split_seed` draws the validation images from the training images. Each of several splits has
    its own validation images, like the folds of a cross-validation. For images that are read, a
    smaller `train_size` selects a subset of a larger one, with the same validation images. `shapes`
    generates other images for each size.

    Raises:
        HpoBenchError: The images do not exist, are damaged, or are too few; the text says what to
            do.
    """
    with _loading:
        return _load(request)


# lru_cache alone would let two threads load the same images at the same time.
_loading = threading.Lock()


@lru_cache(maxsize=8)  # the splits of one source share its arrays, and differ only in their rows
def _load(request: Request) -> Data:
    # Without the split, so that all splits find the same source in the cache of `_whole`.
    whole = _whole(replace(request, splits=1, split=0))
    n_validation = request.validation_size
    if request.splits > 1 and request.splits * n_validation > len(whole.train):
        expected = f"{len(whole.train):,} images cannot hold {n_validation:,} for each of them"
        raise InputError("splits", request.splits, expected)
    # Each purpose has its own random stream: 0 validation, 1 test, 2 and 3 generated images.
    order = np.random.default_rng([request.split_seed, 0]).permutation(len(whole.train))
    # Split k takes the k-th segment of one order, so that no two splits share a validation image.
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
    """All images of a source, before the split."""

    train: Images
    """All images of the training part."""
    test: Images
    """All images of the test part."""
    classes: tuple[str, ...]
    """Names of the classes."""
    sha256: str
    """SHA-256 of all pixels and labels, in hexadecimal."""


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
    """Return the first `size` indices (None: all); raise InputError if there are fewer."""
    if len(indices) < (size or 1):
        raise InputError(field, size, f"the data has {len(indices)} images for it")
    return indices[:size]


def _digest(*parts: Images) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(np.ascontiguousarray(part.source).data)
        # Little-endian on every machine, so that the digest is the same everywhere.
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
    """Look for CIFAR-10 in a directory, by the checksums of its files, without a download.

    Returns:
        `whole`: the unpacked files; `archive`: only the downloaded archive; `absent`: neither;
        `damaged`: a file with another checksum.

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
    """Return a key of a folder's files, by their names, sizes and times of change."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        status = file.stat()
        digest.update(os.fsencode(f"{file.name}\0{status.st_size}\0{status.st_mtime_ns}\n"))
    return digest.hexdigest()[:16]


def _cifar10_part(dataset: Any, directory: Path, train: bool) -> Any:
    try:
        return dataset(directory, train=train)
    except RuntimeError:  # torchvision raises it if a file is missing or has another checksum
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
