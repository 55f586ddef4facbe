"""Train named configurations, and keep finished trainings in a file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from hpo_bench.objectives.lenet5 import SPACES, LeNet5
from hpo_bench.objectives.lenet5.batches import batches, normalised
from hpo_bench.objectives.lenet5.model import logits
from hpo_bench.objectives.lenet5.training import Training, _accuracy

from .. import kept

DEFAULT = {"c1": 6, "c3": 16, "c5": 120, "f6": 84, "learning_rate": 2e-3}
WIDE = {"c1": 32, "c3": 64, "c5": 256, "f6": 128, "learning_rate": 2e-3}
C1 = [4, 8, 16, 32]
C3 = [8, 16, 32, 64]
RATES = [2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2]
SEEDS = range(3)
SPACE = {**SPACES["widths"], "learning_rate": {"low": 1e-5, "high": 1.0, "log": True}}
ONE_CYCLE_RATES = [2e-3, 4e-3, 8e-3]
TUNING_SEED = 9
LENGTHS = [1, 3, 9]

Plan = tuple[str, dict[str, Any], int, int, int]
"""(Schedule, configuration, seed, training images, epochs)."""


@dataclass(frozen=True)
class Run:
    """The result of one training.

    Attributes:
        schedule: "ours", or "one-cycle".
        configuration: Name -> value.
        seed: Seed of the training.
        train_size: Number of training images.
        length: Number of epochs.
        validation: Validation accuracy after each epoch (one-cycle: after the last).
        test: Test accuracy after the last epoch.
    """

    schedule: str
    configuration: dict[str, Any]
    seed: int
    train_size: int
    length: int
    validation: list[float]
    test: float

    @property
    def key(self) -> str:
        """The settings that identify a training."""
        return repr((self.schedule, self.configuration, self.seed, self.train_size, self.length))


def train(
    data_dir: str, schedule: str, configuration: dict[str, Any], seed: int, size: int, length: int
) -> Run:
    """Train one configuration."""
    torch.set_num_threads(1)
    objective = LeNet5(
        SPACE, data="imagefolder", data_dir=data_dir, train_size=size, epochs=length, seed=seed
    )
    training = objective.start(configuration)
    if schedule == "ours":
        values = [training.advance() for _ in range(length)]
    else:
        values = [_one_cycle(training, length)]
    test = training.measurements()["test_accuracy"]
    return Run(schedule, configuration, seed, size, length, values, test)


def _one_cycle(training: Training, length: int) -> float:
    """Train with the usual schedule for a known number of epochs, and validate the last weights.

    The rate rises over a tenth of the steps and falls along a cosine (Smith and Topin, "Super-
    convergence", 2019). Everything else is as in the objective.
    """
    configuration, data = training._configuration, training._data
    weights = training._tensors["weights"].requires_grad_()
    optimizer = torch.optim.AdamW(
        [weights],
        lr=configuration["learning_rate"],
        betas=(configuration["momentum"], 0.999),
        weight_decay=configuration["weight_decay"],
    )
    size = configuration["batch_size"]
    total = length * (len(data.train) // size)
    step = 0
    for epoch in range(length):
        order = training._generator(1, epoch)
        for batch, labels in batches(data.train, size, configuration["augmentation"], order):
            step += 1
            optimizer.param_groups[0]["lr"] = configuration["learning_rate"] * _height(step / total)
            layers = training._network.layers(weights)
            (scores,) = logits([layers], normalised(batch), configuration["activation"])
            optimizer.zero_grad()
            functional.cross_entropy(scores, labels).backward()
            optimizer.step()
    training._tensors["average"].copy_(weights.detach())
    return _accuracy(training, data.validation)


def _height(share: float) -> float:
    if share < 0.1:
        return share / 0.1
    return (1 + math.cos(math.pi * (share - 0.1) / 0.9)) / 2


def plans(train_size: int) -> Iterator[Plan]:
    """List every training of the figure: widths, rates, seeds."""
    for c1, c3, seed in product(C1, C3, SEEDS):
        yield "ours", {**DEFAULT, "c1": c1, "c3": c3}, seed, train_size, 9
    for rate, seed in product(RATES, SEEDS):
        yield "ours", {**DEFAULT, "learning_rate": rate}, seed, train_size, 9
    generator = np.random.default_rng(0)
    for _ in range(24):
        widths = {
            name: round(math.exp(generator.uniform(math.log(r["low"]), math.log(r["high"]))))
            for name, r in SPACES["widths"].items()
        }
        yield "ours", {**DEFAULT, **widths}, 0, train_size, 9
    for seed in range(3, 10):
        yield "ours", DEFAULT, seed, train_size, 9


def schedule_plans(train_size: int) -> Iterator[Plan]:
    """List every training of the comparison with one-cycle that needs no tuned rate."""
    for network in (DEFAULT, WIDE):
        for seed in SEEDS:
            yield "ours", network, seed, train_size, max(LENGTHS)
        for rate, length in product(ONE_CYCLE_RATES, LENGTHS):
            yield "one-cycle", {**network, "learning_rate": rate}, TUNING_SEED, train_size, length


def tuned_plans(runs: Sequence[Run], train_size: int) -> Iterator[Plan]:
    """List the one-cycle trainings of each network and length, at the tuned rate."""
    for network, length in product((DEFAULT, WIDE), LENGTHS):
        rate = tuned_rate(runs, network, train_size, length)
        for seed in SEEDS:
            yield "one-cycle", {**network, "learning_rate": rate}, seed, train_size, length


def tuned_rate(runs: Sequence[Run], network: dict[str, Any], train_size: int, length: int) -> float:
    """Give the tuned one-cycle rate: the best on validation, for a separate seed."""
    tried = [
        run
        for run in runs
        if (run.schedule, run.seed, run.train_size) == ("one-cycle", TUNING_SEED, train_size)
        and run.length == length
        and {**run.configuration, "learning_rate": 0} == {**network, "learning_rate": 0}
    ]
    best = max(tried, key=lambda run: run.validation[-1])
    return float(best.configuration["learning_rate"])


def run_all(plan: Iterable[Plan], data_dir: str, path: Path, workers: int) -> None:
    """Do the trainings that the file does not contain."""
    done = {run.key for run in read(path)}
    unique = {repr(item): item for item in plan}
    todo = [(data_dir, *item) for key, item in unique.items() if key not in done]
    kept.append(path, train, todo, workers)


def read(path: Path) -> list[Run]:
    """Read the finished trainings."""
    return [Run(**run) for run in kept.read(path)]
