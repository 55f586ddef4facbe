"""Cut an epoch into batches, and augment the images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from hpo_bench.objectives.lenet5.data import Images

CROP = 4
"""Most pixels by which random cropping moves an image; the border pixels fill the gap."""


@dataclass(frozen=True)
class Plan:
    """The random draws of one epoch: the images of each batch, and their augmentation."""

    order: Tensor
    """Indices of the images in their source, shape (batches, size), int64."""
    flipped: Tensor
    """Whether each image is flipped left to right, shape (batches, size), bool."""
    moves: Tensor | None
    """Pixels by which the window of each crop is moved down and right, plus `CROP`: 0 to 2 `CROP`,
    shape (batches, 2, size), int64. None: images are not cropped."""


def planned(images: Images, size: int, augmentation: str, generator: torch.Generator) -> Plan:
    """Draw the batches of an epoch; each has exactly `size` images, and the rest are left out.

    Args:
        images: The training images.
        size: Images of a batch, 1 to the number of images.
        augmentation: "none"; "flip", which flips each image left to right with probability 1/2; or
            "flip+crop", which also moves each image by up to `CROP` pixels.
        generator: The random generator of the order and of the augmentation.
    """
    n = len(images) // size * size
    # Every configuration takes the same draws from the generator, whatever its batch size and its
    # augmentation.
    order = torch.randperm(len(images), generator=generator)[:n].view(-1, size)
    flipped = torch.rand(len(images), generator=generator)[:n].view(-1, size) < 0.5
    moves = torch.randint(2 * CROP + 1, (2, len(images)), generator=generator)
    moves = moves[:, :n].view(2, -1, size).movedim(0, 1).contiguous()
    return Plan(
        order=torch.from_numpy(images.rows)[order],
        flipped=flipped if augmentation != "none" else torch.zeros_like(flipped),
        moves=moves if augmentation == "flip+crop" else None,
    )


def batches(images: Images, plan: Plan) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the augmented batches of an epoch.

    Args:
        images: The training images.
        plan: The draws of the epoch.

    Yields:
        Pixels of shape (size, 32, 32, 3), uint8, and labels of shape (size,), int64.
    """
    pixels, labels = torch.from_numpy(images.source), torch.from_numpy(images.source_labels)
    for i, index in enumerate(plan.order):
        batch = pixels[index]
        if plan.moves is not None:
            batch = cropped(batch, *plan.moves[i])
        yield flipped(batch, plan.flipped[i]), labels[index]


def normalised(batch: Tensor) -> Tensor:
    """Convert pixels of shape (n, 32, 32, 3) to (n, 3, 32, 32), with values from -2 to 2."""
    # The standard deviation of natural images is about a quarter of the range, 64 of 255. The
    # permutation of axes gives torch's channels_last memory without a copy.
    return batch.permute(0, 3, 1, 2).float().sub_(127.5).div_(64.0)


def flipped(batch: Tensor, which: Tensor) -> Tensor:
    """Flip images left to right.

    Args:
        batch: Images, shape (n, 32, 32, 3).
        which: Whether to flip each image, shape (n,), bool.
    """
    return torch.where(which[:, None, None, None], batch.flip(2), batch)


def cropped(batch: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Crop images by moved windows, and repeat the border pixels outside of an image.

    Args:
        batch: Images, shape (n, 32, 32, 3).
        down: Pixels by which each window is moved down, plus `CROP`: 0 to 2 `CROP`, shape (n,).
        right: Pixels by which each window is moved right, likewise.
    """
    side = batch.shape[1]
    axis = torch.arange(side, device=batch.device) - CROP
    rows, columns = ((axis + move[:, None]).clamp(0, side - 1) for move in (down, right))
    image = torch.arange(len(batch), device=batch.device)[:, None, None]
    return batch[image, rows[:, :, None], columns[:, None, :]]
