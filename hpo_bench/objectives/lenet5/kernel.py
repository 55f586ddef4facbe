"""Training by the compiled kernel: Python's calls of the C sources in `c/`."""

from __future__ import annotations

import ctypes
import time
from importlib.resources import files
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives.lenet5 import compiler
from hpo_bench.objectives.lenet5.batches import Plan
from hpo_bench.objectives.lenet5.data import Images
from hpo_bench.objectives.lenet5.epoch import DECAY, WARM_UP, Engine, Epoch
from hpo_bench.objectives.lenet5.model import Network, Precision
from hpo_bench.objectives.lenet5.optimizer import EPSILON, SQUARE_DECAY, initial_state
from hpo_bench.spaces import Configuration

SOURCES = (
    "vectors.h",
    "activations.h",
    "network.h",
    "images.h",
    "convolution.h",
    "winograd.h",
    "dense.h",
    "optimizer.h",
    "lenet5.c",
)
"""C sources, which are compiled as one file in this order."""
# Of -ffast-math only the parts that respect NaN and infinity: a diverged training must show them.
# With -fno-math-errno, square roots are vectorised.
FLAGS = (
    "-std=gnu11", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math",
    "-fPIC", "-shared", "-lm",
)  # fmt: skip
ACTIVATIONS = ("relu", "leaky_relu", "tanh", "gelu", "silu")
OPTIMIZERS = ("sgd", "adam", "adamw")
STATES = ("weights", "average", "momentum", "square")

_FUNCTIONS = ("space_needed", "train", "classify")

_AT_ONCE = 1024
"""Most images of one call (or one batch, if that is larger): Python handles signals only between
calls. A call does not hold Python's global lock."""


class _Shape(ctypes.Structure):
    """The C struct of a network's shapes: same fields in the same order as in `c/`."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in ("c1", "c3", "c5", "f6", "classes", "activation", "is_bf16")
    ]


class _Recipe(ctypes.Structure):
    """The C struct of the settings of some training steps: same fields in the same order."""

    _fields_ = [
        *(
            (name, ctypes.c_int64)
            for name in (
                "optimizer", "batch_size", "first_batch", "n_batches", "step", "warm_up",
                "average_decay",
            )
        ),
        *(
            (name, ctypes.c_double)
            for name in (
                "learning_rate", "momentum", "weight_decay", "square_decay", "epsilon", "dropout",
                "label_smoothing",
            )
        ),
        ("seed", ctypes.c_uint64),
    ]  # fmt: skip


class _Selection(ctypes.Structure):
    """The C struct of the addresses of some images and of their augmentation; null for none."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("pixels", "order", "flipped", "down", "right")]


def source() -> bytes:
    """Return the kernel's C source as one file; `#line` keeps the names of the single files."""
    folder = files(__package__) / "c"
    return b"".join(
        f'#line 1 "{name}"\n'.encode() + (folder / name).read_bytes() for name in SOURCES
    )


