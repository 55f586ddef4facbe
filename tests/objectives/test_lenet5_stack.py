"""Networks trained as stacks, on the CPU: a GPU adds the device and the captured graph."""

import io
from collections import Counter

import optuna
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode

from hpo_bench.errors import InputError
from hpo_bench.objectives.lenet5 import LeNet5, stack, stack_step, training
from hpo_bench.objectives.lenet5.batches import normalised
from hpo_bench.objectives.lenet5.model import ACTIVATIONS, Dropout, Network, logits
from hpo_bench.objectives.lenet5.objective import PARAMETERS
from hpo_bench.objectives.lenet5.plain import Plain
from hpo_bench.objectives.lenet5.stack import Member, Stack, pinned
from hpo_bench.objectives.lenet5.stacking import stacks
from hpo_bench.objectives.lenet5.training import Training, resolve_precision

CPU = torch.device("cpu")
SIZES = {"data": "shapes", "train_size": 80, "validation_size": 50, "test_size": 30}
ANY = {name: {"low": 1, "high": 64} for name in ("c1", "c3", "c5", "f6")} | {
    "batch_size": {"low": 8, "high": 80},
    "learning_rate": {"low": 1e-4, "high": 1e-1},
    "weight_decay": {"low": 0.0, "high": 0.1},
    "momentum": {"low": 0.5, "high": 0.95},
    "dropout": {"low": 0.0, "high": 0.5},
    "label_smoothing": {"low": 0.0, "high": 0.2},
    "activation": {"choices": sorted(ACTIVATIONS)},
    "augmentation": {"choices": ["none", "flip", "flip+crop"]},
    "optimizer": {"choices": ["adam", "adamw", "sgd"]},
}
SMALL = {name: PARAMETERS[name].default for name in ANY} | {
    "c1": 3,
    "c3": 5,
    "c5": 20,
    "f6": 12,
    "batch_size": 32,
}
MIXED = [
    SMALL | {"batch_size": 20, "optimizer": "sgd", "augmentation": "flip+crop", "dropout": 0.3},
    SMALL | {"c1": 4, "c3": 9, "batch_size": 28, "activation": "gelu", "weight_decay": 0.05},
    SMALL | {"f6": 60, "batch_size": 24, "optimizer": "adam", "weight_decay": 0.02},
    SMALL | {"label_smoothing": 0.1, "momentum": 0.7, "dropout": 0.2, "augmentation": "none"},
    SMALL | {"activation": "tanh", "learning_rate": 5e-3},
]


@pytest.fixture
def stacked(monkeypatch):
    """Trainings as they are on a GPU, on the CPU."""
    monkeypatch.setattr(Training, "_is_stacked", True)


@pytest.fixture
def made(monkeypatch):
    """All stacks, and all programs of steps, that come into being."""
    made = []
    for module, name in ((training, "Stack"), (stack, "Step")):
        kind = getattr(module, name)

        def init(self, *arguments, _kind=kind, **options):
            _kind.__init__(self, *arguments, **options)
            made.append(self)

        monkeypatch.setattr(module, name, type(name, (kind,), {"__init__": init}))
    return made


@pytest.fixture(scope="module")
def objective():
    return LeNet5(ANY, precision="f32", **SIZES)


def state(evaluation):
    packed = torch.load(io.BytesIO(evaluation.checkpoint()))
    return {"weights": packed["weights"], "average": packed["average"], **packed["optimizer"]}


def assert_same(one, other, atol=1e-5):
    for name, tensor in state(one).items():
        torch.testing.assert_close(state(other)[name], tensor, atol=atol, rtol=1e-3)


def test_a_stack_trains_each_as_the_plain_loop_does(monkeypatch, objective, made):
    # Every setting differs within it, also how many steps an epoch has. No more than five steps:
    # rounding has no time to grow.
    monkeypatch.setattr(training, "engine", Plain)
    loop = [objective.start(c) for c in MIXED]
    expected = [evaluation.advance() for evaluation in loop]
    monkeypatch.setattr(Training, "_is_stacked", True)
    monkeypatch.setattr(training, "stacks", lambda given: [list(range(len(given)))])
    together = [objective.start(c) for c in MIXED]
    assert objective.advance_many(together) == pytest.approx(expected, abs=0.021)  # an image
    assert [len(s.members) for s in made if isinstance(s, Stack)] == [5]
    for one, other in zip(loop, together, strict=True):
        assert one._step == other._step
        assert_same(one, other)
        assert other.measurements() == pytest.approx(one.measurements(), abs=0.041)


