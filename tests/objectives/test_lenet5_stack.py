"""Networks trained as one stack, on the CPU: a GPU adds the device and the captured graph."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_bench.errors import InputError
from hpo_bench.objectives.lenet5 import LeNet5
from hpo_bench.objectives.lenet5.model import ACTIVATIONS, Network, logits
from hpo_bench.objectives.lenet5.stack import logits as stacked_logits
from hpo_bench.objectives.lenet5.stack import padded_widths
from hpo_bench.objectives.lenet5.training import Training, resolve_precision

SETTINGS = {
    "data": "shapes",
    "train_size": 320,
    "validation_size": 200,
    "test_size": 100,
    "precision": "f32",
}
SPACE = {
    "c1": {"low": 1, "high": 16},
    "c3": {"low": 1, "high": 32},
    "c5": {"low": 8, "high": 64},
    "f6": {"low": 8, "high": 64},
    "learning_rate": {"low": 1e-4, "high": 1e-1},
    "weight_decay": {"low": 0.0, "high": 0.1},
    "momentum": {"low": 0.5, "high": 0.95},
    "dropout": {"low": 0.0, "high": 0.5},
    "label_smoothing": {"low": 0.0, "high": 0.2},
}
SMALL = dict.fromkeys(SPACE, 0.0) | {
    "c1": 3,
    "c3": 5,
    "c5": 20,
    "f6": 12,
    "learning_rate": 2e-3,
    "momentum": 0.9,
}
MIXED = [
    SMALL,
    SMALL | {"c1": 4, "c3": 8, "c5": 33, "learning_rate": 5e-3, "weight_decay": 0.05},
    SMALL | {"f6": 60, "label_smoothing": 0.1, "momentum": 0.7},
]


@pytest.fixture
def stacked(monkeypatch):
    """Trainings as they are on a GPU, on the CPU."""
    monkeypatch.setattr(Training, "_is_stacked", True)


def objective(**fixed):
    return LeNet5(SPACE | fixed, **SETTINGS)


def trained(configurations, epochs=1, **fixed):
    one = objective(**fixed)
    evaluations = [one.start(configuration) for configuration in configurations]
    values = [one.advance_many(evaluations) for _ in range(epochs)]
    return evaluations, values


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("augmentation", ["none", "flip+crop"])
def test_a_stack_trains_each_as_the_loop_does(monkeypatch, optimizer, augmentation):
    # One image order and no more than five steps: rounding has no time to grow.
    fixed = {"optimizer": optimizer, "augmentation": augmentation}
    loop, _ = trained(MIXED, **fixed)
    monkeypatch.setattr(Training, "_is_stacked", True)
    stack, _ = trained(MIXED, **fixed)
    for one, other in zip(loop, stack, strict=True):
        assert one._step == other._step == 5
        torch.testing.assert_close(one._weights, other._weights, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(one._average, other._average, atol=1e-5, rtol=1e-4)
        for name, tensor in one._state.items():
            torch.testing.assert_close(tensor, other._state[name], atol=1e-5, rtol=1e-3)


def test_each_comes_out_as_if_alone_with_dropout_too(stacked):
    configurations = [c | {"dropout": 0.25 * i} for i, c in enumerate(MIXED)]
    together, values = trained(configurations, epochs=2)
    for i, configuration in enumerate(configurations):
        (alone,), curve = trained([configuration], epochs=2)
        torch.testing.assert_close(alone._weights, together[i]._weights, atol=1e-5, rtol=1e-4)
        assert [v[0] for v in curve] == pytest.approx([v[i] for v in values], abs=0.02)


def test_dropout_is_drawn_anew_by_step_and_epoch(stacked):
    plain, _ = trained([SMALL])
    dropped, _ = trained([SMALL | {"dropout": 0.3}])
    assert not torch.equal(plain[0]._weights, dropped[0]._weights)


def test_going_on_from_a_checkpoint_is_bitwise_the_same(stacked):
    configuration = SMALL | {"dropout": 0.2}
    one = objective()
    whole = one.start(configuration)
    whole.advance()
    parts = one.restore(configuration, whole.checkpoint())
    assert whole.advance() == parts.advance()
    assert torch.equal(whole._weights, parts._weights)
    assert whole.measurements() == parts.measurements()


def test_one_that_diverges_takes_nobody_with_it(stacked):
    wild = SMALL | {"learning_rate": 1e-1, "weight_decay": 0.0}
    one = objective(optimizer="sgd")
    diverged, sound = one.start(wild), one.start(SMALL)
    diverged._weights.fill_(float("inf"))
    one.advance_many([diverged, sound])
    assert diverged.measurements()["diverged"] == 1.0
    (alone,), _ = trained([SMALL], optimizer="sgd")
    torch.testing.assert_close(alone._weights, sound._weights, atol=1e-5, rtol=1e-4)


@given(widths=st.tuples(*(st.integers(1, 40) for _ in range(4))))
def test_widths_are_padded_to_less_than_twice(widths):
    padded = padded_widths(dict(zip(("c1", "c3", "c5", "f6"), widths, strict=True)))
    assert all(width <= wide < 2 * width for width, wide in zip(widths, padded, strict=True))


@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_logits_of_a_stack_are_those_of_its_networks(data):
    widths = data.draw(st.tuples(*(st.integers(1, 20) for _ in range(4))))
    activation = data.draw(st.sampled_from(sorted(ACTIVATIONS)))
    network = Network(dict(zip(("c1", "c3", "c5", "f6"), widths, strict=True)), 7)
    vectors = [network.initial(torch.Generator().manual_seed(seed)) for seed in range(3)]
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(9))
    images = images.contiguous(memory_format=torch.channels_last)
    together = stacked_logits(network.layers(torch.stack(vectors)), images, activation)
    for vector, scores in zip(vectors, together, strict=True):
        alone = logits(network.layers(vector), images, activation)
        torch.testing.assert_close(alone, scores, atol=1e-5, rtol=1e-5)


def test_what_is_trained_on_a_gpu_is_stacked_and_on_a_cpu_is_not():
    started = objective().start(SMALL)
    on_gpu = Training(started._configuration, started._data, 0, "f32", "cuda")
    assert on_gpu._is_stacked
    assert not started._is_stacked
    assert resolve_precision("auto", "cuda") == "bf16"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused_before_any_work():
    on_gpu = LeNet5(device="cuda", **SETTINGS)
    for step in (on_gpu.provide, on_gpu.prepare, lambda: on_gpu.start(on_gpu_default(on_gpu))):
        with pytest.raises(InputError, match=r"device: 'cuda'.*no CUDA device"):
            step()


def on_gpu_default(one):
    return {name: dist.low for name, dist in one.search_space.items()}


def test_an_unknown_device_is_refused():
    with pytest.raises(InputError, match="device"):
        LeNet5(device="tpu", **SETTINGS)
