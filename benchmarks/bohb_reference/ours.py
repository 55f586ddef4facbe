"""The bridge's side of the comparison, with the interface of `stock`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from time import process_time
from typing import Any

import numpy as np
from hpbandster.core.dispatcher import Job

from hpo_bench.bridges.generator import Generator
from hpo_bench.bridges.hpbandster import bohb
from hpo_bench.bridges.options import ModelOptions
from hpo_bench.bridges.unit_cube import decode, encode
from hpo_bench.spaces import Configuration, Space

from .data import Result


@dataclass(frozen=True)
class Pick:
    """One draw from a generator.

    Attributes:
        configuration: The drawn configuration.
        kind: "model", "random", or "fallback" if the model failed.
        cpu_s: CPU time of the draw.
    """

    configuration: Configuration
    kind: str
    cpu_s: float


def default(option: str) -> Any:
    """Give the default of an option of the method bohb."""
    return inspect.signature(bohb).parameters[option].default


def draw(
    space: Space, results: Sequence[Result], seed: int, n: int, options: Mapping[str, Any]
) -> list[Pick]:
    """Tell the results and draw `n` configurations; missing options have their defaults."""
    chosen = {field.name: default(field.name) for field in fields(ModelOptions)}
    generator = Generator(space, ModelOptions(**{**chosen, **options}), seed, strict=False)
    for configuration, budget, loss in results:
        job = Job(None, config=encode(space, configuration), budget=budget)
        job.result = None if loss is None else {"loss": loss}
        generator.learn(job)
    generator.draw((n,))  # the first one fits the model
    return [_pick(space, generator, key) for key in range(n)]


def random_states(seed: int, n: int) -> list[list[int]]:
    """Give the seeds of NumPy's global generator for the draws of `draw`."""
    sequences = (np.random.SeedSequence((seed, key)) for key in range(n))
    return [sequence.generate_state(5)[:4].tolist() for sequence in sequences]


def _pick(space: Space, generator: Generator, key: int) -> Pick:
    started = process_time()
    point, kind = generator.draw((key,))
    cpu_s = process_time() - started
    return Pick(decode(space, point), kind, cpu_s)
