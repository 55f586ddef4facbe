"""One step of training of many networks at once, as few large operations.

All tensors have the networks first: (networks, images, ...). Convolutions are products of matrices
whose rows are the patches that a kernel sees. cuBLAS offers these in every precision and repeats
them to the bit, which cuDNN's grouped convolutions in bfloat16 do not promise.

Networks are padded with zeros to common widths. Every activation is 0 at 0, so that what is padded
has no gradient and stays 0: no masks are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from hpo_bench.objectives.lenet5.batches import CROP, Plan
from hpo_bench.objectives.lenet5.epoch import DECAY, WARM_UP
from hpo_bench.objectives.lenet5.model import ACTIVATIONS, KERNEL, SCRAMBLING, Layers, Network
from hpo_bench.objectives.lenet5.optimizer import EPSILON, SQUARE_DECAY
from hpo_bench.spaces import Configuration

STATES = ("weights", "average", "momentum", "square")
SIDE = 32
_KINDS = ("none", "flip", "flip+crop")
_LOW = 0xFFFFFFFF
_TOLD = (
    "is_over", "coupled_decay", "shrinking", "keeping", "taking", "taking_square", "total", "rate",
    "mixing",
)  # fmt: skip
"""What an update multiplies with: worked out once an epoch, in 64 bits."""

Activations = Sequence[tuple[str, int]]
"""Keys of `ACTIVATIONS`, and how many networks in a row have them."""
Pictures = tuple[Tensor, Tensor]
"""Pixels (n, 32, 32, 3) uint8 and labels (n,), on the device."""


@dataclass(frozen=True)
class Shape:
    """What the tensors of a stack look like."""

    large: Network
    """Of the padded widths."""
    activations: Activations
    dtype: torch.dtype
    """In which layers are computed."""
    device: torch.device

    def layers(self, matrix: Tensor) -> Layers:
        """See a matrix with a row for each network as layers, their weights as matrices."""
        layers = self.large.layers(matrix[:, : self.large.size])
        for name in ("c1.weight", "c3.weight"):
            layers[name] = layers[name].movedim(2, 4).flatten(2)
        return layers


def logits(
    layers: Layers,
    images: Tensor,
    activations: Activations,
    kept: Sequence[Tensor] | None = None,
) -> Tensor:
    """Run all networks of a stack.

    Args:
        layers: As `Shape.layers` gives them.
        images: Normalised, (networks or 1, n, 32, 32, 3): of one all networks see the same.
        activations: Of the networks.
        kept: What dropout multiplies C5 and F6 with, (networks, n, units) each; None: nothing.

    Returns:
        Unnormalised log probabilities, (networks, n, classes), in 32 bits.
    """
    maps = _pooled(_activated(_convolved(layers, "c1", images), activations))
    maps = _pooled(_activated(_convolved(layers, "c3", maps), activations))
    hidden = maps.flatten(2)
    for i, layer in enumerate(("c5", "f6")):
        hidden = _activated(_dense(layers, layer, hidden), activations)
        hidden = hidden if kept is None else hidden * kept[i]
    return _dense(layers, "output", hidden).float()


def normalised(batch: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn pixels into numbers around 0, as `batches.normalised` does."""
    return batch.float().sub_(127.5).div_(64.0).to(dtype)


def _convolved(layers: Layers, layer: str, maps: Tensor) -> Tensor:
    """Convolve (networks or 1, n, height, width, channels)."""
    patches = maps.unfold(2, KERNEL, 1).unfold(3, KERNEL, 1).permute(0, 1, 2, 3, 5, 6, 4)
    n, height, width = patches.shape[1:4]
    rows = patches.reshape(len(maps), n * height * width, -1)
    rows = rows.expand(len(layers[f"{layer}.bias"]), -1, -1)
    return _dense(layers, layer, rows).view(len(rows), n, height, width, -1)


