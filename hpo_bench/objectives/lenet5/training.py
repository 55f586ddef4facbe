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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Literal

import numpy as np
import torch

from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives.base import Evaluation
from hpo_bench.objectives.lenet5.batches import planned
from hpo_bench.objectives.lenet5.data import Data, Images
from hpo_bench.objectives.lenet5.engine import engine
from hpo_bench.objectives.lenet5.epoch import DECAY, WARM_UP, Epoch
from hpo_bench.objectives.lenet5.model import Network, Precision
from hpo_bench.objectives.lenet5.optimizer import initial_state
from hpo_bench.objectives.lenet5.stack import (
    Member,
    Recipe,
    accuracies,
    padded_widths,
    train_epoch,
)
from hpo_bench.spaces import Configuration

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
            "kernel": identity_on(self._device.type),
            "data": self._data.sha256,
            "train": sha256(self._data.train.rows.tobytes()).hexdigest(),
        }
        return json.dumps(identity, sort_keys=True)

    def _generator(self, purpose: int, epoch: int) -> torch.Generator:
        sequence = np.random.SeedSequence([self._seed, purpose, epoch])
        return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))

    def _stream(self) -> tuple[Any, ...]:
        """What two trainings must share to be trained in one stack."""
        configuration = self._configuration
        shared = ("batch_size", "augmentation", "activation", "optimizer")
        told = (configuration[name] for name in shared)
        widths = padded_widths(configuration)[:2]
        return (id(self._data), self._seed, self.fidelity, self._precision, *widths, *told)

    @property
    def _is_stacked(self) -> bool:
        return self._device.type != "cpu"

    @property
    def _tensors(self) -> dict[str, torch.Tensor]:
        return {"weights": self._weights, "average": self._average, **self._state}

    def _member(self) -> Member:
        return Member(self._configuration, self._network, self._tensors)

    def _epoch(self) -> Epoch:
        configuration, images = self._configuration, self._data.train
        size, augmentation = configuration["batch_size"], configuration["augmentation"]
        plan = planned(images, size, augmentation, self._generator(_ORDER, self.fidelity))
        seed = self._generator(_DROPOUT, self.fidelity).initial_seed()
        return Epoch(images, plan, seed, self._step)


def advance_together(trainings: Sequence[Training]) -> list[float]:
    """Train each one epoch further: on a CPU one after another, on a GPU those alike in stacks.

    Returns:
        What `Training.advance` returns, of each.
    """
    values: dict[int, float] = {}
    with _one_thread():
        for group in _groups(trainings):
            if group[0]._is_stacked:
                _train_stacked(group)
            else:
                _train_epoch(group[0])
            found = _accuracies(group, group[0]._data.validation)
            values.update(zip(map(id, group), found, strict=True))
    return [values[id(training)] for training in trainings]


def _groups(trainings: Sequence[Training]) -> list[list[Training]]:
    groups: dict[tuple[Any, ...], list[Training]] = {}
    for training in trainings:
        key = training._stream() if training._is_stacked else (id(training),)
        groups.setdefault(key, []).append(training)
    return list(groups.values())


def _train_epoch(one: Training) -> None:
    epoch = one._epoch()
    engine().train(one._network, one._configuration, one._precision, one._tensors, epoch)
    one.fidelity += 1
    one._step += len(epoch.plan.order)


def _train_stacked(group: Sequence[Training]) -> None:
    recipe = _recipe(group)
    members = [training._member() for training in group]
    train_epoch(recipe, members, group[0]._epoch(), warm_up=WARM_UP, decay=DECAY)
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


def _accuracies(group: Sequence[Training], images: Images) -> list[float]:
    """Measure the averaged weights of those that were trained together."""
    one = group[0]
    if one._is_stacked:
        return accuracies(_recipe(group), [training._member() for training in group], images)
    classes = engine().classify(
        one._network, one._configuration, one._precision, one._average, images
    )
    labels = torch.from_numpy(images.labels)
    return [int((classes == labels).sum()) / len(images)]


def resolve_precision(precision: Literal["auto", "f32", "bf16"], device: str) -> Precision:
    """Turn `auto` into bf16 on a GPU, and into what was measured to be faster on a CPU."""
    if precision != "auto":
        return precision
    return engine().fastest_precision() if device == "cpu" else "bf16"


def identity_on(device: str) -> str:
    """Say what computes on a device: results differ in their last digits between two of them."""
    return engine().identity if device == "cpu" else f"torch {torch.__version__}"


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
