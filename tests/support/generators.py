"""Generators that are trainings, as people write them."""

import random

import hpo_bench

CALLS = []
SPACE = {"rate": {"low": 1e-3, "high": 0.9, "log": True}}


def descend(rate, seed, start=8.0):
    """Repeats exactly."""
    noise = random.Random(seed)
    CALLS.append(rate)
    try:
        while True:
            start -= rate * start
            yield {"loss": start + noise.random(), "start": start}
    finally:
        CALLS.append("closed")


def continued(rate, state=None):
    """Goes on from its state, and does not repeat."""
    point = 8.0 if state is None else state
    while True:
        CALLS.append(point)
        point -= rate * point
        yield point, point


def restless(rate):
    """Gives other values at every call."""
    while True:
        yield random.random() * rate


def save(point):
    return str(point).encode()


descent = hpo_bench.steps(descend, steps=9, space=SPACE, metric_name="loss")
saved = hpo_bench.steps(
    continued, steps=9, space=SPACE, direction="maximize", save=save, load=float
)