def _dense(layers: Layers, layer: str, inputs: Tensor) -> Tensor:
    return torch.baddbmm(layers[f"{layer}.bias"][:, None], inputs, layers[f"{layer}.weight"].mT)


def _pooled(maps: Tensor) -> Tensor:
    pooled = functional.max_pool2d(maps.flatten(0, 1).permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
    return pooled.reshape(*maps.shape[:2], *pooled.shape[1:])


def _activated(x: Tensor, activations: Activations) -> Tensor:
    parts = torch.split(x, [n for _, n in activations])
    done = [ACTIVATIONS[name](part) for (name, _), part in zip(activations, parts, strict=True)]
    return done[0] if len(done) == 1 else torch.cat(done)


class Step:
    """The buffers that a step reads and writes, and the step itself.

    On CUDA a step is captured once as a graph and replayed: its hundred launches cost the host one.

    Args:
        shape: Of the stack.
        configurations: Of its networks.
        state: `weights`, `average`, `momentum` and `square`, a row for each network; changed in
            place.
        pictures: What it is trained on, and others.
        n_images: How many images an epoch has.
    """

    def __init__(
        self,
        shape: Shape,
        configurations: Sequence[Configuration],
        state: dict[str, Tensor],
        pictures: Pictures,
        n_images: int,
    ) -> None:
        self._shape, self._state, self._pictures = shape, state, pictures
        self._configurations, self._n_images = configurations, n_images
        sizes = [int(c["batch_size"]) for c in configurations]
        self.n_batches = n_images // min(sizes)
        device, rows = shape.device, torch.arange(max(sizes))
        column = torch.tensor(sizes)[:, None]
        self._share = ((rows < column) / column).to(device, torch.float32)
        # Networks of one batch size and augmentation see the same images: these are cut up once.
        kinds = [_KINDS.index(c["augmentation"]) for c in configurations]
        alike = len(set(zip(sizes, kinds, strict=True))) == 1
        seen = slice(1 if alike else None)
        self._kinds = torch.tensor(kinds)[seen, None].to(device)
        self._sizes, self._rows = column[seen].to(device), rows.to(device)
        self._order = torch.zeros(n_images, dtype=torch.int64, device=device)
        places = (len(_KINDS), n_images, SIDE)
        self._down = torch.zeros(places, dtype=torch.int64, device=device)
        self._right = torch.zeros(places, dtype=torch.int64, device=device)
        self._told = _told(configurations, [0] * len(sizes), n_images).to(device)
        self._batch = torch.zeros(1, dtype=torch.int64, device=device)
        self._dropout = _Dropout.of(configurations, shape)
        self._smoothing = _column(configurations, "label_smoothing", device)
        self._is_sgd = torch.tensor([[c["optimizer"] == "sgd"] for c in configurations]).to(device)
        self._ends_apart = len(set(sizes)) > 1
        is_narrow = shape.dtype != torch.float32
        self._read = state["weights"].to(shape.dtype) if is_narrow else state["weights"]
        self._replay = self._captured() if device.type == "cuda" else self._step

    def run(self, plan: Plan, dropout_seed: int, steps: Sequence[int]) -> None:
        """Train an epoch.

        Args:
            plan: Of the epoch, in batches of one image, moved and flipped.
            dropout_seed: 64 bits.
            steps: How many each network has made before.
        """
        self._order.copy_(plan.order[:, 0])
        for kind, name in enumerate(_KINDS):
            for buffer, places in zip((self._down, self._right), _places(plan, name), strict=True):
                buffer[kind].copy_(places)
        self._told.copy_(_told(self._configurations, steps, self._n_images))
        if self._dropout is not None:
            self._dropout.seed.copy_(torch.tensor([dropout_seed & _LOW, dropout_seed >> 32]))
        self._batch.zero_()
        if self._read is not self._state["weights"]:
            self._read.copy_(self._state["weights"])
        for _ in range(self.n_batches):
            self._replay()

    def _captured(self) -> Callable[[], None]:
        kept = {name: matrix.clone() for name, matrix in self._state.items()}
        graph = torch.cuda.CUDAGraph()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # what libraries do on first use must not be captured
                self._batch.zero_()
                self._step()
        torch.cuda.current_stream().wait_stream(side)
        # Graphs are replayed one after another and leave their results in buffers of ours: what
        # they need in between can be the same memory.
        with torch.cuda.graph(graph, pool=_first_graph().pool()):
            self._step()
        for name, matrix in kept.items():
            self._state[name].copy_(matrix)
        return graph.replay

    def _step(self) -> None:
        now = dict(zip(_TOLD, self._told[self._batch][0], strict=True))
        images, labels = self._next()
        weights = self._read.detach().requires_grad_()
        kept = None if self._dropout is None else self._dropout.kept(self._batch)
        scores = logits(self._shape.layers(weights), images, self._shape.activations, kept)
        # The networks share no weight: the gradient of the sum is that of each.
        (gradient,) = torch.autograd.grad(self._loss(scores, labels), weights)
        self._update(gradient.float(), now)
        self._batch += 1

    def _next(self) -> tuple[Tensor, Tensor]:
        """Pick the images of a batch for every network, moved and flipped."""
        pixels, labels = self._pictures
        at = (self._batch * self._sizes + self._rows).clamp(max=self._n_images - 1)
        index = self._order[at]
        down, right = self._down[self._kinds, at], self._right[self._kinds, at]
        batch = pixels[index[:, :, None, None], down[:, :, :, None], right[:, :, None, :]]
        return normalised(batch, self._shape.dtype), labels[index]

    def _loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        log_shares = functional.log_softmax(scores, dim=2)
        labels = labels.expand(len(scores), -1)[:, :, None]
        right = log_shares.gather(2, labels)[:, :, 0]
        losses = (1 - self._smoothing) * right + self._smoothing * log_shares.mean(2)
        return -(losses * self._share).sum()

    @torch.no_grad()
    def _update(self, gradient: Tensor, now: dict[str, Tensor]) -> None:
        """Do what `optimizer.update` does, of every row with its own settings."""
        weights, average, momentum, square = (self._state[name] for name in STATES)
        if self._ends_apart:
            # Whose epoch is over takes none: not even one that is not a number, times zero.
            gradient = gradient.masked_fill(now["is_over"] > 0, 0)
        gradient = gradient.addcmul_(now["coupled_decay"], weights)
        weights.mul_(now["shrinking"])
        momentum.mul_(now["keeping"]).addcmul_(now["taking"], gradient)
        square.lerp_(gradient.square_(), now["taking_square"])
        root = (square.sqrt() / now["total"]).add_(EPSILON).masked_fill_(self._is_sgd, 1)
        weights.sub_(root.reciprocal_().mul_(momentum).mul_(now["rate"]))
        average.lerp_(weights, now["mixing"])
        if self._read is not weights:
            self._read.copy_(weights)


class _Dropout:
    """What `model.Dropout` draws, the same numbers, for every network of a stack."""

    def __init__(self, configurations: Sequence[Configuration], shape: Shape) -> None:
        device, self._dtype = shape.device, shape.dtype
        large = shape.layers(torch.empty(1, shape.large.size, device="meta"))
        shares = [float(c["dropout"]) for c in configurations]
        self.seed = torch.zeros(2, dtype=torch.int64, device=device)
        scale = 1 / (1 - torch.tensor(shares, dtype=torch.float32))
        self._scale = scale[:, None, None].to(device)
        least = [int(share * 2**32) for share in shares]
        self._least = torch.tensor(least)[:, None, None].to(device)
        self._first, self._at = [], []
        for name in ("c5", "f6"):
            units = torch.tensor([int(c[name]) for c in configurations])[:, None, None]
            sizes = torch.tensor([int(c["batch_size"]) for c in configurations])
            row = torch.arange(int(sizes.max()))[:, None]
            unit = torch.arange(large[f"{name}.bias"].shape[1])
            self._first.append((sizes[:, None, None] * units).to(device))
            self._at.append((row * units + unit).to(device))

    @classmethod
    def of(cls, configurations: Sequence[Configuration], shape: Shape) -> _Dropout | None:
        """Make it, if any network has dropout."""
        return cls(configurations, shape) if any(c["dropout"] > 0 for c in configurations) else None

    def kept(self, batch: Tensor) -> list[Tensor]:
        """Give what C5 and F6 are multiplied with."""
        low, high = self.seed
        both = []
        for layer, (first, at) in enumerate(zip(self._first, self._at, strict=True)):
            draws = at + ((batch * 2 + layer) * first + low)
            draws = _scrambled(_scrambled(draws.bitwise_and_(_LOW)).add_(high).bitwise_and_(_LOW))
            both.append(((draws >= self._least) * self._scale).to(self._dtype))
        return both


def _scrambled(x: Tensor) -> Tensor:
    """Do what `model._scrambled` does, in place, with 32 bits of 64."""
    for shift, factor in SCRAMBLING:
        x.bitwise_xor_(x >> shift).mul_(factor).bitwise_and_(_LOW)
    return x.bitwise_xor_(x >> 16)


def _places(plan: Plan, kind: str) -> tuple[Tensor, Tensor]:
    """Say of every image which of its rows and columns make up what a network sees, (n, 32)."""
    axis = torch.arange(SIDE)
    down = right = axis.expand(len(plan.order), SIDE)
    if kind != "none":
        right = torch.where(plan.flipped, SIDE - 1 - axis, axis)
    if kind == "flip+crop":
        assert plan.moves is not None
        down = (down + plan.moves[:, 0] - CROP).clamp(0, SIDE - 1)
        right = (right + plan.moves[:, 1] - CROP).clamp(0, SIDE - 1)
    return down, right


def _told(configurations: Sequence[Configuration], steps: Sequence[int], n_images: int) -> Tensor:
    """Work out `_TOLD` for every step of an epoch and every network.

    Returns:
        (batches, quantities, networks, 1).
    """

    def row(name: str) -> npt.NDArray[Any]:
        return np.array([c[name] for c in configurations])

    sizes, optimizer, beta = row("batch_size"), row("optimizer"), row("momentum").astype(float)
    batch = np.arange(n_images // sizes.min())[:, None]
    active = (batch < n_images // sizes).astype(float)
    step = np.array(steps) + np.minimum(batch, n_images // sizes - 1) + 1.0
    is_sgd, is_coupled = optimizer == "sgd", optimizer != "adamw"
    rate = row("learning_rate") * np.minimum(1.0, step / WARM_UP) * active
    told = {
        "is_over": 1 - active,
        "coupled_decay": row("weight_decay") * is_coupled * active,
        "shrinking": 1 - rate * row("weight_decay") * ~is_coupled,
        "keeping": 1 - active * (1 - beta),
        "taking": np.where(is_sgd, 1, 1 - beta) * active,
        "taking_square": (1 - SQUARE_DECAY) * active,
        "total": (1 - SQUARE_DECAY**step) ** 0.5,
        "rate": rate / np.where(is_sgd, 1, 1 - beta**step),
        "mixing": (DECAY + 1) / (step + DECAY) * active,
    }
    table = np.stack([told[name] for name in _TOLD], axis=1).astype(np.float32)
    return torch.from_numpy(table)[..., None]


def _column(configurations: Sequence[Configuration], name: str, device: torch.device) -> Tensor:
    values = [[float(c[name])] for c in configurations]
    return torch.tensor(values, dtype=torch.float32, device=device)


@cache
def _first_graph() -> torch.cuda.CUDAGraph:
    """Give a graph whose memory all others share.

    It is kept for good: once every graph of some memory is gone, torch refuses to use it again.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        torch.zeros(1, device="cuda")
    return graph
