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
import math
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives.base import Evaluation
from hpo_bench.objectives.lenet5.batches import batches, in_order, normalised, planned
from hpo_bench.objectives.lenet5.data import Data, Images
from hpo_bench.objectives.lenet5.model import Dropout, Network, columns_at_once, logits
from hpo_bench.objectives.lenet5.optimizer import initial_state, update
from hpo_bench.objectives.lenet5.stack import (
    Member,
    Recipe,
    accuracies,
    padded_widths,
    train_epoch,
)
from hpo_bench.spaces import Configuration

Precision = Literal["f32", "bf16"]

WARM_UP = 30
"""Steps over which the learning rate rises to its value."""
DECAY = 8
"""Of the average: step t enters with weight (DECAY + 1) / (t + DECAY)."""
SHARED_CHANNELS = 48
"""Most channels of first convolutions that are done as one; more do not fit into the cache."""
_EVALUATION_BATCH = 100  # whose maps fit into the cache

_INITIAL, _ORDER, _DROPOUT = range(3)  # purposes of random draws


class Training(Evaluation):
    """One configuration in training; one unit of fidelity is one epoch.

    All arithmetic runs on one thread, whatever the process is set to: results are then the same
    in every process, and several workers do not fight for the cores.
    """

    def __init__(
        self,
        configuration: Configuration,
        data: Data,
        seed: int,
        precision: Precision,
        device: str = "cpu",
    ) -> None:
        """Draw the initial weights.

        Args:
            configuration: A value of every hyperparameter of the objective.
            data: Images to train and to measure on.
            seed: Of everything that is drawn: initial weights, order of images, augmentation,
                dropout. The order is the same for all configurations of one batch size.
            precision: `bf16` computes the layers in bfloat16 and keeps the weights in 32 bits.
            device: `cpu`, or a device of torch's on which networks are trained in stacks.
        """
        self._configuration = configuration
        self._data = data
        self._seed = seed
        self._precision = precision
        self._device = torch.device(device)
        self._network = Network(configuration, len(data.classes))
        self._weights = self._network.initial(self._generator(_INITIAL, 0))
        self._average = self._weights.clone()
        self._state = initial_state(self._weights, configuration)
        self._step = 0

    def advance(self) -> float:
        """Train one epoch further.

        Returns:
            Accuracy of the averaged weights on the validation images, 0 to 1. Training that
            diverged goes on and is measured like any other: about as good as chance.
        """
        return advance_together([self])[0]

    def measurements(self) -> dict[str, float]:
        """Measure the test accuracy (0 to 1), count the network's parameters, and say if it broke.

        `diverged` is 1 if a weight is no longer finite, else 0.
        """
        with _one_thread():
            return {
                "test_accuracy": _accuracies([self], self._data.test)[0],
                "parameters": self._weights.numel(),
                "diverged": float(not self._average.isfinite().all()),
            }

    def checkpoint(self) -> bytes:
        """Pack weights, average, optimizer state and epoch, readable without running code."""
        buffer = io.BytesIO()
        state = {
            "identity": self._identity(),
            "epoch": self.fidelity,
            "step": self._step,
            "weights": self._weights,
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
        self._weights = state["weights"]
        self._average = state["average"]
        self._state = state["optimizer"]
        self._step = state["step"]
        self.fidelity = state["epoch"]

    def _identity(self) -> str:
        identity = {
            "configuration": self._configuration,
            "seed": self._seed,
            "precision": self._precision,
            "device": self._device.type,
            "data": self._data.sha256,
            "train": sha256(self._data.train.rows.tobytes()).hexdigest(),
        }
        return json.dumps(identity, sort_keys=True)

    def _generator(self, purpose: int, epoch: int) -> torch.Generator:
        sequence = np.random.SeedSequence([self._seed, purpose, epoch])
        return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))

    def _dropout(self) -> Dropout:
        return Dropout(self._configuration["dropout"], self._generator(_DROPOUT, self.fidelity))

    def _loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        smoothing = self._configuration["label_smoothing"]
        return functional.cross_entropy(scores, labels, label_smoothing=smoothing)

    def _learn(self, gradient: Tensor) -> None:
        self._step += 1
        rate = self._configuration["learning_rate"] * min(1.0, self._step / WARM_UP)
        update(self._weights, gradient, self._state, self._configuration, rate, self._step)
        self._average.lerp_(self._weights, (DECAY + 1) / (self._step + DECAY))

    def _stream(self) -> tuple[Any, ...]:
        """What two trainings must share to see the same batches through the same functions."""
        configuration = self._configuration
        told = (configuration[name] for name in ("batch_size", "augmentation", "activation"))
        alike: tuple[Any, ...] = (columns_at_once(_channels(self)),)
        if self._is_stacked:
            alike = (*padded_widths(configuration)[:2], configuration["optimizer"])
        return (id(self._data), self._seed, self.fidelity, self._precision, *alike, *told)

    @property
    def _is_stacked(self) -> bool:
        return self._device.type != "cpu"

    def _member(self) -> Member:
        tensors = {"weights": self._weights, "average": self._average, **self._state}
        return Member(self._configuration, self._network, tensors)


