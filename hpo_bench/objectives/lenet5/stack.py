"""Many networks trained as one computation, for devices that start work slowly and do it fast.

A step of one small network is microseconds of arithmetic behind a hundred launches. Here the
networks of a stack share every launch, the images stay on the device, and on CUDA a whole step is
captured once as a graph and replayed: the host is not waited for within an epoch.

Networks are padded with zeros to common widths. Every activation is 0 at 0, so that what is padded
has no gradient and stays 0: no masks are needed, and each network comes out as if it had trained
alone, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hpo_bench.objectives.lenet5.batches import cropped, flipped, normalised
from hpo_bench.objectives.lenet5.data import Images
from hpo_bench.objectives.lenet5.epoch import Epoch
from hpo_bench.objectives.lenet5.model import ACTIVATIONS, MAP, Layers, Network
from hpo_bench.objectives.lenet5.optimizer import EPSILON, SQUARE_DECAY
from hpo_bench.spaces import Configuration

EVALUATION_BATCH = 1000
_WIDEST = 2048
"""Of C5 and F6: dropout draws for as many units, so that no draw depends on the padding."""
_PER_NETWORK = ("learning_rate", "momentum", "weight_decay", "dropout", "label_smoothing")


@dataclass(frozen=True)
class Recipe:
    """What all networks of a stack share: two stacks of one recipe run the same program."""

    size: int
    """Networks in the stack."""
    widths: tuple[int, int, int, int]
    """c1, c3, c5 and f6, padded."""
    n_classes: int
    batch_size: int
    n_batches: int
    """In an epoch."""
    activation: str
    augmentation: str
    optimizer: str
    has_dropout: bool
    precision: str
    device: torch.device


@dataclass(frozen=True)
class Member:
    """One network of a stack; its tensors are changed in place."""

    configuration: Configuration
    network: Network
    tensors: dict[str, Tensor]
    """`weights`, `average`, and the optimizer's state: vectors, on the CPU."""


def padded_widths(configuration: Configuration) -> tuple[int, int, int, int]:
    """Round a network's widths up to powers of two: few recipes, and at most half of it padding."""
    c1, c3, c5, f6 = (
        1 << (int(configuration[name]) - 1).bit_length() for name in ("c1", "c3", "c5", "f6")
    )
    return c1, c3, c5, f6


def train_epoch(
    recipe: Recipe,
    members: Sequence[Member],
    epoch: Epoch,
    *,
    warm_up: int,
    decay: int,
) -> None:
    """Train every member one epoch further.

    Args:
        recipe: Of the stack.
        members: Its networks.
        epoch: Its batches.
        warm_up: Steps over which the learning rate rises.
        decay: Of the averaged weights.
    """
    program = _program(recipe, warm_up, decay)
    with _exact(recipe.device):
        program.load(members, epoch)
        program.run()
        program.store(members)


@torch.inference_mode()
def accuracies(recipe: Recipe, members: Sequence[Member], images: Images) -> list[float]:
    """Measure the averaged weights of every member: the share of images it gets right."""
    large = _large(recipe)
    matrix = _matrix(large, members, "average").to(recipe.device)
    pixels, labels = _resident(images, recipe.device)
    correct = torch.zeros(len(members), dtype=torch.int64, device=recipe.device)
    with _exact(recipe.device), _autocast(recipe):
        for rows in torch.split(torch.from_numpy(images.rows).to(recipe.device), EVALUATION_BATCH):
            scores = logits(large.layers(matrix), normalised(pixels[rows]), recipe.activation)
            correct += (scores.argmax(2) == labels[rows]).sum(1)
    return [n / len(images) for n in correct.tolist()]


def logits(
    layers: Layers, images: Tensor, activation: str, kept: Sequence[Tensor] | None = None
) -> Tensor:
    """Run all networks of a stack on the same images.

    Args:
        layers: Of all: `Network.layers` of a matrix with a row for each.
        images: Normalised, (n, 3, 32, 32), in channels_last memory.
        activation: A key of `ACTIVATIONS`.
        kept: What dropout multiplies C5 and F6 with, (networks, n, units) each; None: nothing.

    Returns:
        Unnormalised log probabilities, (networks, n, classes), in 32 bits.
    """
    size, n = len(layers["c1.bias"]), len(images)
    maps = images
    for layer, groups in (("c1", 1), ("c3", size)):
        weight = layers[f"{layer}.weight"].flatten(0, 1)
        weight = weight.contiguous(memory_format=torch.channels_last)
        maps = functional.conv2d(maps, weight, layers[f"{layer}.bias"].flatten(), groups=groups)
        maps = functional.max_pool2d(ACTIVATIONS[activation](maps), 2)
    hidden = maps.permute(0, 2, 3, 1).reshape(n, MAP * MAP, size, -1)
    hidden = hidden.permute(2, 0, 1, 3).flatten(2)
    for i, layer in enumerate(("c5", "f6")):
        hidden = ACTIVATIONS[activation](_dense(layers, layer, hidden))
        hidden = hidden if kept is None else hidden * kept[i][:, :, : hidden.shape[2]]
    return _dense(layers, "output", hidden).float()