class Kernel:
    """An `Engine` that uses compiled code.

    Args:
        library: The compiled kernel.
    """

    def __init__(self, library: compiler.Library) -> None:
        self.identity = library.identity
        self.how = f"compiled ({library.identity}) by {library.why}"
        self._fastest: Precision | None = None
        self._library = library.handle
        self._library.space_needed.restype = ctypes.c_int64

    @classmethod
    def compiled(cls, reference: Engine, flags: tuple[str, ...] = FLAGS) -> Kernel:
        """Compile the kernel, and compare one training step with a reference.

        Args:
            reference: The engine whose gradient the kernel must give.
            flags: Flags of the compiler.

        Raises:
            HpoBenchError: No compiler makes the kernel, or its gradient differs from that of the
                reference by more than a thousandth of the largest component.
        """
        kernel = cls(compiler.load("lenet5", source(), flags, _FUNCTIONS))
        one, other = (_trial(engine) for engine in (kernel, reference))
        if not torch.allclose(one, other, atol=1e-3 * float(other.abs().max())):
            raise HpoBenchError(f"the compiled kernel ({kernel.identity}) gives other values")
        return kernel

    def train(
        self,
        network: Network,
        configuration: Configuration,
        precision: Precision,
        tensors: dict[str, Tensor],
        epoch: Epoch,
    ) -> None:
        """Train a network for one epoch, see `Engine.train`."""
        shape = _shape(network, configuration, precision)
        space = self._space(shape)
        pixels = np.ascontiguousarray(epoch.images.source)
        states = (ctypes.c_void_p * 4)(*(_address(tensors.get(name)) for name in STATES))
        n_batches, size = epoch.plan.order.shape
        at_once = max(1, _AT_ONCE // size)
        for first in range(0, n_batches, at_once):
            plan = _part(epoch.plan, slice(first, first + at_once))
            labels = torch.from_numpy(epoch.images.source_labels)[plan.order]
            recipe = _recipe(configuration, epoch, first, len(plan.order))
            selection, kept = _selection(pixels, plan)
            self._library.train(
                ctypes.byref(shape),
                ctypes.byref(recipe),
                ctypes.byref(selection),
                _address(labels),
                states,
                ctypes.c_void_p(space.ctypes.data),
            )
            del kept  # not earlier: C reads these tensors by their addresses

    def classify(
        self,
        network: Network,
        configuration: Configuration,
        precision: Precision,
        weights: Tensor,
        images: Images,
    ) -> Tensor:
        """Return the predicted class of each image, shape (n,), int64."""
        shape = _shape(network, configuration, precision)
        space = self._space(shape)
        pixels = np.ascontiguousarray(images.source)
        classes = torch.empty(len(images), dtype=torch.int64)
        for first in range(0, len(images), _AT_ONCE):
            rows = np.ascontiguousarray(images.rows[first : first + _AT_ONCE])
            selection = _Selection(pixels.ctypes.data, rows.ctypes.data, None, None, None)
            self._library.classify(
                ctypes.byref(shape),
                _address(weights),
                ctypes.byref(selection),
                ctypes.c_int64(len(rows)),
                _address(classes[first:]),
                ctypes.c_void_p(space.ctypes.data),
            )
        return classes

    def fastest_precision(self) -> Precision:
        """Measure which precision is faster, on a wide C1; later calls return the first result."""
        # Processors that multiply bfloat16 need two thirds of the time of 32 bits here, and others
        # at least the same time. The limit of 0.85 is far from both.
        if self._fastest is None:
            self._fastest = "bf16" if _share_of_time(self) < 0.85 else "f32"
        return self._fastest

    def _space(self, shape: _Shape) -> npt.NDArray[np.uint8]:
        """Return working memory for a network, aligned to 64 bytes: a vector of AVX-512."""
        n = self._library.space_needed(ctypes.byref(shape))
        space = np.empty(n + 64, np.uint8)
        return space[-space.ctypes.data % 64 :]


def _shape(network: Network, configuration: Configuration, precision: Precision) -> _Shape:
    widths = [int(configuration[name]) for name in ("c1", "c3", "c5", "f6")]
    activation = ACTIVATIONS.index(configuration["activation"])
    return _Shape(*widths, network.n_classes, activation, precision == "bf16")


def _recipe(configuration: Configuration, epoch: Epoch, first: int, n_batches: int) -> _Recipe:
    return _Recipe(
        optimizer=OPTIMIZERS.index(configuration["optimizer"]),
        batch_size=epoch.plan.order.shape[1],
        first_batch=first,
        n_batches=n_batches,
        step=epoch.step + first,
        warm_up=WARM_UP,
        average_decay=DECAY,
        learning_rate=configuration["learning_rate"],
        momentum=configuration["momentum"],
        weight_decay=configuration["weight_decay"],
        square_decay=SQUARE_DECAY,
        epsilon=EPSILON,
        dropout=configuration["dropout"],
        label_smoothing=configuration["label_smoothing"],
        seed=epoch.dropout_seed,
    )


def _part(plan: Plan, some: slice) -> Plan:
    moves = None if plan.moves is None else plan.moves[some]
    return Plan(plan.order[some], plan.flipped[some], moves)


def _selection(pixels: npt.NDArray[np.uint8], plan: Plan) -> tuple[_Selection, tuple[Any, ...]]:
    """Return the struct that C reads, and the tensors that must live as long as it is used."""
    order, flipped = plan.order.contiguous(), plan.flipped.to(torch.uint8)
    down = right = None
    if plan.moves is not None:
        down, right = (plan.moves[:, axis].contiguous() for axis in (0, 1))
    kept = (order, flipped, down, right)
    return _Selection(pixels.ctypes.data, *(_address(tensor) for tensor in kept)), kept


def _address(tensor: Tensor | None) -> ctypes.c_void_p | None:
    if tensor is None:
        return None
    assert tensor.is_contiguous()
    return ctypes.c_void_p(tensor.data_ptr())


def _trial(engine: Engine) -> Tensor:
    """Make one step of a small network; return its gradient, which is SGD's first momentum."""
    configuration = _TRIAL | {"c1": 3, "c3": 5, "c5": 9, "f6": 7, "batch_size": 8}
    network = Network(configuration, 10)
    weights = network.initial(torch.Generator().manual_seed(0))
    tensors = {"weights": weights, "average": weights.clone()}
    tensors |= initial_state(weights, configuration)
    images = _noise(8)
    order = torch.arange(8).view(1, 8)
    plan = Plan(order, order % 2 == 0, torch.arange(16).view(1, 2, 8) % 9)
    engine.train(network, configuration, "f32", tensors, Epoch(images, plan, 1, 0))
    return tensors["momentum"]


def _share_of_time(engine: Engine) -> float:
    """Measure the time of bfloat16 as a share of that of 32 bits, for a block of images."""
    # The median of ratios: other work on the machine slows down both halves of a pair alike.
    configuration = _TRIAL | {"c1": 96, "c3": 1, "c5": 1, "f6": 1, "activation": "relu"}
    network, images = Network(configuration, 10), _noise(16)
    weights = network.initial(torch.Generator().manual_seed(0))

    def seconds(precision: Precision) -> float:
        started = time.thread_time()
        engine.classify(network, configuration, precision, weights, images)
        return time.thread_time() - started

    return median(seconds("bf16") / seconds("f32") for _ in range(11))


_TRIAL: Configuration = {
    "activation": "gelu", "optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9,
    "weight_decay": 0.0, "dropout": 0.25, "label_smoothing": 0.1,
}  # fmt: skip


def _noise(n: int) -> Images:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), np.uint8)
    return Images.all_of(pixels, np.arange(n) % 10)
