"""SGD, Adam and AdamW as functions of one vector of weights.

Their state is plain tensors beside the weights, so that a checkpoint holds it as it is. They
compute what `torch.optim` computes; constructing one of those imports torch's compiler, which
costs every worker several seconds.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hpo_bench.spaces import Configuration

State = dict[str, Tensor]
"""`momentum` and (Adam, AdamW) `square`: running means, shaped like the weights."""

SQUARE_DECAY = 0.999  # beta 2 and epsilon of Kingma and Ba, "Adam", ICLR 2015
EPSILON = 1e-8


def initial_state(weights: Tensor, configuration: Configuration) -> State:
    """Make the state before the first step: zeros."""
    names = ("momentum",) if configuration["optimizer"] == "sgd" else ("momentum", "square")
    return {name: torch.zeros_like(weights) for name in names}


@torch.no_grad()
def update(
    weights: Tensor,
    gradient: Tensor,
    state: State,
    configuration: Configuration,
    learning_rate: float,
    step: int,
) -> None:
    """Make one step, in place.

    Args:
        weights: To be changed.
        gradient: Of the loss, shaped like the weights.
        state: To be changed.
        configuration: `optimizer`, `momentum` and `weight_decay` are read.
        learning_rate: Of this step.
        step: Counted from 1.
    """
    optimizer, decay = configuration["optimizer"], configuration["weight_decay"]
    if optimizer == "adamw":  # Loshchilov and Hutter, ICLR 2019: decay beside the gradient
        weights.mul_(1 - learning_rate * decay)
    elif decay > 0:
        gradient = gradient.add(weights, alpha=decay)
    beta, momentum = configuration["momentum"], state["momentum"]
    if optimizer == "sgd":
        momentum.mul_(beta).add_(gradient)
        weights.sub_(momentum, alpha=learning_rate)
        return
    momentum.lerp_(gradient, 1 - beta)
    square = state["square"].mul_(SQUARE_DECAY)
    square.addcmul_(gradient, gradient, value=1 - SQUARE_DECAY)
    # The running means start at zero: divided by their total weight they are unbiased.
    root = square.sqrt().div_((1 - SQUARE_DECAY**step) ** 0.5).add_(EPSILON)
    weights.addcdiv_(momentum, root, value=-learning_rate / (1 - beta**step))