@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_logits_of_a_stack_are_those_of_its_networks(data):
    configurations = [
        {
            **{name: data.draw(st.integers(1, 20)) for name in ("c1", "c3", "c5", "f6")},
            "activation": activation,
        }
        for activation in sorted(
            data.draw(st.lists(st.sampled_from(sorted(ACTIVATIONS)), min_size=1, max_size=3))
        )
    ]
    members, pixels = [], torch.randint(256, (4, 32, 32, 3), dtype=torch.uint8)
    for seed, configuration in enumerate(configurations):
        network = Network(configuration, 7)
        vector = network.initial(torch.Generator().manual_seed(seed))
        members.append(Member(configuration, network, {"weights": vector}))
    whole = Stack(members, "f32", CPU)
    images = stack_step.normalised(pixels, torch.float32)[None]
    shape = whole._shape
    found = stack_step.logits(shape.layers(whole._state["weights"]), images, shape.activations)
    for member, scores in zip(members, found, strict=True):
        layers = member.network.layers(member.tensors["weights"])
        alone = logits(layers, normalised(pixels), member.configuration["activation"])
        torch.testing.assert_close(alone, scores, atol=1e-5, rtol=1e-5)


def test_dropout_of_a_stack_draws_what_dropout_alone_draws(stacked):
    configurations = [SMALL | {"dropout": 0.5, "c5": 9, "batch_size": 11}, SMALL | {"dropout": 0.1}]
    shape = Stack([Member(c, Network(c, 3), {}) for c in configurations], "f32", CPU)._shape
    dropout = stack_step._Dropout.of(configurations, shape)
    dropout.seed.copy_(torch.tensor([0x89ABCDEF, 0x1234567]))
    kept = dropout.kept(torch.tensor([3]))
    assert [k.shape for k in kept] == [(2, 32, 24), (2, 32, 16)]  # no wider than is needed
    for row, c in enumerate(configurations):
        alone = Dropout(c["dropout"], 0x123456789ABCDEF, 3)
        for layer, name in enumerate(("c5", "f6")):
            ones = torch.ones(c["batch_size"], c[name])
            found = kept[layer][row, : len(ones), : c[name]]
            torch.testing.assert_close(found, alone(ones, layer))


def test_in_bfloat16_a_stack_trains_nearly_as_in_32_bits(stacked):
    narrow, wide = (LeNet5(ANY, precision=p, **SIZES).start(SMALL) for p in ("bf16", "f32"))
    for one in (narrow, wide):
        one.advance()
    assert state(narrow)["weights"].dtype == torch.float32
    assert not torch.equal(state(narrow)["weights"], state(wide)["weights"])
    assert_same(narrow, wide, atol=0.02)


def test_a_stack_lives_as_long_as_its_evaluations_and_keeps_their_state(stacked, objective, made):
    several = [objective.start(SMALL | {"c3": c3}) for c3 in (4, 5, 6, 7)]
    objective.advance_many(several)
    begun = len(made)
    before = [one._tensors["weights"].clone() for one in several]
    objective.advance_many(several)
    assert len(made) == begun == 2  # a stack, and its step
    for one, weights in zip(several, before, strict=True):
        assert torch.equal(one._tensors["weights"], weights)  # nothing came to the host
    left = state(several[3])
    objective.advance_many(several[:3])
    assert all(torch.equal(state(several[3])[name], left[name]) for name in left)
    objective.advance_many(several[2:3])  # most of the stack would compute for nobody
    alone = objective.start(SMALL | {"c3": 6})
    for _ in range(4):
        alone.advance()
    assert_same(alone, several[2], atol=2e-3)
    assert len([s for s in made if isinstance(s, Stack)]) == 3


def drawn(space, n=64):
    one = LeNet5(space)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    defaults = {name: parameter.default for name, parameter in PARAMETERS.items()}
    return [defaults | study.ask(one.search_space).params for _ in range(n)]


@pytest.mark.parametrize(("space", "mean_size"), [("widths", 9), ("full", 3)])
def test_stacks_are_large_and_hold_everybody_once(space, mean_size):
    configurations = drawn(space)
    groups = stacks(configurations)
    assert Counter(i for group in groups for i in group) == Counter(range(64))
    assert 64 / len(groups) >= mean_size
    assert stacks(configurations) == groups


