"""Training one configuration, epoch by epoch, able to stop and go on.

The schedule does not know where training will stop: a short warm-up, a constant learning rate,
and polynomial-decay averaging of the weights in the place of a decaying rate (Shamir and Zhang,
"Stochastic gradient descent for non-smooth optimization", ICML 2013). The value after epoch e is
therefore the same whether training ends there or goes on.

Randomness is derived from (seed, purpose, epoch) and never carried along: a checkpoint holds no
generator, and torch's global one is neither read nor moved.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives.base import Evaluation
from hpo_bench.objectives.lenet5.data import Data, Images
from hpo_bench.objectives.lenet5.model import initial_weights, logits
from hpo_bench.objectives.lenet5.optimizer import initial_state, update
from hpo_bench.spaces import Configuration

Precision = Literal["f32", "bf16"]

WARM_UP = 30
"""Steps over which the learning rate rises to its value."""
DECAY = 8
"""Of the average: step t enters with weight (DECAY + 1) / (t + DECAY)."""
CROP = 4
"""Most pixels by which random cropping moves an image; its border is repeated outwards."""
_EVALUATION_BATCH = 500

_INITIAL, _ORDER, _DROPOUT = range(3)  # purposes of random draws


class Training(Evaluation):
    """One configuration in training; one unit of fidelity is one epoch.

    All arithmetic runs on one thread, whatever the process is set to: results are then the same
    in every process, and several workers do not fight for the cores.
    """

    def __init__(
        self, configuration: Configuration, data: Data, seed: int, precision: Precision
    ) -> None:
        """Draw the initial weights.

        Args:
            configuration: A value of every hyperparameter of the objective.
            data: Images to train and to measure on.
            seed: Of everything that is drawn: initial weights, order of images, augmentation,
                dropout. The order is the same for all configurations of one batch size.
            precision: `bf16` computes the layers in bfloat16 and keeps the weights in 32 bits.
        """
        self._configuration = configuration
        self._data = data
        self._seed = seed
        self._precision = precision
        self._weights = initial_weights(
            configuration, len(data.classes), self._generator(_INITIAL, 0)
        )
        self._average = {name: weight.clone() for name, weight in self._weights.items()}
        for weight in self._weights.values():
            weight.requires_grad_()
        self._state = initial_state(self._weights, configuration)

    def advance(self) -> float:
        """Train one epoch further.

        Returns:
            Accuracy of the averaged weights on the validation images, 0 to 1. Training that
            diverged goes on and is measured like any other: about as good as chance.
        """
        with _one_thread():
            self._train_epoch()
            self.fidelity += 1
            return self._accuracy(self._data.validation)

    def measurements(self) -> dict[str, float]:
        """Measure the test accuracy (0 to 1), count the network's parameters, and say if it broke.

        `diverged` is 1 if a weight is no longer finite, else 0.
        """
        with _one_thread():
            weights = self._average.values()
            return {
                "test_accuracy": self._accuracy(self._data.test),
                "parameters": sum(weight.numel() for weight in weights),
                "diverged": float(not all(weight.isfinite().all() for weight in weights)),
            }

    def checkpoint(self) -> bytes:
        """Pack weights, average, optimizer state and epoch, readable without running code."""
        buffer = io.BytesIO()
        weights = {name: weight.detach() for name, weight in self._weights.items()}
        state = {
            "identity": self._identity(),
            "epoch": self.fidelity,
            "weights": weights,
            "average": self._average,
            "optimizer": self._state,
        }
        torch.save(state, buffer)
        return buffer.getvalue()

    def resume(self, checkpoint: bytes) -> None:
        """Take over the state of a checkpoint.

        Raises:
            HpoBenchError: It is damaged, or belongs to another configuration, seed, precision
                or data.
        """
        state = _unpack(checkpoint)
        if state["identity"] != self._identity():
            raise HpoBenchError(
                "the checkpoint belongs to another evaluation: it was made by "
                f"{state['identity']}, this is {self._identity()}"
            )
        self._weights = {name: w.requires_grad_() for name, w in state["weights"].items()}
        self._average = state["average"]
        self._state = state["optimizer"]
        self.fidelity = state["epoch"]

    def _identity(self) -> str:
        identity = {
            "configuration": self._configuration,
            "seed": self._seed,
            "precision": self._precision,
            "data": self._data.sha256,
            "train_size": len(self._data.train),
        }
        return json.dumps(identity, sort_keys=True)

    def _generator(self, purpose: int, epoch: int) -> torch.Generator:
        sequence = np.random.SeedSequence([self._seed, purpose, epoch])
        return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))

    def _train_epoch(self) -> None:
        images = self._data.train
        size = self._configuration["batch_size"]
        order = self._generator(_ORDER, self.fidelity)
        dropout = self._generator(_DROPOUT, self.fidelity)
        step = self.fidelity * (len(images) // size)
        for batch, labels in _batches(images, size, self._configuration["augmentation"], order):
            step += 1
            self._step(batch, labels, step, dropout)

    def _step(self, batch: Tensor, labels: Tensor, step: int, dropout: torch.Generator) -> None:
        configuration = self._configuration
        with self._autocast():
            scores = logits(
                self._weights,
                _normalise(batch),
                configuration["activation"],
                configuration["dropout"],
                dropout,
            )
        loss = functional.cross_entropy(
            scores, labels, label_smoothing=configuration["label_smoothing"]
        )
        gradients = torch.autograd.grad(loss, list(self._weights.values()))
        rate = configuration["learning_rate"] * min(1.0, step / WARM_UP)
        named = dict(zip(self._weights, gradients, strict=True))
        update(self._weights, named, self._state, configuration, rate, step)
        share = (DECAY + 1) / (step + DECAY)
        with torch.no_grad():
            for name, weight in self._weights.items():
                self._average[name].lerp_(weight, share)

    @torch.inference_mode()
    def _accuracy(self, images: Images) -> float:
        pixels, labels = torch.from_numpy(images.pixels), torch.from_numpy(images.labels)
        correct = 0
        with self._autocast():
            for start in range(0, len(images), _EVALUATION_BATCH):
                part = slice(start, start + _EVALUATION_BATCH)
                scores = logits(
                    self._average, _normalise(pixels[part]), self._configuration["activation"]
                )
                correct += int((scores.argmax(1) == labels[part]).sum())
        return correct / len(images)

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self._precision == "bf16")


def resolve_precision(precision: Literal["auto", "f32", "bf16"]) -> Precision:
    """Turn `auto` into bf16 where the CPU has AMX for it, else into f32.

    Without AMX bfloat16 is slower than 32 bits, also on CPUs with AVX512_BF16.
    """
    if precision != "auto":
        return precision
    cpu = Path("/proc/cpuinfo")
    has_amx = cpu.exists() and "amx_bf16" in cpu.read_text(encoding="utf-8")
    return "bf16" if has_amx else "f32"


def _unpack(checkpoint: bytes) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(checkpoint), weights_only=True)
    except (RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise HpoBenchError(f"the checkpoint is damaged: {error}") from error
    return state


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _batches(
    images: Images, size: int, augmentation: str, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Cut one epoch into batches of exactly `size` images; those left over sit this epoch out.

    Yields:
        Pixels (size, 32, 32, 3) uint8 and labels (size,).
    """
    pixels, labels = torch.from_numpy(images.pixels), torch.from_numpy(images.labels)
    order = torch.randperm(len(images), generator=generator)
    flipped = torch.rand(len(images), generator=generator) < 0.5
    moves = torch.randint(2 * CROP + 1, (2, len(images)), generator=generator)
    for start in range(0, len(images) - size + 1, size):
        part = slice(start, start + size)
        batch = pixels[order[part]]
        if augmentation == "flip+crop":
            batch = _crop(batch, *moves[:, part])
        if augmentation != "none":
            batch = torch.where(flipped[part, None, None, None], batch.flip(2), batch)
        yield batch, labels[order[part]]


def _crop(batch: Tensor, down: Tensor, right: Tensor) -> Tensor:
    side = batch.shape[1]
    axis = torch.arange(side) - CROP
    rows, columns = ((axis + move[:, None]).clamp(0, side - 1) for move in (down, right))
    image = torch.arange(len(batch))[:, None, None]
    return batch[image, rows[:, :, None], columns[:, None, :]]


def _normalise(batch: Tensor) -> Tensor:
    # The spread of natural images is about a quarter of the range; the permuted axes make it
    # channels_last memory without a copy.
    return batch.permute(0, 3, 1, 2).float().sub_(127.5).div_(64.0)
