"""LeNet5 with its widths as hyperparameters, as a function of its weights.

LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 86(11), 1998, on colour images: 3x32x32 -> C1 -> pool -> C3 -> pool -> C5
-> F6 -> classes. The kernel sizes, the order of the layers and the default widths are those of the
paper. These parts differ:

- Pooling takes the maximum (paper: a trained multiple of the mean).
- Each map of C3 sees all maps before it (paper: some of them).
- The output is a dense layer with cross-entropy (paper: distances from fixed codes).
- The activation is a hyperparameter (paper: a scaled tanh).

One vector holds all weights of a network, and the layers are views of it. A step of the optimizer,
the average of the weights and a checkpoint therefore each need only one tensor.
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
"""`<layer>.weight` and `<layer>.bias` -> tensor, for the layers c1, c3, c5, f6 and output."""

Precision = Literal["f32", "bf16"]
"""Format of the factors in C1 and C5; everything else is computed in 32 bits."""

KERNEL = 5
"""Height and width of the convolutions' kernels, in pixels."""
MAP = 5
"""Height and width of C3's maps after pooling: ((32 - 4) / 2 - 4) / 2. C5's kernels have the same
size, so C5 is a dense layer."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "leaky_relu": functional.leaky_relu,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "silu": functional.silu,
}


class Network:
    """The shapes of the layers of a network.

    Args:
        configuration: A configuration; its widths `c1`, `c3`, `c5` and `f6` are used.
        n_classes: Number of classes, 2 or more.

    Attributes:
        size: Number of all weights and biases.
        n_classes: Number of classes.
    """

    def __init__(self, configuration: Configuration, n_classes: int) -> None:
        c1, c3, c5, f6 = (int(configuration[name]) for name in ("c1", "c3", "c5", "f6"))
        weights = {
            "c1": (c1, KERNEL, KERNEL, 3),  # channels last, torch's order in channels_last memory
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
        """Draw the initial vector of weights.

        Args:
            generator: The random generator; torch's global state does not change.

        Returns:
            A vector of shape (size,). Its weights are uniform in +-sqrt(3 / fan_in), with variance
            1 / fan_in (LeCun et al., "Efficient BackProp", 1998); its biases are zero.
        """
        vector = torch.zeros(self.size)
        for name, weight in self.layers(vector).items():
            if name.endswith(".weight"):
                bound = (3 / weight[0].numel()) ** 0.5
                drawn = torch.empty(weight.shape).uniform_(-bound, bound, generator=generator)
                weight.copy_(drawn)
        return vector

    def layers(self, vector: Tensor) -> Layers:
        """Return the layers of a vector of weights, as views of it.

        Args:
            vector: Weights of shape (size,), or of shape (networks, size) for several networks of
                these shapes.

        Returns:
            The layers: weights of convolutions have shape (out, in, height, width), those of dense
            layers (out, in). Several networks add a first axis.
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
    """Dropout of units of C5 and F6 in one batch of training.

    Each draw is a function of its place, so the compiled kernel draws the same numbers in another
    order.
    """

    share: float
    """Probability with which a unit is left out, 0 to below 1."""
    seed: int
    """Seed of the epoch, 64 bits."""
    batch: int
    """Index of the batch in its epoch, from 0."""

    def __call__(self, hidden: Tensor, layer: int) -> Tensor:
        """Set dropped units to zero, and multiply the others by 1 / (1 - share).

        Args:
            hidden: Outputs of a layer, shape (n, units).
            layer: 0 for C5, 1 for F6.
        """
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
    """Return a hash of each number: hashes of consecutive numbers look like random draws."""
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
    """Compute the outputs of a network (figure 2 of the paper).

    Args:
        layers: The layers from `Network.layers`, of one network.
        images: Normalised images, shape (n, 3, 32, 32).
        activation: A key of `ACTIVATIONS`.
        dropout: The dropout of this batch; None outside of training.
        precision: `bf16` rounds the inputs and weights of C1 and C5 to bfloat16; their products are
            summed in 32 bits.

    Returns:
        Unnormalised log probabilities, shape (n, classes).
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
    maps = s4.permute(0, 2, 3, 1).flatten(1)  # the order of C5's inputs: pixels, then channels
    hidden = drop(act(functional.linear(narrow(maps), narrow(c5[0]), c5[1])), 0)
    hidden = drop(act(functional.linear(hidden, *f6)), 1)
    return functional.linear(hidden, *output)


def _rounded(x: Tensor) -> Tensor:
    """Round to bfloat16; the gradient ignores the rounding (straight-through estimator)."""
    return x + (x.bfloat16().to(x.dtype) - x).detach()
