"""Training by torch and autograd: the reference of the compiled kernel, and its substitute."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from hpo_bench.objectives.lenet5.batches import batches, normalised
from hpo_bench.objectives.lenet5.data import Images
from hpo_bench.objectives.lenet5.epoch import DECAY, WARM_UP, Epoch
from hpo_bench.objectives.lenet5.model import Dropout, Network, Precision, logits
from hpo_bench.objectives.lenet5.optimizer import update
from hpo_bench.spaces import Configuration

_EVALUATION_BATCH = 100  # images whose maps fit into the processor's cache


class Plain:
    """An `Engine` that uses torch.

    Args:
        reason: The reason why it is used instead of the kernel, for people.
    """

    def __init__(self, reason: str = "") -> None:
        self.identity = f"torch {torch.__version__}"
        self.how = f"torch, which takes several times as long: {reason}"

    def train(
        self,
        network: Network,
        configuration: Configuration,
        precision: Precision,
        tensors: dict[str, Tensor],
        epoch: Epoch,
    ) -> None:
        """Train a network for one epoch, see `Engine.train`."""
        weights, average = tensors["weights"], tensors["average"]
        state = {name: tensors[name] for name in tensors.keys() - {"weights", "average"}}
        for i, (batch, labels) in enumerate(batches(epoch.images, epoch.plan)):
            dropout = Dropout(configuration["dropout"], epoch.dropout_seed, i)
            variable = weights.detach().requires_grad_()
            scores = logits(
                network.layers(variable),
                normalised(batch),
                configuration["activation"],
                dropout,
                precision,
            )
            smoothing = configuration["label_smoothing"]
            loss = functional.cross_entropy(scores, labels, label_smoothing=smoothing)
            (gradient,) = torch.autograd.grad(loss, variable)
            step = epoch.step + i + 1
            rate = configuration["learning_rate"] * min(1.0, step / WARM_UP)
            update(weights, gradient, state, configuration, rate, step)
            average.lerp_(weights, (DECAY + 1) / (step + DECAY))

    @torch.inference_mode()
    def classify(
        self,
        network: Network,
        configuration: Configuration,
        precision: Precision,
        weights: Tensor,
        images: Images,
    ) -> Tensor:
        """Return the predicted class of each image, shape (n,), int64."""
        pixels, activation = torch.from_numpy(images.source), configuration["activation"]
        layers = network.layers(weights)
        return torch.cat(
            [
                logits(layers, normalised(pixels[rows]), activation, None, precision).argmax(1)
                for rows in torch.split(torch.from_numpy(images.rows), _EVALUATION_BATCH)
            ]
        )

    def fastest_precision(self) -> Precision:
        """Return "f32": this engine only imitates bfloat16, by rounding."""
        return "f32"
