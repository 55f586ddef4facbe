"""LeNet5 as an objective: what may be searched, and which images decide."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection

from hpo_bench.errors import InputError, MissingExtraError, one_of
from hpo_bench.objectives.base import Evaluation, Objective
from hpo_bench.objectives.lenet5 import data as images
from hpo_bench.spaces import Configuration, Parameter, Space, check_value, contains, resolve

if TYPE_CHECKING:
    from hpo_bench.objectives.lenet5.training import Training

PARAMETERS: dict[str, Parameter] = {
    "c1": Parameter(6, IntDistribution(1, 256)),
    "c3": Parameter(16, IntDistribution(1, 512)),
    "c5": Parameter(120, IntDistribution(1, 2048)),
    "f6": Parameter(84, IntDistribution(1, 2048)),
    "learning_rate": Parameter(2e-3, FloatDistribution(1e-6, 10.0)),
    "batch_size": Parameter(64, IntDistribution(8, 1024)),
    "optimizer": Parameter("adamw", CategoricalDistribution(["adamw", "adam", "sgd"])),
    "momentum": Parameter(0.9, FloatDistribution(0.0, 0.999)),
    "weight_decay": Parameter(1e-2, FloatDistribution(0.0, 1.0)),
    "dropout": Parameter(0.0, FloatDistribution(0.0, 0.9)),
    "activation": Parameter(
        "relu", CategoricalDistribution(["relu", "leaky_relu", "tanh", "gelu", "silu"])
    ),
    "augmentation": Parameter("flip", CategoricalDistribution(["none", "flip", "flip+crop"])),
    "label_smoothing": Parameter(0.0, FloatDistribution(0.0, 0.9)),
}
"""Every hyperparameter: classic widths and sound defaults, and all values that are legal.