def test_each_program_of_64_configurations_is_built_once(stacked, made, monkeypatch):
    monkeypatch.setattr(stack.Step, "run", lambda *_: None)
    monkeypatch.setattr(Stack, "_accuracies", lambda self, _: [0.0] * len(self.members))
    one = LeNet5("widths", **SIZES)  # 64 in a batch
    names = one.search_space
    several = [one.start({name: c[name] for name in names}) for c in drawn("widths")]
    for _ in range(3):
        one.advance_many(several)
    kinds = Counter(type(each).__name__ for each in made)
    assert kinds == {"Stack": len(stacks(drawn("widths"))), "Step": kinds["Stack"]}


def test_networks_that_are_alike_share_a_stack_and_those_far_apart_do_not():
    narrow = SMALL | {"c1": 4, "c3": 8, "c5": 32, "f6": 32}
    wide = SMALL | {"c1": 256, "c3": 512, "c5": 2048, "f6": 2048, "batch_size": 1024}
    assert stacks([narrow, wide, narrow]) == [[0, 2], [1]]
    assert stacks([wide] * 3) == [[0], [1], [2]]  # two would need a tensor that is too large
    tuned = [narrow | {"learning_rate": 10.0**-i, "dropout": 0.1 * i} for i in range(4)]
    assert stacks(tuned) == [[0, 1, 2, 3]]


class _Largest(TorchFunctionMode):
    """Notes the largest tensor that comes out of an operation."""

    elements = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor):
            self.elements = max(self.elements, found.numel())
        return found


def test_no_tensor_of_an_evaluation_is_too_large(monkeypatch, objective, stacked):
    monkeypatch.setattr(stack, "LARGEST", 400_000)
    one = objective.start(SMALL | {"c1": 30})
    with _Largest() as largest:
        value = one.measurements()["test_accuracy"]
    assert 300_000 < largest.elements <= 400_000
    monkeypatch.setattr(stack, "LARGEST", 2**30)
    assert one.measurements()["test_accuracy"] == value


def test_going_on_from_a_checkpoint_is_bitwise_the_same(stacked, objective):
    configuration = SMALL | {"dropout": 0.2}
    whole = objective.start(configuration)
    whole.advance()
    parts = objective.restore(configuration, whole.checkpoint())
    assert whole.advance() == parts.advance()
    assert all(torch.equal(state(parts)[name], tensor) for name, tensor in state(whole).items())
    assert whole.measurements() == parts.measurements()


def test_one_that_diverges_takes_nobody_with_it(stacked, objective):
    wild, calm = SMALL | {"optimizer": "sgd", "batch_size": 40}, SMALL
    diverged, sound = objective.start(wild), objective.start(calm)
    diverged._tensors["weights"].fill_(float("inf"))
    objective.advance_many([diverged, sound])
    assert diverged.measurements()["diverged"] == 1.0
    alone = objective.start(calm)
    alone.advance()
    assert_same(alone, sound)


@pytest.mark.parametrize("sums", [True, (False, False)])
def test_what_the_user_set_for_products_does_not_reach_a_stack_and_comes_back(sums):
    matmul = torch.backends.cuda.matmul
    before = (matmul.fp32_precision, matmul.allow_bf16_reduced_precision_reduction)
    matmul.fp32_precision, matmul.allow_bf16_reduced_precision_reduction = "tf32", sums
    try:
        with torch.autocast("cpu", torch.bfloat16), pinned(CPU):
            assert matmul.fp32_precision == "ieee"
            assert not matmul.allow_bf16_reduced_precision_reduction
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
        assert matmul.fp32_precision == "tf32"
        assert matmul.allow_bf16_reduced_precision_reduction == (sums is True)
        assert matmul.allow_bf16_reduced_precision_reduction_split_k == (sums is True)
    finally:
        matmul.fp32_precision, matmul.allow_bf16_reduced_precision_reduction = before


def test_what_is_trained_on_a_gpu_is_stacked_and_on_a_cpu_is_not(objective):
    started = objective.start(SMALL)
    on_gpu = Training(started._configuration, started._data, 0, "f32", "cuda")
    assert on_gpu._is_stacked
    assert not started._is_stacked
    assert resolve_precision("auto", "cuda") == "bf16"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused_before_any_work():
    on_gpu = LeNet5(device="cuda", **SIZES)
    for step in (on_gpu.provide, on_gpu.prepare, lambda: on_gpu.start(on_gpu_default(on_gpu))):
        with pytest.raises(InputError, match=r"device: 'cuda'.*no CUDA device"):
            step()


def on_gpu_default(one):
    return {name: dist.low for name, dist in one.search_space.items()}


def test_an_unknown_device_is_refused():
    with pytest.raises(InputError, match="device"):
        LeNet5(device="tpu", **SIZES)
