"""Objectives that do what no objective should."""

import os
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from toy import SPACE, Curve

from hpo_bench.objectives import Evaluation, Objective

ODD_AT = 1
"""The value of x at which they do it."""


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Panic(BaseException):
    """As libraries in other languages raise it."""


def recurse(depth=0):
    return recurse(depth + 1)


def parse(text):
    try:
        return int(text)
    except ValueError as error:
        raise RuntimeError("no number in the file") from error


def raising(error):
    def act():
        raise error

    return act


ACTS = {
    "mute": raising(MuteError()),
    "unprintable": raising(RuntimeError("half \ud800 and nothing \0")),
    "long": raising(RuntimeError("x" * 1_000_000)),
    "secret": raising(RuntimeError("no answer from postgresql://me:hunter2@host/bench")),
    "exit": lambda: sys.exit(3),
    "panic": raising(Panic("it panicked")),
    "recursion": recurse,
    "cause": lambda: parse("seven"),
}
"""What `advance` does instead of giving a value."""

VALUES = {
    "None": None,
    "text": "0.5",
    "truth": True,
    "complex": 1j,
    "list": [0.5],
    "array": np.array([1.0, 2.0]),
    "huge": 10**400,
    "object": object(),
    "NumPy's": np.float32(0.5),
    "NumPy's text": np.str_("0.5"),
    "zero dimensions": np.array(0.5),
    "array of one": np.array([0.5]),
    "fraction": Fraction(1, 2),
    "whole": 2,
}
"""What `advance` gives."""

MEASUREMENTS = {
    "array": {"m": np.array([1, 2])},
    "text": {"m": "much"},
    "complex": {"m": 1j},
    "truth": {"m": np.bool_(True)},
    "huge": {"m": 10**400},
    "nothing": {"m": None},
    "no name": {"": 1},
    "long name": {"x" * 513: 1},
    "NUL": {"a\0b": 1},
    "half a character": {"\ud800": 1},
    "number for a name": {3: 1},
    "taken": {"error": 1},
    "no mapping": 7,
    "good": {"nan": float("nan"), "i": np.int64(3), "f": np.float32(0.5), "big": 2**70},
}
"""What `measurements` gives."""

BEINGS = ("nobody", "stands still", "leaps", "broken", "endless", "text to go on from")
"""What is wrong with the evaluation itself."""


class Odd(Objective):
    """A line; where x is `ODD_AT`, one thing is odd."""

    def __init__(self, act=None, value=None, measurement=None, being=None, epochs=1):
        self.act, self.value, self.measurement, self.being = act, value, measurement, being
        self.max_fidelity = epochs

    @property
    def search_space(self):
        return {"x": IntDistribution(0, 3)}

    def start(self, configuration):
        is_odd = configuration["x"] == ODD_AT
        if is_odd and self.being == "nobody":
            return None
        made = _Broken if is_odd and self.being == "broken" else _Point
        return made(self, configuration["x"], is_odd)


class _Point(Evaluation):
    def __init__(self, odd, x, is_odd):
        self.x = x
        self.act = odd.act if is_odd else None
        self.value = VALUES[odd.value] if is_odd and odd.value else x
        self.measurement = odd.measurement if is_odd else None
        self.being = odd.being if is_odd else None
        if self.being == "endless":
            self.simulated_seconds = "long"

    def advance(self):
        if self.act is not None:
            ACTS[self.act]()
        step = {"stands still": 0, "leaps": 2, "broken": 0}.get(self.being, 1)
        if step:
            self.fidelity += step
        return self.value

    def measurements(self):
        return {} if self.measurement is None else MEASUREMENTS[self.measurement]

    def checkpoint(self):
        return "text" if self.being == "text to go on from" else None


class _Broken(_Point):
    @property
    def fidelity(self):
        raise RuntimeError("no fidelity")


SPACES = {
    "NUL": lambda: {"a\0b": FloatDistribution(0, 1)},
    "long": lambda: {"x" * 513: FloatDistribution(0, 1)},
    "half a character": lambda: {"\ud800": FloatDistribution(0, 1)},
    "tuple": lambda: {"x": CategoricalDistribution(((1, 2), (3, 4)))},
    "object": lambda: {"x": CategoricalDistribution((np.int64(1), np.int64(2)))},
}


SAYINGS = {
    None: {},
    "array": {"data": np.zeros(2)},
    "NUL": {"a\0b": 1},
    "not a number": {"noise": float("nan")},
}


class Unstorable(Odd):
    """What it is called, or says of itself, no database takes."""

    def __init__(self, searches=None, metric="value", says=None):
        super().__init__()
        self._searches, self.metric_name, self._says = searches, metric, says

    @property
    def search_space(self):
        return SPACES[self._searches]() if self._searches else super().search_space

    def describe(self):
        return SAYINGS[self._says]


class Wanderer(Curve):
    """Goes elsewhere with its first step; all that is relative must be meant from where it began.

    Args:
        table: A file that is read when the objective is made.
        data_dir: A folder that is read at every step.
        elsewhere: Where it goes.
        options: As the curve's.
    """

    def __init__(self, space=SPACE, seed=0, *, table, data_dir, elsewhere, **options):
        super().__init__(space, seed, **options)
        Path(table).read_text()
        self.data_dir = data_dir
        self.elsewhere = elsewhere

    def start(self, configuration):
        os.chdir(self.elsewhere)
        list(Path(self.data_dir).iterdir())
        return super().start(configuration)