`c1, c3, c5` are the output channels of the convolutions, `f6` the size of the dense layer.
`momentum` is that of sgd and the first beta of adam and adamw; `weight_decay` is decoupled from
the gradient for adamw only.
"""

_WIDTHS: dict[str, Any] = {
    "c1": {"low": 4, "high": 64, "log": True},
    "c3": {"low": 8, "high": 128, "log": True},
    "c5": {"low": 32, "high": 512, "log": True},
    "f6": {"low": 32, "high": 512, "log": True},
}
SPACES: dict[str, dict[str, Any]] = {
    "widths": _WIDTHS,
    "full": _WIDTHS
    | {
        "learning_rate": {"low": 2e-4, "high": 2e-2, "log": True},
        "weight_decay": {"low": 1e-5, "high": 1e-1, "log": True},
        "dropout": {"low": 0.0, "high": 0.5},
        "activation": {"choices": ["relu", "tanh", "gelu"]},
        "batch_size": {"low": 32, "high": 256, "log": True},
        "label_smoothing": {"low": 0.0, "high": 0.2},
        "augmentation": {"choices": ["none", "flip", "flip+crop"]},
    },
}
"""Spaces that have a name."""

Precision = Literal["auto", "f32", "bf16"]
Device = Literal["cpu", "cuda"]


class LeNet5(Objective):
    """Validation accuracy of LeNet5 after training for some epochs: to be maximised.

    The same configuration under the same seed has the same value in every process, in any order,
    on machines with the same kernel: compiler, instruction set, version of the package.
    Nothing is loaded, and torch is not imported, before `prepare` or the first evaluation.

    Example:
        A plain Optuna objective, too.

        >>> study = optuna.create_study(direction="maximize")
        >>> study.optimize(LeNet5(data="shapes", train_size=3000, epochs=3), n_trials=20)
    """

    metric_name = "validation accuracy"
    fidelity_name = "epochs"
    has_test = True

    def __init__(
        self,
        space: str | Mapping[str, Any] | None = None,
        *,
        data: images.Source = "shapes",
        data_dir: str | Path | None = None,
        train_size: int | None = None,
        validation_size: int = 5000,
        test_size: int | None = None,
        epochs: int = 9,
        seed: int = 0,
        split_seed: int = 0,
        splits: int = 1,
        precision: Precision = "auto",
        device: Device = "cpu",
    ) -> None:
        """Check the settings.

        Args:
            space: `"widths"` (default), `"full"`, or name -> fixed value or range as in
                `hpo_bench.spaces`, the names being those of `PARAMETERS`.
            data: `"cifar10"`, `"imagefolder"` or `"shapes"` (generated; not a real data set).
            data_dir: Of `cifar10`: where it is, or is downloaded to (default: `HPO_BENCH_DATA`,
                else the user's cache directory). Of `imagefolder`: holds `train/<class>/*` and
                `test/<class>/*`. `shapes` needs none.
            train_size: Images to train on (default: all that remain; `shapes`: 10,000).
            validation_size: Images cut from the training images to measure the value on.
            test_size: Images to measure the test accuracy on (default: all; `shapes`: 2,000).
            epochs: Passes over the training images of a full evaluation.
            seed: Of training: initial weights, order of images, augmentation, dropout.
            split_seed: Of the validation split (`shapes`: also of the images); what is compared
                must share it, and with `shapes` the sizes, as other sizes give other images.
            splits: Sets of validation images, of which `seed` chooses one (`seed` modulo `splits`);
                no two share an image. Differences that are means over seeds then rest on
                `splits * validation_size` images: the standard error of an accuracy of .62 on
                5,000 images is .007, on 25,000 it is .003.
            precision: `"bf16"` rounds what C1 and C5 multiply to bfloat16 (on a GPU: what all
                layers do); `"auto"` does so on a GPU and where it is faster on this CPU, which is
                measured, else `"f32"`.
            device: Where networks are trained; `"cuda"` pays off for many at once
                (`batch_size` in a suite).

        Raises:
            InputError: A setting cannot be used; the text says what would be right.
            MissingExtraError: torch is not installed.
        """
        self._space, self._fixed = resolve(PARAMETERS, _given(space))
        _check_choice("data", data, images.SOURCES)
        _check_choice("precision", precision, get_args(Precision))
        _check_choice("device", device, get_args(Device))
        _check_whole("validation_size", validation_size, 1)
        _check_whole("epochs", epochs, 1)
        _check_whole("seed", seed, 0)
        _check_whole("split_seed", split_seed, 0)
        _check_whole("splits", splits, 1)
        if test_size is not None:
            _check_whole("test_size", test_size, 1)
        if train_size is not None:
            _check_whole("train_size", train_size, 1)
            self._check_batches(train_size)
        if data == "shapes":
            for field, size in (
                ("train_size", train_size),
                ("validation_size", validation_size),
                ("test_size", test_size),
            ):
                if size is not None and size > MAX_SHAPES:
                    raise InputError(field, size, f"{MAX_SHAPES:,} images at most are generated")
        if not isinstance(data_dir, str | Path | None):
            raise InputError("data_dir", data_dir, "expected a path")
        if data == "imagefolder" and data_dir is None:
            raise InputError("data_dir", None, "name the directory that holds train/ and test/")
        if importlib.util.find_spec("torch") is None:
            raise MissingExtraError("the objective LeNet5", "lenet5", "torch")
        self.max_fidelity = epochs
        self._seed = seed
        self._precision = precision
        self._device = device
        self._request = images.Request(
            source=data,
            directory=None if data_dir is None else Path(data_dir).expanduser(),
            train_size=train_size,
            validation_size=validation_size,
            test_size=test_size,
            split_seed=split_seed,
            splits=splits,
            split=seed % splits,
        )

    @property
    def search_space(self) -> Space:
        """What may be varied: name -> Optuna distribution."""
        return dict(self._space)

    @property
    def directions(self) -> list[StudyDirection]:
        """Accuracy is to be maximised."""
        return [StudyDirection.MAXIMIZE]

    @property
    def default(self) -> Configuration | None:
        """The defaults of `PARAMETERS` for what is searched; None if one is outside its range."""
        default = {name: PARAMETERS[name].default for name in self._space}
        return default if contains(self._space, default) else None

    def start(self, configuration: Configuration) -> Training:
        """Begin to train a configuration.

        Raises:
            InputError: A name of the search space is missing, another is given, or a value is
                not legal.
        """
        from hpo_bench.objectives.lenet5.training import Training, resolve_precision

        if configuration.keys() != self._space.keys():
            names = ", ".join(self._space)
            raise InputError("configuration", configuration, f"expected a value of each: {names}")
        values = {
            name: check_value(f"configuration.{name}", value, PARAMETERS[name].legal)
            for name, value in (self._fixed | configuration).items()
        }
        self._check_device()
        precision = resolve_precision(self._precision, self._device)
        return Training(values, self._load(), self._seed, precision, self._device)

    def restore(self, configuration: Configuration, checkpoint: bytes) -> Training:
        """Go on from a checkpoint, bitwise as if training had never stopped.

        Raises:
            HpoBenchError: The checkpoint belongs to another configuration, seed, precision or data.
        """
        training = self.start(configuration)
        training.resume(checkpoint)
        return training

    def advance_many(self, evaluations: Sequence[Evaluation]) -> list[float]:
        """Train each one epoch further, on a GPU those that are alike in stacks.

        Each comes out as if it had trained alone; in stacks up to rounding.
        """
        from hpo_bench.objectives.lenet5.training import Training, advance_together

        trainings = [t for t in evaluations if isinstance(t, Training)]
        if len(trainings) < len(evaluations):
            raise TypeError("LeNet5 advances only what its own start or restore has given")
        return advance_together(trainings)

    def machine(self) -> Mapping[str, Any]:
        """Say which GPU there is, or how a CPU trains and why: what time depends on."""
        if self._device == "cuda":
            import torch

            return {"gpu": torch.cuda.get_device_name()}
        from hpo_bench.objectives.lenet5.engine import engine

        return {"training": engine().how}

    def n_gpus(self) -> int:
        """As many as CUDA shows, if it trains there."""
        if self._device == "cpu":
            return 0
        import torch

        return torch.cuda.device_count()

    def provide(self) -> None:
        """Download or decode the images, if that is still to be done.

        Raises:
            HpoBenchError: They are not there, broken, or too few; the text says what to do.
            InputError: There is no such device.
        """
        self._check_device()
        if self._request.source != "shapes":
            self._load()

    def prepare(self) -> None:
        """Import torch and load the images, so that no evaluation is charged for it.

        Raises:
            HpoBenchError: The images are not there or broken; the text says what to do.
            InputError: There is no such device.
        """
        from hpo_bench.objectives.lenet5.training import identity_on

        self._check_device()
        identity_on(self._device)  # compiles, the first time
        self._load()

    def describe(self) -> Mapping[str, Any]:
        """Say which images were used and how (loads them), and in which precision."""
        from hpo_bench.objectives.lenet5.training import identity_on, resolve_precision

        data = self._load()
        request = self._request
        named = {
            "cifar10": "CIFAR-10",
            "imagefolder": f"image folder with sha256 {data.sha256[:8]}",
            "shapes": "shapes (generated data, not a real data set)",
        }
        return {
            "data": named[request.source],
            "data_sha256": data.sha256,
            "classes": len(data.classes),
            "train_size": len(data.train),
            "validation_size": len(data.validation),
            "test_size": len(data.test),
            "split_seed": request.split_seed,
            "splits": request.splits,
            "epochs": self.max_fidelity,
            "fixed": dict(self._fixed),
            "precision": resolve_precision(self._precision, self._device),
            "kernel": identity_on(self._device),
            "device": "cpu, one thread" if self._device == "cpu" else self._device,
        }

    def _load(self) -> images.Data:
        data = images.load(self._request)
        self._check_batches(len(data.train))
        return data

    def _check_device(self) -> None:
        if self._device == "cpu":
            return
        import torch

        if not torch.cuda.is_available():
            raise InputError("device", self._device, "torch sees no CUDA device here; 'cpu' works")

    def _check_batches(self, train_size: int) -> None:
        size = self._space.get("batch_size")
        if size is None:
            largest = self._fixed["batch_size"]
        elif isinstance(size, CategoricalDistribution):
            largest = max(int(str(choice)) for choice in size.choices)
        else:
            assert isinstance(size, IntDistribution)
            largest = size.high
        if train_size < largest:
            raise InputError(
                "train_size", train_size, f"a batch of up to {largest} needs as many images"
            )


def _given(space: str | Mapping[str, Any] | None) -> Mapping[str, Any]:
    if space is None:
        return SPACES["widths"]
    if isinstance(space, str):
        _check_choice("space", space, SPACES)
        return SPACES[space]
    return space


def _check_choice(field: str, value: Any, allowed: Any) -> None:
    if value not in list(allowed):
        raise InputError(field, value, one_of(str(value), allowed))


MAX_SHAPES = 1_000_000
"""Generated images of each kind: 3 GB in memory."""


def _check_whole(field: str, value: Any, low: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise InputError(field, value, f"expected a whole number of {low} or more")
