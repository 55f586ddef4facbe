"""LeNet5 with its widths as hyperparameters, as a function of named weights.

LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 86(11), 1998, on colour images: 3x32x32 -> C1 -> pool -> C3 -> pool -> C5
-> F6 -> classes, with max pooling and one dense output layer. Weights are a dictionary and not a
module, so that the running weights and their average are two arguments of one function.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from hpo_bench.spaces import Configuration

Weights = dict[str, Tensor]

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


def initial_weights(
    configuration: Configuration, n_classes: int, generator: torch.Generator
) -> Weights:
    """Draw the weights that training starts from.

    Args:
        configuration: `c1`, `c3`, `c5` and `f6` are read.
        n_classes: Outputs of the network.
        generator: Where the draws come from; torch's global state is not touched.

    Returns:
        `<layer>.weight`, uniform in +-sqrt(3 / fan_in) (variance 1 / fan_in: LeCun et al.,
        "Efficient BackProp", 1998), and `<layer>.bias`, zero, of every layer.
    """
    c1, c3, c5, f6 = (int(configuration[name]) for name in ("c1", "c3", "c5", "f6"))
    shapes = {
        "c1": (c1, 3, KERNEL, KERNEL),
        "c3": (c3, c1, KERNEL, KERNEL),
        "c5": (c5, MAP * MAP * c3),
        "f6": (f6, c5),
        "output": (n_classes, f6),
    }
    weights: Weights = {}
    for layer, shape in shapes.items():
        weight = torch.empty(shape)
        bound = (3 / weight[0].numel()) ** 0.5
        weight.uniform_(-bound, bound, generator=generator)
        if weight.ndim == 4:
            weight = weight.contiguous(memory_format=torch.channels_last)
        weights[f"{layer}.weight"] = weight
        weights[f"{layer}.bias"] = torch.zeros(shape[0])
    return weights


def logits(
    weights: Weights,
    images: Tensor,
    activation: str,
    dropout: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Run the network.

    Args:
        weights: As `initial_weights` names them.
        images: Normalised, (n, 3, 32, 32), in channels_last memory.
        activation: A key of `ACTIVATIONS`.
        dropout: Share of the units of C5 and F6 to leave out, 0 outside of training.
        generator: Where dropout draws from.

    Returns:
        Unnormalised log probabilities, (n, classes), in 32 bits.
    """
    maps = _convolve(weights, "c1", images, activation)
    maps = _convolve(weights, "c3", maps, activation)
    # In channels_last memory this order of axes is a view.
    hidden = maps.permute(0, 2, 3, 1).flatten(1)
    for layer in ("c5", "f6"):
        hidden = ACTIVATIONS[activation](_dense(weights, layer, hidden))
        hidden = _drop(hidden, dropout, generator)
    return _dense(weights, "output", hidden).float()


def _convolve(weights: Weights, layer: str, images: Tensor, activation: str) -> Tensor:
    maps = functional.conv2d(images, weights[f"{layer}.weight"], weights[f"{layer}.bias"])
    if activation in MONOTONE:
        return ACTIVATIONS[activation](functional.max_pool2d(maps, 2))
    return functional.max_pool2d(ACTIVATIONS[activation](maps), 2)


def _dense(weights: Weights, layer: str, inputs: Tensor) -> Tensor:
    return functional.linear(inputs, weights[f"{layer}.weight"], weights[f"{layer}.bias"])


def _drop(hidden: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    # functional.dropout knows only torch's global generator.
    if share == 0.0:
        return hidden
    kept = torch.empty_like(hidden).bernoulli_(1 - share, generator=generator)
    return hidden * kept / (1 - share)
