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
    flipped: Tensor
    """Which images are flipped left to right, (batches, size)."""
    moves: Tensor | None
    """How far images are moved, down and right, plus `CROP`; (batches, 2, size). None: not."""


def planned(images: Images, size: int, augmentation: str, generator: torch.Generator) -> Plan:
    """Draw an epoch of batches of exactly `size` images; those left over sit this epoch out.

    Args:
        images: To be cut.
        size: Of a batch.
        augmentation: "none"; "flip", each image left to right with probability 1/2; or
            "flip+crop", moved by up to `CROP` pixels as well.
        generator: Of the order and of the augmentation.
    """
    n = len(images) // size * size
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
    """Cut and augment the images of an epoch.

    Yields:
        Pixels (size, 32, 32, 3) uint8 and labels (size,).
    """
    pixels, labels = torch.from_numpy(images.source), torch.from_numpy(images.source_labels)
    for i, index in enumerate(plan.order):
        batch = pixels[index]
        if plan.moves is not None:
            batch = cropped(batch, *plan.moves[i])
        yield flipped(batch, plan.flipped[i]), labels[index]


def normalised(batch: Tensor) -> Tensor:
    """Turn pixels (n, 32, 32, 3) into images (n, 3, 32, 32) around 0, in channels_last memory."""
    # The spread of natural images is about a quarter of the range; the permuted axes make it
    # channels_last memory without a copy.
    return batch.permute(0, 3, 1, 2).float().sub_(127.5).div_(64.0)


def flipped(batch: Tensor, which: Tensor) -> Tensor:
    """Flip those images of (n, 32, 32, 3) left to right that `which`, (n,), names."""
    return torch.where(which[:, None, None, None], batch.flip(2), batch)


def cropped(batch: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Move each image of (n, 32, 32, 3), by 0 to 2 `CROP` pixels less `CROP`."""
    side = batch.shape[1]
    axis = torch.arange(side, device=batch.device) - CROP
    rows, columns = ((axis + move[:, None]).clamp(0, side - 1) for move in (down, right))
    image = torch.arange(len(batch), device=batch.device)[:, None, None]
    return batch[image, rows[:, :, None], columns[:, None, :]]
