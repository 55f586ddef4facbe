"""The compiled max pooling: to the bit what torch's own is, and never in the way."""

import json
import os
import subprocess
import sys

import pytest
import torch

from hpo_bench.objectives.lenet5 import pooling
from hpo_bench.objectives.lenet5.pooling import is_compiled, max_pool

TRAIN = """
import json, logging, os, sys
if "NO_ZIGLANG" in os.environ:
    sys.modules["ziglang"] = None
logging.basicConfig()
from hpo_bench.objectives.lenet5 import LeNet5
objective = LeNet5(data="shapes", train_size=320, validation_size=100, test_size=100, epochs=1)
evaluation = objective.start({"c1": 6, "c3": 16, "c5": 32, "f6": 32})
evaluation.advance()
print(json.dumps([objective.machine(), evaluation._weights.tolist()]))
"""


def train(data_directory, **environment):
    """Train in a process of its own; give how it pooled, the weights, and what it logged."""
    done = subprocess.run(
        [sys.executable, "-c", TRAIN],
        env={**os.environ, "HPO_BENCH_DATA": str(data_directory), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    machine, weights = json.loads(done.stdout)
    return machine["max_pooling"], weights, done.stderr


def test_it_is_compiled():
    assert is_compiled()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 6, 28, 28), (5, 16, 10, 10), (1, 67, 4, 6)])
def test_values_and_gradients_are_those_of_torch(shape, dtype):
    generator = torch.Generator().manual_seed(0)
    # Few different values, so that squares hold the largest one several times.
    maps = torch.randint(-3, 4, shape, generator=generator).to(dtype)
    maps = maps.to(memory_format=torch.channels_last).requires_grad_()
    pooled, expected = max_pool(maps), torch.nn.functional.max_pool2d(maps, 2)
    assert torch.equal(pooled, expected)
    weights = torch.randn(pooled.shape, generator=generator).to(dtype)
    ours, theirs = (torch.autograd.grad((p * weights).sum(), maps)[0] for p in (pooled, expected))
    assert torch.equal(ours, theirs)


def test_what_is_not_a_number_stays_so():
    maps = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    maps[0, 0, 1, 1] = maps[1, 2, 2, 3] = float("nan")
    pooled = max_pool(maps.to(memory_format=torch.channels_last))
    assert torch.equal(pooled.isnan(), torch.nn.functional.max_pool2d(maps, 2).isnan())


def test_other_types_are_left_to_torch():
    maps = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    assert torch.equal(max_pool(maps), torch.nn.functional.max_pool2d(maps, 2))


def test_a_training_is_the_same_to_the_bit_without_a_compiler(tmp_path):
    with_one, without = train(tmp_path / "a"), train(tmp_path / "b", PATH="", NO_ZIGLANG="1")
    assert (with_one[0], without[0]) == ("compiled", "torch")
    assert with_one[1] == without[1]
    assert "max pooling is torch's own, which takes longer" in without[2]
    assert not (tmp_path / "b").exists()


def test_a_library_that_computes_something_else_is_not_used(tmp_path, monkeypatch, caplog):
    arguments = "void *a, void *b, void *c, long n, long h, long w, long d"
    names = [f"{way}_{kind}" for way in ("forward", "backward") for kind in ("float", "bfloat16")]
    (tmp_path / "max_pool.c").write_text("\n".join(f"void {n}({arguments}) {{}}" for n in names))
    monkeypatch.setenv("HPO_BENCH_DATA", str(tmp_path))
    monkeypatch.setattr(pooling, "files", lambda package: tmp_path)
    pooling._library.cache_clear()
    try:
        assert not is_compiled()
        assert "gives other values" in caplog.text
    finally:
        pooling._library.cache_clear()
