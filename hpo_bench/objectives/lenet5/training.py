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
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

import numpy as np
import torch

from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives.base import Evaluation
from hpo_bench.objectives.lenet5.batches import Plan, planned
from hpo_bench.objectives.lenet5.data import Data, Images
from hpo_bench.objectives.lenet5.engine import engine
from hpo_bench.objectives.lenet5.epoch import Epoch
from hpo_bench.objectives.lenet5.model import Network, Precision
from hpo_bench.objectives.lenet5.optimizer import initial_state
from hpo_bench.objectives.lenet5.stack import Member, Stack
from hpo_bench.objectives.lenet5.stack_step import STATES
from hpo_bench.objectives.lenet5.stacking import stacks
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
        weights = self._network.initial(self._generator(_INITIAL, 0))
        self._tensors = {"weights": weights, "average": weights.clone()}
        self._tensors |= initial_state(weights, configuration)
        self._step = 0
        self._place: _Place | None = None

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
            average = self._current("average")["average"]
            return {
                "test_accuracy": _accuracy(self, self._data.test),
                "parameters": average.numel(),
                "diverged": float(not average.isfinite().all()),
            }

    def checkpoint(self) -> bytes:
        """Pack weights, average, optimizer state and epoch, readable without running code."""
        buffer = io.BytesIO()
        optimizer = dict(self._current())
        state = {
            "identity": self._identity(),
            "epoch": self.fidelity,
            "step": self._step,
            "weights": optimizer.pop("weights"),
            "average": optimizer.pop("average"),
            "optimizer": optimizer,
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
        self._tensors = {name: state[name] for name in ("weights", "average")}
        self._tensors |= state["optimizer"]
        self._place = None
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

    @property
    def _is_stacked(self) -> bool:
        return self._device.type != "cpu"

    def _current(self, *names: str) -> dict[str, torch.Tensor]:
        """Give its tensors here, of which these (all, if none is named) are up to date."""
        if self._place is not None:
            self._place.stack.fetch(self._place.row, names or STATES)
        return self._tensors

    def _member(self) -> Member:
        return Member(self._configuration, self._network, self._tensors)

    def _plan(self, size: int, augmentation: str) -> Plan:
        images = self._data.train
        return planned(images, size, augmentation, self._generator(_ORDER, self.fidelity))

    @property
    def _dropout_seed(self) -> int:
        return self._generator(_DROPOUT, self.fidelity).initial_seed()


@dataclass(frozen=True)
class _Place:
    """Where on a device the tensors of a training are."""

    stack: Stack
    row: int


def advance_together(trainings: Sequence[Training]) -> list[float]:
    """Train each one epoch further: on a CPU one after another, on a GPU in stacks.

    Returns:
        What `Training.advance` returns, of each.
    """
    with _one_thread():
        for stack, group in _stacked([t for t in trainings if t._is_stacked]):
            _train_stack(stack, group)
        for training in trainings:
            if not training._is_stacked:
                _train_epoch(training)
        return [_accuracy(training, training._data.validation) for training in trainings]


def _train_epoch(one: Training) -> None:
    configuration = one._configuration
    plan = one._plan(configuration["batch_size"], configuration["augmentation"])
    epoch = Epoch(one._data.train, plan, one._dropout_seed, one._step)
    engine().train(one._network, configuration, one._precision, one._tensors, epoch)
    one.fidelity += 1
    one._step += len(plan.order)


def _train_stack(stack: Stack, group: Sequence[Training]) -> None:
    """Train some members of a stack; the others, which are done or stopped, leave it."""
    one, steps = group[0], [0] * len(stack.members)
    rows = {training._place.row for training in group if training._place is not None}
    for row in stack.held - rows:
        stack.release(row)
    for training in group:
        assert training._place is not None
        steps[training._place.row] = training._step
    # Its order, and what is flipped and moved how far, are those of every size of batch.
    plan = one._plan(1, "flip+crop")
    stack.train(one._data.train, plan, one._dropout_seed, steps)
    for training in group:
        training.fidelity += 1
        training._step += len(one._data.train) // training._configuration["batch_size"]


def _stacked(trainings: Sequence[Training]) -> list[tuple[Stack, list[Training]]]:
    """Give the stacks that trainings are in, and make some for those that are in none."""
    together: dict[int, list[Training]] = {}
    for training in trainings:
        place = training._place
        is_held = place is not None and place.row in place.stack.held
        together.setdefault(id(place.stack) if place and is_held else 0, []).append(training)
    alone, found = together.pop(0, []), []
    for group in together.values():
        assert group[0]._place is not None
        stack = group[0]._place.stack
        if 2 * len(group) >= len(stack.members):
            found.append((stack, group))
        else:  # most of what it computes would be for nobody
            for row in list(stack.held):
                stack.release(row)
            alone += group
    return found + _new_stacks(alone)


def _new_stacks(trainings: Sequence[Training]) -> list[tuple[Stack, list[Training]]]:
    alike: dict[tuple[Any, ...], list[Training]] = {}
    for training in trainings:
        key = (id(training._data), training._seed, training.fidelity, training._precision)
        alike.setdefault(key, []).append(training)
    groups = [
        # Those of one activation stand together.
        sorted((group[i] for i in rows), key=lambda t: str(t._configuration["activation"]))
        for group in alike.values()
        for rows in stacks([training._configuration for training in group])
    ]
    return [(_stack_of(group), group) for group in groups]


def _stack_of(group: Sequence[Training]) -> Stack:
    members = [training._member() for training in group]
    stack = Stack(members, group[0]._precision, group[0]._device)
    for row, training in enumerate(group):
        training._place = _Place(stack, row)
    return stack


def _accuracy(one: Training, images: Images) -> float:
    """Measure the averaged weights; those of a stack are measured together, once."""
    if one._is_stacked:
        place = one._place
        if place is None or place.row not in place.stack.held:
            place = _Place(Stack([one._member()], one._precision, one._device), 0)
        return place.stack.accuracies(images)[place.row]
    network, average = one._network, one._tensors["average"]
    classes = engine().classify(network, one._configuration, one._precision, average, images)
    return int((classes == torch.from_numpy(images.labels)).sum()) / len(images)


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