def _dense(layers: Layers, layer: str, inputs: Tensor) -> Tensor:
    return torch.baddbmm(layers[f"{layer}.bias"][:, None], inputs, layers[f"{layer}.weight"].mT)


class _Program:
    """The buffers that a step reads and writes, and the step itself."""

    def __init__(self, recipe: Recipe, warm_up: int, decay: int) -> None:
        self._recipe, self._warm_up, self._decay = recipe, warm_up, decay
        self._large = _large(recipe)
        device, k = recipe.device, recipe.size
        names = ("weights", "average", "momentum", "square")
        self._state = {name: torch.zeros(k, self._large.size, device=device) for name in names}
        self._told = {name: torch.zeros(k, 1, device=device) for name in _PER_NETWORK}
        shape = (recipe.n_batches, recipe.batch_size)
        self._order = torch.zeros(shape, dtype=torch.int64, device=device)
        self._flipped = torch.zeros(shape, dtype=torch.bool, device=device)
        self._moves = torch.zeros(recipe.n_batches, 2, shape[1], dtype=torch.int64, device=device)
        self._batch = torch.zeros(1, dtype=torch.int64, device=device)
        # In 64 bits: 1 - 0.999 is all that the first step's correction is made of.
        self._steps = torch.zeros(1, dtype=torch.float64, device=device)
        self._generator = torch.Generator(device)
        self._images: tuple[Tensor, Tensor] | None = None
        self._replay: Callable[[], None] | None = None

    def load(self, members: Sequence[Member], epoch: Epoch) -> None:
        """Fill the buffers; the first time, or with other images, capture the step."""
        plan = epoch.plan
        resident = _resident(epoch.images, self._recipe.device)
        if self._images is None or self._images[0] is not resident[0]:
            self._images = resident
            self._replay = self._captured()
        for name, matrix in self._state.items():
            if name in members[0].tensors:
                matrix.copy_(_matrix(self._large, members, name))
        for name, column in self._told.items():
            values = [float(member.configuration[name]) for member in members]
            column.copy_(torch.tensor(values)[:, None])
        self._order.copy_(plan.order)
        self._flipped.copy_(plan.flipped)
        if plan.moves is not None:
            self._moves.copy_(plan.moves)
        self._batch.zero_()
        self._steps.fill_(epoch.step)
        self._generator.manual_seed(epoch.dropout_seed)

    def run(self) -> None:
        """Make every step of the epoch."""
        assert self._replay is not None
        for _ in range(self._recipe.n_batches):
            self._replay()

    def store(self, members: Sequence[Member]) -> None:
        """Give the members what they have become."""
        for name, matrix in self._state.items():
            if name not in members[0].tensors:
                continue
            for member, row in zip(members, matrix.cpu(), strict=True):
                large = _blocks(self._large, row)
                for layer, block in _blocks(member.network, member.tensors[name]).items():
                    block.copy_(large[layer][tuple(map(slice, block.shape))])

    def _captured(self) -> Callable[[], None]:
        if self._recipe.device.type != "cuda":
            return self._step
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._generator)
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # what libraries do on first use must not be captured
                self._batch.zero_()
                self._step()
            self._batch.zero_()
        torch.cuda.current_stream().wait_stream(side)
        with torch.cuda.graph(graph):
            self._step()
        return graph.replay

    def _step(self) -> None:
        self._steps += 1
        batch, labels = self._next()
        weights = self._state["weights"].detach().requires_grad_()
        with _autocast(self._recipe):
            scores = logits(
                self._large.layers(weights), batch, self._recipe.activation, self._kept()
            )
        # The networks share no weight: the gradient of the sum is that of each.
        (gradient,) = torch.autograd.grad(self._loss(scores, labels), weights)
        self._update(gradient)
        self._state["average"].lerp_(
            self._state["weights"], ((self._decay + 1) / (self._steps + self._decay)).float()
        )

    def _next(self) -> tuple[Tensor, Tensor]:
        assert self._images is not None
        pixels, labels = self._images
        index = self._order[self._batch][0]
        batch = pixels[index]
        if self._recipe.augmentation == "flip+crop":
            batch = cropped(batch, *self._moves[self._batch][0])
        if self._recipe.augmentation != "none":
            batch = flipped(batch, self._flipped[self._batch][0])
        self._batch += 1
        return normalised(batch), labels[index]

    def _kept(self) -> list[Tensor] | None:
        if not self._recipe.has_dropout:
            return None
        share = self._told["dropout"][:, None]
        shape = (self._recipe.batch_size, _WIDEST)
        draws = [
            torch.rand(shape, generator=self._generator, device=self._recipe.device)
            for _ in range(2)
        ]
        return [(draw >= share) / (1 - share) for draw in draws]

    def _loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        smoothing = self._told["label_smoothing"]
        log_shares = functional.log_softmax(scores, dim=2)
        right = log_shares.gather(2, labels.expand(len(scores), -1)[:, :, None])[:, :, 0]
        losses = (1 - smoothing) * right + smoothing * log_shares.mean(2)
        return -losses.mean(1).sum()

    @torch.no_grad()
    def _update(self, gradient: Tensor) -> None:
        """Do what `optimizer.update` does, of every row with its own settings."""
        state, told, optimizer = self._state, self._told, self._recipe.optimizer
        weights, momentum, beta = state["weights"], state["momentum"], told["momentum"]
        rate = told["learning_rate"] * (self._steps / self._warm_up).clamp(max=1).float()
        if optimizer == "adamw":
            weights.mul_(1 - rate * told["weight_decay"])
        else:
            gradient = gradient + told["weight_decay"] * weights
        if optimizer == "sgd":
            momentum.mul_(beta).add_(gradient)
            weights.sub_(rate * momentum)
            return
        momentum.lerp_(gradient, 1 - beta)
        state["square"].lerp_(gradient.square(), 1 - SQUARE_DECAY)
        total = (1 - SQUARE_DECAY**self._steps).sqrt().float()
        root = (state["square"].sqrt() / total).add_(EPSILON)
        weights.sub_(rate / (1 - beta.double() ** self._steps).float() * momentum / root)


