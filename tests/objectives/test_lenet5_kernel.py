"""The compiled kernel computes what torch and autograd compute, whatever the options."""

import json
import logging
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives.lenet5 import PARAMETERS, LeNet5, compiler, engine, kernel, training
from hpo_bench.objectives.lenet5.batches import batches, normalised, planned
from hpo_bench.objectives.lenet5.data import Images
from hpo_bench.objectives.lenet5.epoch import Epoch
from hpo_bench.objectives.lenet5.kernel import FLAGS, Kernel
from hpo_bench.objectives.lenet5.model import Dropout, Network, logits
from hpo_bench.objectives.lenet5.optimizer import initial_state
from hpo_bench.objectives.lenet5.plain import Plain
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run

DEFAULTS = {name: parameter.default for name, parameter in PARAMETERS.items()}
SMALL = DEFAULTS | {"c1": 5, "c3": 7, "c5": 20, "f6": 12, "batch_size": 24}
ACTIVATIONS = PARAMETERS["activation"].legal.choices
OPTIMIZERS = PARAMETERS["optimizer"].legal.choices


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def compiled():
    return Kernel.compiled(Plain())


@pytest.fixture(scope="module")
def portable():
    """The kernel without what only some processors have."""
    return Kernel(compiler.load("lenet5", kernel.source(), (*FLAGS, "-DPORTABLE")))


def noise(n, classes=10):
    rng = np.random.default_rng(n)
    pixels = rng.integers(0, 256, (n, 32, 32, 3), np.uint8)
    return Images.all_of(pixels, rng.integers(0, classes, n))


def epoch_of(images, configuration):
    size, augmentation = configuration["batch_size"], configuration["augmentation"]
    plan = planned(images, size, augmentation, torch.Generator().manual_seed(3))
    return Epoch(images, plan, dropout_seed=2**40 + 12345, step=0)


def start(configuration, classes=10, seed=1):
    network = Network(configuration, classes)
    weights = network.initial(torch.Generator().manual_seed(seed))
    for name, layer in network.layers(weights).items():
        if name.endswith("bias"):  # as after some training
            layer.uniform_(-0.1, 0.1, generator=torch.Generator().manual_seed(2))
    tensors = {"weights": weights, "average": weights.clone()}
    return network, tensors | initial_state(weights, configuration)


def trained(by, configuration, n_images, precision="f32", classes=10, seed=1):
    network, tensors = start(configuration, classes, seed)
    epoch = epoch_of(noise(n_images, classes), configuration)
    by.train(network, configuration, precision, tensors, epoch)
    return tensors


def gradient_by(by, configuration, precision="f32", classes=10, seed=1):
    """Give the gradient of one batch: SGD's momentum after its first step."""
    configuration = configuration | {"optimizer": "sgd", "weight_decay": 0.0}
    tensors = trained(by, configuration, configuration["batch_size"], precision, classes, seed)
    return tensors["momentum"]


def exact_gradient(configuration, classes=10, seed=1):
    """Give the gradient of one batch by autograd, in 64 bits."""
    network, tensors = start(configuration, classes, seed)
    images = noise(configuration["batch_size"], classes)
    epoch = epoch_of(images, configuration)
    [(batch, labels)] = batches(images, epoch.plan)
    weights = tensors["weights"].double().requires_grad_()
    scores = logits(
        network.layers(weights),
        normalised(batch).double(),
        configuration["activation"],
        Dropout(configuration["dropout"], epoch.dropout_seed, 0),
    )
    smoothing = configuration["label_smoothing"]
    loss = functional.cross_entropy(scores, labels, label_smoothing=smoothing)
    return torch.autograd.grad(loss, weights)[0].float()


def disagreeing(ours, theirs, configuration, classes=10, share=1e-4):
    """Compare layer by layer: to a share of the layer's largest number, and of rounding."""
    rounding = 1e-6 * float(theirs.abs().max())
    layers = Network(configuration, classes).layers
    pairs = zip(layers(ours).items(), layers(theirs).values(), strict=True)
    return [
        name
        for (name, one), other in pairs
        if not (one - other).abs().max() <= share * other.abs().max() + rounding
    ]


CONFIGURATIONS = st.fixed_dictionaries(
    {
        "c1": st.integers(1, 40),
        "c3": st.integers(1, 40),
        "c5": st.integers(1, 70),
        "f6": st.integers(1, 70),
        "batch_size": st.integers(8, 90),
        "activation": st.sampled_from(ACTIVATIONS),
        "augmentation": st.sampled_from(PARAMETERS["augmentation"].legal.choices),
        "dropout": st.sampled_from([0.0, 0.3]),
        "label_smoothing": st.sampled_from([0.0, 0.2]),
    }
)