def advance_together(trainings: Sequence[Training]) -> list[float]:
    """Train each one epoch further, narrow networks together where they see the same batches.

    Each comes out as if it had trained alone, up to the rounding of its first convolution.

    Returns:
        What `Training.advance` returns, of each.
    """
    values: dict[int, float] = {}
    with _one_thread():
        for group in _groups(trainings):
            if group[0]._is_stacked:
                _train_stacked(group)
            else:
                _train_epoch(group)
            found = _accuracies(group, group[0]._data.validation)
            values.update(zip(map(id, group), found, strict=True))
    return [values[id(training)] for training in trainings]


def _groups(trainings: Sequence[Training]) -> list[list[Training]]:
    """Put together those that share their batches: all of a stack, else `SHARED_CHANNELS`."""
    streams: dict[tuple[Any, ...], list[list[Training]]] = {}
    for training in sorted(trainings, key=_channels, reverse=True):
        groups = streams.setdefault(training._stream(), [])
        room = math.inf if training._is_stacked else SHARED_CHANNELS - _channels(training)
        fitting = (group for group in groups if sum(map(_channels, group)) <= room)
        group = next(fitting, None)
        if group is None:
            groups.append([training])
        else:
            group.append(training)
    return [group for groups in streams.values() for group in groups]


def _channels(training: Training) -> int:
    return int(training._configuration["c1"])


def _train_epoch(group: Sequence[Training]) -> None:
    one = group[0]
    configuration = one._configuration
    generator = one._generator(_ORDER, one.fidelity)
    dropouts = [training._dropout() for training in group]
    size, augmentation = configuration["batch_size"], configuration["augmentation"]
    vectors = [training._weights.requires_grad_() for training in group]
    for batch, labels in batches(one._data.train, size, augmentation, generator):
        with _autocast(one._precision):
            scores = logits(
                [t._network.layers(v) for t, v in zip(group, vectors, strict=True)],
                normalised(batch),
                configuration["activation"],
                dropouts,
            )
        losses = [t._loss(s, labels) for t, s in zip(group, scores, strict=True)]
        # The networks share no weight: the gradient of the sum is that of each.
        gradients = torch.autograd.grad(losses, vectors)
        with torch.no_grad():
            for training, gradient in zip(group, gradients, strict=True):
                training._learn(gradient)
    for training in group:
        training._weights.requires_grad_(False)
        training.fidelity += 1


def _train_stacked(group: Sequence[Training]) -> None:
    one = group[0]
    recipe, generator = _recipe(group), one._generator(_ORDER, one.fidelity)
    train_epoch(
        recipe,
        [training._member() for training in group],
        one._data.train,
        planned(one._data.train, recipe.batch_size, recipe.augmentation, generator),
        seed=one._generator(_DROPOUT, one.fidelity).initial_seed(),
        step=one._step,
        warm_up=WARM_UP,
        decay=DECAY,
    )
    for training in group:
        training.fidelity += 1
        training._step += recipe.n_batches


def _recipe(group: Sequence[Training]) -> Recipe:
    one = group[0]
    configuration = one._configuration
    widths = [padded_widths(training._configuration) for training in group]
    c1, c3, c5, f6 = (max(column) for column in zip(*widths, strict=True))
    return Recipe(
        size=len(group),
        widths=(c1, c3, c5, f6),
        n_classes=len(one._data.classes),
        batch_size=configuration["batch_size"],
        n_batches=len(one._data.train) // configuration["batch_size"],
        activation=configuration["activation"],
        augmentation=configuration["augmentation"],
        optimizer=configuration["optimizer"],
        has_dropout=any(training._configuration["dropout"] > 0 for training in group),
        precision=one._precision,
        device=one._device,
    )


@torch.inference_mode()
def _accuracies(group: Sequence[Training], images: Images) -> list[float]:
    """Measure the averaged weights of networks that may run together."""
    one = group[0]
    if one._is_stacked:
        return accuracies(_recipe(group), [training._member() for training in group], images)
    layers = [training._network.layers(training._average) for training in group]
    correct = [0] * len(group)
    activation = one._configuration["activation"]
    with _autocast(one._precision):
        for batch, labels in in_order(images, _EVALUATION_BATCH):
            for i, scores in enumerate(logits(layers, normalised(batch), activation)):
                correct[i] += int((scores.argmax(1) == labels).sum())
    return [n / len(images) for n in correct]


def _autocast(precision: Precision) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")


def resolve_precision(precision: Literal["auto", "f32", "bf16"], device: str) -> Precision:
    """Turn `auto` into bf16 on a GPU and where the CPU has AMX for it, else into f32.

    Without AMX bfloat16 is slower than 32 bits, also on CPUs with AVX512_BF16.
    """
    if precision != "auto":
        return precision
    if device != "cpu":
        return "bf16"
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