_program = lru_cache(maxsize=16)(_Program)


def _large(recipe: Recipe) -> Network:
    widths = dict(zip(("c1", "c3", "c5", "f6"), recipe.widths, strict=True))
    return Network(widths, recipe.n_classes)


def _matrix(large: Network, members: Sequence[Member], name: str) -> Tensor:
    """Put a vector of every member into a row each, padded with zeros."""
    matrix = torch.zeros(len(members), large.size)
    for member, row in zip(members, matrix, strict=True):
        blocks = _blocks(large, row)
        for layer, block in _blocks(member.network, member.tensors[name]).items():
            blocks[layer][tuple(map(slice, block.shape))].copy_(block)
    return matrix


def _blocks(network: Network, vector: Tensor) -> Layers:
    """See a vector as layers whose every axis is one of units: C5 reads places times channels."""
    layers = network.layers(vector)
    weight = layers["c5.weight"]
    return layers | {"c5.weight": weight.view(len(weight), MAP * MAP, -1)}


_RESIDENT: dict[tuple[int, torch.device], tuple[Any, Tensor, Tensor]] = {}


def _resident(images: Images, device: torch.device) -> tuple[Tensor, Tensor]:
    """Give pixels and labels of the images' whole source, on the device once."""
    key = (id(images.source), device)
    if key not in _RESIDENT:
        arrays = (images.source, images.source_labels)
        pixels, labels = (torch.from_numpy(array).to(device) for array in arrays)
        _RESIDENT[key] = (images.source, pixels, labels)  # kept, so that its id stays its own
    return _RESIDENT[key][1:]


def _autocast(recipe: Recipe) -> torch.autocast:
    return torch.autocast(
        recipe.device.type, torch.bfloat16, enabled=recipe.precision == "bf16", cache_enabled=False
    )


def _exact(device: torch.device) -> AbstractContextManager[Any]:
    """Let convolutions repeat to the bit, in the 32 bits that they are asked for."""
    is_cuda = device.type == "cuda"
    flags: AbstractContextManager[Any] = torch.backends.cudnn.flags(
        enabled=is_cuda, benchmark=False, deterministic=True, allow_tf32=False
    )
    return flags