@given(options=CONFIGURATIONS, classes=st.integers(2, 20))
@settings(max_examples=40, deadline=None)
def test_gradients_are_those_of_autograd_in_64_bits(compiled, options, classes):
    configuration = DEFAULTS | options
    # Of two outputs that are equal up to rounding another one may win in 32 bits, which changes
    # the gradient; not so with all of some initial weights.
    assert any(
        not disagreeing(
            gradient_by(compiled, configuration, classes=classes, seed=seed),
            exact_gradient(configuration, classes, seed),
            configuration,
            classes,
        )
        for seed in range(4)
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("widths", [(1, 1, 1, 1), (6, 16, 120, 84), (67, 130, 33, 20)])
def test_gradients_of_every_activation_at_all_widths(compiled, activation, widths):
    sizes = dict(zip(("c1", "c3", "c5", "f6"), widths, strict=True))
    configuration = DEFAULTS | sizes | {"activation": activation, "batch_size": 70}
    ours = gradient_by(compiled, configuration)
    assert not disagreeing(ours, exact_gradient(configuration), configuration)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_are_those_of_the_plain_path(compiled, optimizer, momentum, weight_decay):
    told = {"optimizer": optimizer, "momentum": momentum, "weight_decay": weight_decay}
    configuration = SMALL | told | {"activation": "tanh", "dropout": 0.2}
    ours, theirs = (trained(by, configuration, 130) for by in (compiled, Plain()))
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, atol=2e-6, rtol=1e-3)


@given(options=CONFIGURATIONS, n=st.integers(1, 200), classes=st.integers(2, 20))
@settings(max_examples=20, deadline=None)
def test_images_are_taken_for_what_torch_takes_them_for(compiled, options, n, classes):
    configuration = DEFAULTS | options
    network, tensors = start(configuration, classes)
    images = noise(n, classes)
    ours = compiled.classify(network, configuration, "f32", tensors["weights"], images)
    layers = network.layers(tensors["weights"].double())
    pixels = normalised(torch.from_numpy(images.pixels)).double()
    scores = logits(layers, pixels, configuration["activation"])
    chosen = scores.gather(1, ours[:, None])[:, 0]
    assert (scores.max(1).values - chosen).max() <= 1e-5 * scores.abs().max()


@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("widths", [(6, 16, 120, 84), (33, 20, 17, 9)])
def test_the_portable_twin_agrees(compiled, portable, activation, precision, widths):
    sizes = dict(zip(("c1", "c3", "c5", "f6"), widths, strict=True))
    configuration = DEFAULTS | sizes | {"activation": activation, "augmentation": "flip+crop"}
    ours, theirs = (gradient_by(by, configuration, precision) for by in (compiled, portable))
    assert not disagreeing(ours, theirs, configuration, share=2e-3 if precision == "bf16" else 1e-5)


@pytest.mark.parametrize("widths", [(6, 16, 120, 84), (33, 21, 50, 20)])
def test_bf16_rounds_what_c1_and_c5_multiply(compiled, widths):
    sizes = dict(zip(("c1", "c3", "c5", "f6"), widths, strict=True))
    configuration = DEFAULTS | sizes
    ours, theirs = (gradient_by(by, configuration, "bf16") for by in (compiled, Plain()))
    assert not disagreeing(ours, theirs, configuration, share=5e-3)
    exact = gradient_by(Plain(), configuration)
    assert not torch.allclose(ours, exact, atol=1e-3 * float(exact.abs().max()))


def test_an_epoch_in_several_calls_is_bitwise_the_epoch_in_one(compiled, monkeypatch):
    configuration = SMALL | {"augmentation": "flip+crop", "dropout": 0.3}
    whole = trained(compiled, configuration, 130)
    monkeypatch.setattr(kernel, "_AT_ONCE", 50)
    for name, tensor in trained(compiled, configuration, 130).items():
        assert torch.equal(whole[name], tensor), name


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("layer", ["c1.weight", "c3.bias", "c5.weight", "output.weight"])
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_what_is_not_a_number_does_not_get_lost(compiled, layer, bad, activation, precision):
    configuration = SMALL | {"activation": activation, "optimizer": "sgd"}
    network, tensors = start(configuration)
    network.layers(tensors["weights"])[layer][0] = bad
    epoch = epoch_of(noise(48), configuration)
    compiled.train(network, configuration, precision, tensors, epoch)
    assert not tensors["average"].isfinite().all()
    classes = compiled.classify(network, configuration, precision, tensors["average"], noise(200))
    assert ((classes >= 0) & (classes < 10)).all()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_dropout_leaves_out_its_share_anew_in_every_batch_and_layer(share):
    hidden = torch.ones(64, 200)
    draws = [
        Dropout(share, seed, batch)(hidden, layer)
        for seed in (1, 2**33 + 1)
        for batch in (0, 1)
        for layer in (0, 1)
    ]
    for draw in draws:
        assert float((draw == 0).float().mean()) == pytest.approx(share, abs=0.015)
        assert float(draw.mean()) == pytest.approx(1.0, abs=0.15)
        for axis in (0, 1):  # no image and no unit is favoured
            assert float((draw == 0).float().mean(axis).std()) < 0.08
    for i, one in enumerate(draws):
        for other in draws[:i]:
            both = ((one == 0) & (other == 0)).float().mean()
            assert float(both) == pytest.approx(share**2, abs=0.02)


