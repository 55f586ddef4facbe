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

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from hpo_bench.objectives.lenet5.pooling import max_pool
from hpo_bench.spaces import Configuration

Layers = dict[str, Tensor]
"""`<layer>.weight` and `<layer>.bias` of c1, c3, c5, f6 and output."""

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
# max(f(a), f(b)) = f(max(a, b)) only if f never falls; f then works on a quarter of the values.
MONOTONE = {"relu", "leaky_relu", "tanh"}


class Network:
    """The shapes of one network's layers.

    Args:
        configuration: `c1`, `c3`, `c5` and `f6` are read.
        n_classes: Outputs of the network.

    Attributes:
        size: How many weights and biases there are.
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
    """What is left out in training: a share of the units of C5 and F6, drawn by a generator."""

    share: float
    generator: torch.Generator

    def __call__(self, hidden: Tensor) -> Tensor:
        """Leave units out, and scale the others up; `functional.dropout` draws globally."""
        if self.share == 0.0:
            return hidden
        kept = torch.empty_like(hidden).bernoulli_(1 - self.share, generator=self.generator)
        return hidden * kept / (1 - self.share)


def logits(
    networks: Sequence[Layers],
    images: Tensor,
    activation: str,
    dropouts: Sequence[Dropout | None] | None = None,
) -> list[Tensor]:
    """Run several networks on the same images.

    Their first convolutions are done as one.

    Args:
        networks: Their layers; `columns_at_once` is the same for all.
        images: Normalised, (n, 3, 32, 32), in channels_last memory.
        activation: A key of `ACTIVATIONS`, the same for all.
        dropouts: Each network's; None outside of training.

    Returns:
        Unnormalised log probabilities of each, (n, classes), in 32 bits.
    """
    widths = [len(layers["c1.bias"]) for layers in networks]
    maps = _first(networks, images, columns_at_once(widths[0]))
    parts = torch.split(pooled(maps, activation), widths, dim=1)
    return [
        _rest(layers, part, activation, dropout)
        for layers, part, dropout in zip(
            networks, parts, dropouts or [None] * len(networks), strict=True
        )
    ]


def columns_at_once(c1: int) -> int:
    """Give how many neighbouring columns of C1's maps are computed as if they were channels.

    Processors work on 16 channels at a time, and leave those idle that a narrow layer does not
    have. k columns as k times the channels, of kernels widened by zeros, use them: 4 + k taps
    instead of 5, for one k-th of the places.
    """
    return min((1, 2, 4), key=lambda k: math.ceil(c1 * k / 16) * (KERNEL - 1 + k) / k)


def _first(networks: Sequence[Layers], images: Tensor, columns: int) -> Tensor:
    weights, biases = ([layers[f"c1.{part}"] for layers in networks] for part in ("weight", "bias"))
    wide = [functional.pad(torch.cat(weights), (k, columns - 1 - k)) for k in range(columns)]
    weight = torch.cat(wide).contiguous(memory_format=torch.channels_last)
    maps = functional.conv2d(images, weight, torch.cat(biases).repeat(columns), stride=(1, columns))
    # The columns stand in memory as if they had been computed one by one: this is a view.
    n, _, height, width = maps.shape
    return maps.permute(0, 2, 3, 1).reshape(n, height, width * columns, -1).permute(0, 3, 1, 2)


def _rest(layers: Layers, maps: Tensor, activation: str, dropout: Dropout | None) -> Tensor:
    maps = maps.contiguous(memory_format=torch.channels_last)
    maps = pooled(functional.conv2d(maps, layers["c3.weight"], layers["c3.bias"]), activation)
    # In channels_last memory this order of axes is a view.
    hidden = maps.permute(0, 2, 3, 1).flatten(1)
    for layer in ("c5", "f6"):
        hidden = ACTIVATIONS[activation](_dense(layers, layer, hidden))
        hidden = hidden if dropout is None else dropout(hidden)
    return _dense(layers, "output", hidden).float()


def pooled(maps: Tensor, activation: str) -> Tensor:
    """Activate maps and take the largest of each square of 2x2."""
    if activation in MONOTONE:
        return ACTIVATIONS[activation](max_pool(maps))
    return max_pool(ACTIVATIONS[activation](maps))


def _dense(layers: Layers, layer: str, inputs: Tensor) -> Tensor:
    return functional.linear(inputs, layers[f"{layer}.weight"], layers[f"{layer}.bias"])
