import doctest
import importlib

import pytest

MODULES = [
    "_base.permutation",
    "bohb._sampler",
    "grid._lattice",
    "grid._sampler",
    "pso._sampler",
    "pso._swarm",
    "random._draws",
    "random._sampler",
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_hold(name):
    failed, attempted = doctest.testmod(importlib.import_module(f"samplers.{name}"))
    assert attempted
    assert not failed