def lenet5(**options):
    sizes = {"train_size": 320, "validation_size": 100, "test_size": 100, "epochs": 2}
    return LeNet5({"c1": {"low": 1, "high": 8}}, data="shapes", **sizes, **options)


class Other(Plain):
    identity = "another kernel"
    how = "otherwise"

    def __init__(self):
        """Keep the identity of the class."""


def test_what_computes_is_part_of_what_is_recorded(monkeypatch):
    assert lenet5().describe()["kernel"] == engine.engine().identity
    checkpoint = lenet5().start({"c1": 4}).checkpoint()
    monkeypatch.setattr(training, "engine", Other)
    assert lenet5().describe()["kernel"] == "another kernel"
    with pytest.raises(HpoBenchError, match="another kernel"):
        lenet5().restore({"c1": 4}, checkpoint)


def test_a_run_begun_with_one_kernel_is_not_continued_with_another(
    toy_suite, tmp_path, monkeypatch
):
    sizes = {"train_size": 64, "validation_size": 20, "test_size": 20, "epochs": 1}
    lenet5 = {"name": "lenet5", "options": {"data": "shapes", "precision": "f32", **sizes}}
    changes = {"objective": lenet5, "budget": {"evaluations": 1}, "seeds": [0]}
    run = Run(toy_suite(**changes), "random", 0, tmp_path / "checkpoints")
    assert execute(run).finished
    assert execute(run).finished  # with the same one it is known to be done
    monkeypatch.setattr(training, "engine", Other)
    with pytest.raises(HpoBenchError, match=r"kernel: '.*' there, 'another kernel' here"):
        execute(run)


def test_a_library_that_computes_something_else_is_not_used(monkeypatch, caplog):
    wrong = kernel.source().replace(b"0.254829592f", b"0.354829592f")
    monkeypatch.setattr(kernel, "source", lambda: wrong)
    engine.engine.cache_clear()
    try:
        with caplog.at_level(logging.WARNING):
            assert isinstance(engine.engine(), Plain)
        assert "gives other values" in caplog.text
        assert "gives other values" in lenet5().machine()["training"]
    finally:
        engine.engine.cache_clear()


TRAIN = """
import json, logging, os, sys
if not os.environ["PATH"]:
    sys.modules["ziglang"] = None  # as where it is not installed
logging.basicConfig()
from hpo_bench.objectives.lenet5 import LeNet5
objective = LeNet5(data="shapes", train_size=320, validation_size=100, test_size=100, epochs=1)
evaluation = objective.start({"c1": 6, "c3": 16, "c5": 32, "f6": 32})
evaluation.advance()
weights = evaluation._tensors["weights"].tolist()
print(json.dumps([objective.machine(), objective.describe(), weights]))
"""


def test_without_a_compiler_torch_trains_and_says_so():
    found = {}
    for path in (os.environ["PATH"], ""):
        done = subprocess.run(
            [sys.executable, "-c", TRAIN],
            env={**os.environ, "PATH": path, "CC": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        found[bool(path)] = (*json.loads(done.stdout), done.stderr)
    machine, described, weights, said = found[False]
    assert "torch, which takes several times as long" in machine["training"]
    assert "torch, which takes several times as long" in said
    assert described["kernel"] == f"torch {torch.__version__}"
    assert described["precision"] == "f32"
    assert found[True][0]["training"].startswith("compiled")
    assert weights == pytest.approx(found[True][2], abs=0.05)


def test_the_precision_that_auto_chooses_does_not_change(compiled):
    chosen = {Kernel.compiled(Plain()).fastest_precision() for _ in range(5)}
    assert len(chosen) == 1
