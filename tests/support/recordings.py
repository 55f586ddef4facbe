"""Small tables of recorded trainings."""

import itertools
import math
from pathlib import Path

from hpo_bench.objectives.table.files import Card, write

SPACE = {
    "units": {"low": 4, "high": 64, "log": True},
    "activation": {"choices": ["relu", "tanh"]},
    "rate": {"low": 0.0, "high": 1.0},
    "depth": {"low": 1, "high": 3},
}
LEVELS = {"units": [4, 16, 64], "activation": ["relu", "tanh"], "rate": [0.0, 0.25], "depth": [2]}


def value(units, activation, rate, depth, seed, epoch):
    """After an epoch: better with more units, tanh, a higher rate, a higher seed."""
    return math.log(units) + (activation == "tanh") / 2 + rate - 1 / epoch + seed / 1000


def columns(levels=LEVELS, seeds=(0, 1, 2), epochs=3, keep=lambda row: True):
    rows = [
        {
            **dict(zip(levels, point, strict=True)),
            "seed": seed,
            "epoch": epoch,
            "value": value(*point, seed, epoch),
            "seconds": 10.0 * epoch + seed,
            "test_accuracy": value(*point, seed, epoch) - 0.1,
            "parameters": 7 * point[0],
        }
        for point in itertools.product(*levels.values())
        for seed in seeds
        for epoch in range(1, epochs + 1)
    ]
    return {name: [row[name] for row in rows if keep(row)] for name in rows[0]}


def card(**changes):
    fields = {
        "name": "toy",
        "metric": "validation accuracy",
        "direction": "maximize",
        "fidelity": "epochs",
        "max_fidelity": 3,
        "space": SPACE,
        "data": {"data": "toys", "train_size": 100, "data_sha256": "c0ffee"},
        "made": {"hpo-bench": "0"},
    }
    return Card(**{**fields, **changes})


def toy_table(path: Path, **changes) -> Path:
    write(path, card(), {**columns(), **changes})
    return path
