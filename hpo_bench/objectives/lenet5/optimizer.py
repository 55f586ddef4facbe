"""SGD, Adam and AdamW as functions of named tensors.

Their state is plain tensors beside the weights, so that a checkpoint holds it as it is. They
compute what `torch.optim` computes; constructing one of those imports torch's compiler, which
costs every worker several seconds.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hpo_bench.objectives.lenet5.model import Weights
from hpo_bench.spaces import Configuration

State = dict[str, Weights]
"""`momentum` and (Adam, AdamW) `square`: running means, by the names of the weights."""

_SQUARE_DECAY = 0.999  # beta 2 and epsilon of Kingma and Ba, "Adam", ICLR 2015
_EPSILON = 1e-8


def initial_state(weights: Weights, configuration: Configuration) -> State:
    """Make the state before the first step: zeros."""
    names = ("momentum",) if configuration["optimizer"] == "sgd" else ("momentum", "square")
    return {
        name: {key: torch.zeros_like(weight) for key, weight in weights.items()} for name in names
    }


@torch.no_grad()
def update(
    weights: Weights,
    gradients: Mapping[str, Tensor],
    state: State,
    configuration: Configuration,
    learning_rate: float,
    step: int,
) -> None:
    """Make one step, in place.

    Args:
        weights: To be changed.
        gradients: Of the loss, by the names of the weights.
        state: To be changed.
        configuration: `optimizer`, `momentum` and `weight_decay` are read.
        learning_rate: Of this step.
        step: Counted from 1.
    """
    optimizer, decay = configuration["optimizer"], configuration["weight_decay"]
    for name, weight in weights.items():
        gradient = gradients[name]
        if optimizer == "adamw":  # Loshchilov and Hutter, ICLR 2019: decay beside the gradient
            weight.mul_(1 - learning_rate * decay)
        elif decay > 0:
            gradient = gradient.add(weight, alpha=decay)
        momentum = state["momentum"][name]
        if optimizer == "sgd":
            momentum.mul_(configuration["momentum"]).add_(gradient)
            weight.sub_(momentum, alpha=learning_rate)
        else:
            beta = configuration["momentum"]
            _adam(weight, gradient, momentum, state["square"][name], beta, learning_rate, step)


def _adam(
    weight: Tensor,
    gradient: Tensor,
    momentum: Tensor,
    square: Tensor,
    beta: float,
    learning_rate: float,
    step: int,
) -> None:
    momentum.lerp_(gradient, 1 - beta)
    square.mul_(_SQUARE_DECAY).addcmul_(gradient, gradient, value=1 - _SQUARE_DECAY)
    # The running means start at zero: divided by their total weight they are unbiased.
    root = square.sqrt().div_((1 - _SQUARE_DECAY**step) ** 0.5).add_(_EPSILON)
    weight.addcdiv_(momentum, root, value=-learning_rate / (1 - beta**step))
