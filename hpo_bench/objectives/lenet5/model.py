"""LeNet5 with its widths as hyperparameters, as a function of its weights.

LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 86(11), 1998, on colour images: 3x32x32 -> C1 -> pool -> C3 -> pool -> C5
-> F6 -> classes. Kernels and order of the layers, and the widths by default, are the paper's. Not
its own: pooling takes the largest value (there: a trained multiple of the mean), every map of C3
sees all maps before it (there: some), the output is a dense layer under cross-entropy (there:
distances from fixed codes), and the activation is a hyperparameter (there: a scaled tanh).

All weights of a network stand in one vector, so that a step of the optimizer, the average of the
weights and a checkpoint are each about one tensor; the layers are views of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from hpo_bench.spaces import Configuration

Layers = dict[str, Tensor]
"""`<layer>.weight` and `<layer>.bias` of c1, c3, c5, f6 and output."""

Precision = Literal["f32", "bf16"]

KERNEL = 5
MAP = 5
"""Side of C3's map after pooling; C5's kernels are as large, so that C5 is a dense layer."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "leaky_relu": functional.leaky_relu,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "silu": functional.silu,
}


class Network:
    """The shapes of one network's layers.

    Args:
        configuration: `c1`, `c3`, `c5` and `f6` are read.
        n_classes: Outputs of the network.

    Attributes:
        size: How many weights and biases there are.
        n_classes: Outputs of the network.
    """

    def __init__(self, configuration: Configuration, n_classes: int) -> None:
        c1, c3, c5, f6 = (int(configuration[name]) for name in ("c1", "c3", "c5", "f6"))
        weights = {
            "c1": (c1, KERNEL, KERNEL, 3),  # channels last, the order in which torch wants them
            "c3": (c3, KERNEL, KERNEL, c1),
            "c5": (c5, MAP * MAP * c3),
            "f6": (f6, c5),
            "output": (n_classes, f6),
        }
        self._shapes: dict[str, tuple[int, ...]] = {}
        for layer, shape in weights.items():
            self._shapes[f"{layer}.weight"] = shape
            self._shapes[f"{layer}.bias"] = shape[:1]
        self._sizes = [torch.Size(shape).numel() for shape in self._shapes.values()]
        self.size = sum(self._sizes)
        self.n_classes = n_classes

    def initial(self, generator: torch.Generator) -> Tensor:
        """Draw the vector of weights that training starts from.

        Args:
            generator: Where the draws come from; torch's global state is not touched.

        Returns:
            Weights uniform in +-sqrt(3 / fan_in) (variance 1 / fan_in: LeCun et al., "Efficient
            BackProp", 1998), and biases of zero.
        """
        vector = torch.zeros(self.size)
        for name, weight in self.layers(vector).items():
            if name.endswith(".weight"):
                bound = (3 / weight[0].numel()) ** 0.5
                drawn = torch.empty(weight.shape).uniform_(-bound, bound, generator=generator)
                weight.copy_(drawn)
        return vector

    def layers(self, vector: Tensor) -> Layers:
        """See a vector of weights as layers: convolutions as (out, in, height, width).

        A matrix, with a row for each of several such networks, gives an axis in front of these.
        """
        parts = zip(self._shapes.items(), torch.split(vector, self._sizes, dim=-1), strict=True)
        return {
            name: _channels_second(part.view(*part.shape[:-1], *shape), len(shape))
            for (name, shape), part in parts
        }


def _channels_second(weight: Tensor, n_axes: int) -> Tensor:
    return weight.movedim(-1, -3) if n_axes == 4 else weight


@dataclass(frozen=True)
class Dropout:
    """What is left out of one batch in training: a share of the units of C5 and F6.

    Every draw is a function of its place, so that the kernel draws the same numbers in any order.
    """

    share: float
    seed: int
    """64 bits, of the epoch."""
    batch: int
    """Number of the batch in its epoch."""

    def __call__(self, hidden: Tensor, layer: int) -> Tensor:
        """Leave units of (n, units) out, and scale the others up; layer: 0 for C5, 1 for F6."""
        if self.share == 0.0:
            return hidden
        n, units = hidden.shape
        first = (self.batch * 2 + layer) * n * units
        place = (np.arange(n * units, dtype=np.uint64) + np.uint64(first)).astype(np.uint32)
        draws = _scrambled(place + np.uint32(self.seed & 0xFFFFFFFF))
        draws = _scrambled(draws + np.uint32(self.seed >> 32))
        kept = torch.from_numpy(draws >= np.uint32(self.share * 2**32)).view(n, units)
        return hidden * kept / (1 - self.share)


SCRAMBLING = ((16, 0x7FEB352D), (15, 0x846CA68B))
"""Shifts and factors of "lowbias32" (C. Wellons, "Prospecting for hash functions", 2018)."""


def _scrambled(x: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Scramble bits, so that neighbours have nothing in common."""
    for shift, factor in SCRAMBLING:
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x ^ (x >> np.uint32(16))


def logits(
    layers: Layers,
    images: Tensor,
    activation: str,
    dropout: Dropout | None = None,
    precision: Precision = "f32",
) -> Tensor:
    """Run a network, from left to right as in LeCun's figure 2.

    Args:
        layers: As `Network.layers` gives them.
        images: Normalised, (n, 3, 32, 32).
        activation: A key of `ACTIVATIONS`.
        dropout: None outside of training.
        precision: `bf16` rounds the inputs and the weights of C1 and C5 to bfloat16; products are
            summed up in 32 bits.

    Returns:
        Unnormalised log probabilities, (n, classes).
    """
    act = ACTIVATIONS[activation]
    drop = dropout or (lambda hidden, layer: hidden)  # noqa: ARG005
    narrow = _rounded if precision == "bf16" else lambda x: x
    c1, c3, c5, f6, output = (
        (layers[f"{name}.weight"], layers[f"{name}.bias"])
        for name in ("c1", "c3", "c5", "f6", "output")
    )
    s2 = functional.max_pool2d(act(functional.conv2d(narrow(images), narrow(c1[0]), c1[1])), 2)
    s4 = functional.max_pool2d(act(functional.conv2d(s2, *c3)), 2)
    maps = s4.permute(0, 2, 3, 1).flatten(1)  # C5 reads place by place, every channel of it
    hidden = drop(act(functional.linear(narrow(maps), narrow(c5[0]), c5[1])), 0)
    hidden = drop(act(functional.linear(hidden, *f6)), 1)
    return functional.linear(hidden, *output)


def _rounded(x: Tensor) -> Tensor:
    """Round to bfloat16; the gradient passes as if nothing was rounded."""
    return x + (x.bfloat16().to(x.dtype) - x).detach()
