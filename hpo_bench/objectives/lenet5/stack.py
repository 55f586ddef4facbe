"""Many networks trained as one computation, for devices that start work slowly and do it fast.

A step of one small network is microseconds of arithmetic behind a hundred launches. Here the
networks of a stack share every launch, and their weights and the images stay on the device: what
is copied to the host is asked for by a checkpoint or a measurement. Each network comes out as if it
had trained alone, up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpo_bench.objectives.lenet5.batches import Plan
from hpo_bench.objectives.lenet5.data import Images
from hpo_bench.objectives.lenet5.model import MAP, Layers, Network, Precision
from hpo_bench.objectives.lenet5.stack_step import (
    STATES,
    Pictures,
    Shape,
    Step,
    logits,
    normalised,
)
from hpo_bench.objectives.lenet5.stacking import LARGEST, WIDTHS, padded, patches
from hpo_bench.spaces import Configuration

EVALUATION_BATCH = 1000


@dataclass(frozen=True)
class Member:
    """One network of a stack."""

    configuration: Configuration
    network: Network
    tensors: dict[str, Tensor]
    """`weights`, `average`, and the optimizer's state: vectors, on the host."""


class Stack:
    """Networks whose tensors are on the device for as long as they are trained together.

    What is captured and allocated for them lives as long.

    Args:
        members: Its networks, in rows from 0; those of one activation should stand together.
        precision: Of all layers; weights and sums keep 32 bits.
        device: Where they are trained.
    """

    def __init__(
        self, members: Sequence[Member], precision: Precision, device: torch.device
    ) -> None:
        self.members = list(members)
        self.held = set(range(len(self.members)))
        """Rows whose tensors here are newer than those of the members."""
        configurations = [member.configuration for member in self.members]
        widths = {name: padded(max(int(c[name]) for c in configurations)) for name in WIDTHS}
        runs = groupby(str(c["activation"]) for c in configurations)
        self._shape = Shape(
            Network(widths, self.members[0].network.n_classes),
            [(name, len(list(run))) for name, run in runs],
            torch.bfloat16 if precision == "bf16" else torch.float32,
            device,
        )
        self._at_once = _images_at_once(widths["c1"], len(self.members))
        self._state = {name: self._matrix(name).to(device) for name in STATES}
        self._step: Step | None = None
        self._measured: dict[int, tuple[Images, list[float]]] = {}

    def train(
        self,
        images: Images,
        plan: Plan,
        dropout_seed: int,
        steps: Sequence[int],
    ) -> None:
        """Train every network one epoch further.

        Args:
            images: The same in every call.
            plan: Of the epoch, in batches of one image, moved and flipped.
            dropout_seed: 64 bits.
            steps: How many steps each row has made before.
        """
        self._measured.clear()
        with pinned(self._shape.device):
            if self._step is None:
                pictures = _resident(images, self._shape.device)
                configurations = [member.configuration for member in self.members]
                self._step = Step(self._shape, configurations, self._state, pictures, len(images))
            self._step.run(plan, dropout_seed, steps)

    @torch.inference_mode()
    def accuracies(self, images: Images) -> list[float]:
        """Measure the averaged weights of every row, once: the share of images it gets right."""
        if id(images) not in self._measured:
            self._measured[id(images)] = (images, self._accuracies(images))
        return self._measured[id(images)][1]

    def release(self, row: int) -> None:
        """Give a member its tensors back: what the row becomes from now on is nobody's."""
        if row in self.held:
            self.fetch(row)
            self.held.remove(row)

    def fetch(self, row: int, names: Sequence[str] = STATES) -> None:
        """Copy tensors of a row to its member, if they are newer here."""
        if row not in self.held:
            return
        member = self.members[row]
        for name in member.tensors.keys() & set(names):
            large = _blocks(self._shape.large, self._state[name][row].cpu())
            for layer, block in _blocks(member.network, member.tensors[name]).items():
                block.copy_(large[layer][tuple(map(slice, block.shape))])

    def _matrix(self, name: str) -> Tensor:
        """Put a vector of every member into a row each, padded with zeros."""
        # Rows begin at multiples of sixteen bytes, as products in bfloat16 want it.
        matrix = torch.zeros(len(self.members), padded(self._shape.large.size))
        for member, row in zip(self.members, matrix, strict=True):
            if name in member.tensors:
                blocks = _blocks(self._shape.large, row)
                for layer, block in _blocks(member.network, member.tensors[name]).items():
                    blocks[layer][tuple(map(slice, block.shape))].copy_(block)
        return matrix

    def _accuracies(self, images: Images) -> list[float]:
        device, dtype = self._shape.device, self._shape.dtype
        layers = self._shape.layers(self._state["average"].to(dtype))
        pixels, labels = _resident(images, device)
        correct = torch.zeros(len(self.members), dtype=torch.int64, device=device)
        rows = torch.from_numpy(images.rows).to(device)
        with pinned(device):
            for part in torch.split(rows, self._at_once):
                batch = normalised(pixels[part], dtype)[None]
                scores = logits(layers, batch, self._shape.activations)
                correct += (scores.argmax(2) == labels[part]).sum(1)
        return [n / len(images) for n in correct.tolist()]


def _images_at_once(c1: int, n_networks: int) -> int:
    """Say how many images are evaluated at a time, so that no tensor is too large."""
    each = float(patches(np.array([c1]))[0])
    return int(min(EVALUATION_BATCH, max(1, LARGEST // (each * n_networks))))


def _blocks(network: Network, vector: Tensor) -> Layers:
    """See a vector as layers whose every axis is one of units: C5 reads places times channels."""
    layers = network.layers(vector[: network.size])
    weight = layers["c5.weight"]
    return layers | {"c5.weight": weight.view(len(weight), MAP * MAP, -1)}


_RESIDENT: dict[tuple[int, torch.device], tuple[Any, Pictures]] = {}


def _resident(images: Images, device: torch.device) -> Pictures:
    """Give pixels and labels of the images' whole source, on the device once."""
    key = (id(images.source), device)
    if key not in _RESIDENT:
        pixels = torch.from_numpy(images.source).to(device)
        labels = torch.from_numpy(images.source_labels).to(device)
        _RESIDENT[key] = (images.source, (pixels, labels))  # kept, so that its id stays its own
    return _RESIDENT[key][1]


@contextmanager
def pinned(device: torch.device) -> Iterator[None]:
    """Let products have all bits that are asked for, whatever the process is set to."""
    matmul: Any = torch.backends.cuda.matmul
    is_new = hasattr(matmul, "fp32_precision")  # since torch 2.9, which refuses a mix of both
    sums = "allow_bf16_reduced_precision_reduction"
    sums_before = getattr(matmul, sums)
    if hasattr(matmul, f"{sums}_split_k"):  # a second setting, which the first one sets as well
        sums_before = (sums_before, getattr(matmul, f"{sums}_split_k"))
    with ExitStack() as settings:
        settings.enter_context(torch.autocast(device.type, enabled=False))
        settings.callback(setattr, matmul, sums, sums_before)
        setattr(matmul, sums, False)
        name, value = ("fp32_precision", "ieee") if is_new else ("allow_tf32", False)
        settings.callback(setattr, matmul, name, getattr(matmul, name))
        setattr(matmul, name, value)
        yield
