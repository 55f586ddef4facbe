"""What an engine is: who does the arithmetic of training on a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from hpo_bench.objectives.lenet5.batches import Plan
from hpo_bench.objectives.lenet5.data import Images
from hpo_bench.objectives.lenet5.model import Network, Precision
from hpo_bench.spaces import Configuration

WARM_UP = 30
"""Steps over which the learning rate rises to its value."""
DECAY = 8
"""Of the average: step t enters with weight (DECAY + 1) / (t + DECAY)."""


@dataclass(frozen=True)
class Epoch:
    """What is done in one epoch of training."""

    images: Images
    plan: Plan
    dropout_seed: int
    """64 bits."""
    step: int
    """Steps that were made before."""


class Engine(Protocol):
    """One way to train a network; two of them differ in rounding."""

    identity: str
    """What the last digits of every result depend on."""
    how: str
    """What it is, and why, for people."""

    def train(
        self,
        network: Network,
        configuration: Configuration,
        precision: Precision,
        tensors: dict[str, Tensor],
        epoch: Epoch,
    ) -> None:
        """Make the steps of an epoch.

        Args:
            network: Its shapes.
            configuration: A value of every hyperparameter.
            precision: Of the layers.
            tensors: `weights`, `average` and the optimizer's state, changed in place.
            epoch: The batches.
        """

    def classify(
        self,
        network: Network,
        configuration: Configuration,
        precision: Precision,
        weights: Tensor,
        images: Images,
    ) -> Tensor:
        """Say which class each image is taken for, (n,) int64."""

    def fastest_precision(self) -> Precision:
        """Say in which precision it is faster on this machine."""
