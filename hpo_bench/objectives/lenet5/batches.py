"""An epoch cut into batches, and what augmentation does to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from hpo_bench.objectives.lenet5.data import Images

CROP = 4
"""Most pixels by which random cropping moves an image; its border is repeated outwards."""


@dataclass(frozen=True)
class Plan:
    """One epoch: what is in its batches, and what augmentation does to each image."""

    order: Tensor
    """Places in the images' source, (batches, size)."""
    n_flipped: Tensor
    """How many of a batch are flipped, if any are: the last ones; (batches,)."""
    moves: Tensor
    """How far images are moved, down and right, plus `CROP`; (batches, 2, size)."""


def planned(images: Images, size: int, augmentation: str, generator: torch.Generator) -> Plan:
    """Draw an epoch; see `batches`."""
    n = len(images) // size * size
    order = torch.randperm(len(images), generator=generator)[:n].view(-1, size)
    order = torch.from_numpy(images.rows)[order]
    flipped = torch.rand(len(images), generator=generator)[:n].view(-1, size) < 0.5
    moves = torch.randint(2 * CROP + 1, (2, len(images)), generator=generator)
    moves = moves[:, :n].view(2, -1, size)
    if augmentation != "none":
        # Those to be flipped stand last in their batch, so that they are one slice of it.
        order = order.gather(1, flipped.to(torch.uint8).argsort(dim=1, stable=True))
    return Plan(order, flipped.sum(1), moves.movedim(0, 1))


def batches(
    images: Images, size: int, augmentation: str, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Cut one epoch into batches of exactly `size` images; those left over sit this epoch out.

    Args:
        images: To be cut.
        size: Of a batch.
        augmentation: "none"; "flip", each image left to right with probability 1/2; or
            "flip+crop", moved by up to `CROP` pixels as well.
        generator: Of the order and of the augmentation.

    Yields:
        Pixels (size, 32, 32, 3) uint8 and labels (size,).
    """
    pixels, labels = torch.from_numpy(images.source), torch.from_numpy(images.source_labels)
    plan = planned(images, size, augmentation, generator)
    for index, n_flipped, move in zip(plan.order, plan.n_flipped.tolist(), plan.moves, strict=True):
        batch = pixels[index]
        if augmentation == "flip+crop":
            batch = cropped(batch, *move)
        if augmentation != "none" and n_flipped:
            batch[-n_flipped:] = batch[-n_flipped:].flip(2)
        yield batch, labels[index]


def in_order(images: Images, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Cut images into batches of `size` or less, all of them, as they are."""
    pixels, labels = torch.from_numpy(images.source), torch.from_numpy(images.source_labels)
    for index in torch.split(torch.from_numpy(images.rows), size):
        yield pixels[index], labels[index]


def normalised(batch: Tensor) -> Tensor:
    """Turn pixels (n, 32, 32, 3) into images (n, 3, 32, 32) around 0, in channels_last memory."""
    # The spread of natural images is about a quarter of the range; the permuted axes make it
    # channels_last memory without a copy.
    return batch.permute(0, 3, 1, 2).float().sub_(127.5).div_(64.0)


def cropped(batch: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Move each image of (n, 32, 32, 3), by 0 to 2 `CROP` pixels less `CROP`."""
    side = batch.shape[1]
    axis = torch.arange(side, device=batch.device) - CROP
    rows, columns = ((axis + move[:, None]).clamp(0, side - 1) for move in (down, right))
    image = torch.arange(len(batch), device=batch.device)[:, None, None]
    return batch[image, rows[:, :, None], columns[:, None, :]]
