"""The interface of an engine, which does the arithmetic of training on a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from hpo_bench.objectives.lenet5.batches import Plan
from hpo_bench.objectives.lenet5.data import Images
from hpo_bench.objectives.lenet5.model import Network, Precision
from hpo_bench.spaces import Configuration

WARM_UP = 30
"""Steps over which the learning rate rises linearly to its value."""
DECAY = 8
"""Decay of the weights' average: step t, from 1, enters with weight (DECAY + 1) / (t + DECAY), the
polynomial-decay averaging of Shamir and Zhang (ICML 2013)."""


@dataclass(frozen=True)
class Epoch:
    """The input of one epoch of training."""

    images: Images
    """Training images."""
    plan: Plan
    """Order and augmentation of the images."""
    dropout_seed: int
    """Seed of dropout in this epoch, 64 bits."""
    step: int
    """Number of steps in all earlier epochs."""


class Engine(Protocol):
    """One implementation of training; the results of two implementations differ by rounding."""

    identity: str
    """All that the rounding of its results depends on, in one line."""
    how: str
    """Description of the engine, and the reason why it is used, for people."""

    def train(
        self,
        network: Network,
        configuration: Configuration,
        precision: Precision,
        tensors: dict[str, Tensor],
        epoch: Epoch,
    ) -> None:
        """Train a network for one epoch.

        Args:
            network: The shapes of its layers.
            configuration: A value for each hyperparameter.
            precision: Precision of C1 and C5.
            tensors: `weights`, `average` and the optimizer's state, each of shape (size,), float32;
                they are changed in place.
            epoch: The images and draws of the epoch.
        """

    def classify(
        self,
        network: Network,
        configuration: Configuration,
        precision: Precision,
        weights: Tensor,
        images: Images,
    ) -> Tensor:
        """Return the predicted class of each image, shape (n,), int64.

        Args:
            network: The shapes of its layers.
            configuration: A value for each hyperparameter.
            precision: Precision of C1 and C5.
            weights: The weights of the network, shape (size,), float32.
            images: The images.
        """

    def fastest_precision(self) -> Precision:
        """Return the precision in which the engine is faster on this machine."""
