"""BOHB at work on a synthetic function."""

from __future__ import annotations

from functools import partial
from typing import Any

import driver
import optuna
from driver import SPACE, Function, valley

from hpo_bench.bridges.hpbandster import bohb
from hpo_bench.search import Job, Setup
from hpo_bench.spaces import Space


def new_search(study: optuna.Study, *, space: Space = SPACE, seed: int = 0, **options: Any):
    options = {"max_epochs": 9, "num_samples": 16, "strict": True, **options}
    return bohb(Setup(study, space, seed, max_fidelity=options["max_epochs"]), **options)


def run(study: optuna.Study, epochs: int, function: Function = valley, **options: Any) -> list[Job]:
    return driver.run(partial(new_search, **options), study, epochs, function)
