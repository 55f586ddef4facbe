import itertools
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives.lenet5 import PARAMETERS, LeNet5
from hpo_bench.objectives.lenet5.batches import batches, planned
from hpo_bench.objectives.lenet5.data import Images
from hpo_bench.objectives.lenet5.model import Network, logits
from hpo_bench.objectives.lenet5.training import _accuracy

NARROW = {"c1": 4, "c3": 8, "c5": 32, "f6": 32}
SETTINGS = {
    "data": "shapes",
    "train_size": 320,
    "validation_size": 200,
    "test_size": 100,
    "epochs": 3,
    "precision": "f32",
}
RICH = {
    "c1": {"low": 1, "high": 64},
    "dropout": {"low": 0.0, "high": 0.5},
    "optimizer": {"choices": ["sgd", "adam", "adamw"]},
    "augmentation": "flip+crop",
    "label_smoothing": 0.1,
}


def lenet5(space=None, **changes):
    return LeNet5(space, **(SETTINGS | changes))


def curve(evaluation, until):
    return [evaluation.advance() for _ in range(until - evaluation.fidelity)]


def state_of(evaluation):
    return evaluation._tensors


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_going_on_from_a_checkpoint_is_bitwise_what_an_uninterrupted_training_is(optimizer):
    objective = lenet5(RICH)
    configuration = {"c1": 5, "dropout": 0.3, "optimizer": optimizer}
    whole = objective.start(configuration)
    values = curve(whole, 3)

    first = objective.start(configuration)
    parts = curve(first, 1)
    second = objective.restore(configuration, first.checkpoint())
    parts += curve(second, 2)
    third = objective.restore(configuration, second.checkpoint())
    parts += curve(third, 3)

    assert parts == values
    assert third.measurements() == whole.measurements()
    for name, tensor in state_of(whole).items():
        assert torch.equal(tensor, state_of(third)[name]), name


def test_going_on_in_another_process_is_bitwise_the_same(tmp_path):
    objective = lenet5()
    whole = objective.start(NARROW)
    curve(whole, 3)
    first = objective.start(NARROW)
    first.advance()
    (tmp_path / "one").write_bytes(first.checkpoint())
    program = f"""
        from pathlib import Path
        from hpo_bench.objectives.lenet5 import LeNet5
        evaluation = LeNet5(**{SETTINGS!r}).restore({NARROW!r}, Path("one").read_bytes())
        evaluation.advance()
        print(evaluation.advance())
        Path("three").write_bytes(evaluation.checkpoint())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    again = objective.restore(NARROW, (tmp_path / "three").read_bytes())
    assert float(done.stdout) == _accuracy(whole, whole._data.validation)
    for name, tensor in state_of(whole).items():
        assert torch.equal(tensor, state_of(again)[name]), name


def test_the_value_depends_on_neither_order_nor_the_process_state():
    objective = lenet5()
    alone = curve(objective.start(NARROW), 2)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    wide = objective.start({**NARROW, "c1": 16})
    interleaved = objective.start(NARROW)
    values = []
    for _ in range(2):
        wide.advance()
        values.append(interleaved.advance())
    assert values == alone
    assert curve(lenet5().start(NARROW), 2) == alone


def test_a_shorter_objective_has_the_same_values_as_the_beginning_of_a_longer_one():
    assert curve(lenet5(epochs=1).start(NARROW), 1) == curve(lenet5(epochs=9).start(NARROW), 1)


def test_the_seed_of_training_matters_and_the_images_do_not_depend_on_it():
    one, two = lenet5(seed=1), lenet5(seed=2)
    assert one.describe() == two.describe()
    weights, others = (state_of(o.start(NARROW))["weights"] for o in (one, two))
    assert not torch.equal(weights, others)
    orders = [o.start(NARROW)._generator(1, 0).initial_seed() for o in (one, two)]
    assert orders[0] != orders[1]


def test_global_generators_and_threads_are_left_alone():
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    before = torch.get_rng_state()
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002
    try:
        evaluation = lenet5({"dropout": 0.5, "augmentation": "flip+crop"}).start({})
        evaluation.advance()
        evaluation.measurements()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


def test_threads_of_the_process_do_not_change_the_result():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = lenet5().start(NARROW)
        two.advance()
        torch.set_num_threads(1)
        one = lenet5().start(NARROW)
        one.advance()
    finally:
        torch.set_num_threads(threads)
    for name, tensor in state_of(one).items():
        assert torch.equal(tensor, state_of(two)[name]), name


MANY = [
    {**NARROW, "c1": c1, "c3": c3, "batch_size": batch_size, "activation": activation}
    for c1, c3 in [(1, 8), (4, 9), (6, 16), (7, 8), (20, 32), (60, 8)]
    for batch_size, activation in [(32, "relu"), (32, "gelu"), (64, "relu")]
]
MANY_SPACE = {
    "c1": {"low": 1, "high": 64},
    "c3": {"low": 8, "high": 32},
    "batch_size": {"low": 32, "high": 64},
    "activation": {"choices": ["relu", "gelu"]},
    "c5": {"low": 1, "high": 32},
    "f6": {"low": 1, "high": 32},
    "dropout": 0.2,
}


def test_many_at_once_are_each_what_they_are_alone():
    objective = lenet5(MANY_SPACE, validation_size=500)
    together = [objective.start(c) for c in MANY]
    together[0].advance()  # they need not stand at the same epoch
    values = [objective.advance_many(together) for _ in range(2)][-1]
    assert [t.fidelity for t in together] == [3] + [2] * (len(MANY) - 1)
    for configuration, evaluation, value in zip(MANY, together, values, strict=True):
        alone = objective.start(configuration)
        assert value == curve(alone, evaluation.fidelity)[-1]
        for name, tensor in state_of(evaluation).items():
            assert torch.equal(tensor, state_of(alone)[name]), name


def test_a_checkpoint_made_among_many_goes_on_alone():
    objective = lenet5(MANY_SPACE)
    together = [objective.start(c) for c in MANY]
    objective.advance_many(together)
    for evaluation, configuration in zip(together[::4], MANY[::4], strict=True):
        again = objective.restore(configuration, evaluation.checkpoint())
        assert again.fidelity == 1
        for name, tensor in state_of(evaluation).items():
            assert torch.equal(tensor, state_of(again)[name]), name


def test_evaluate_many_evaluates_at_full_fidelity():
    objective = lenet5(MANY_SPACE)
    values = objective.evaluate_many(MANY[:4])
    alone = [objective.evaluate(c) for c in MANY[:4]]
    assert values == alone


def test_only_its_own_evaluations_are_advanced():
    with pytest.raises(TypeError, match="its own"):
        lenet5().advance_many([object()])


@pytest.mark.parametrize(
    "other",
    [
        ({**NARROW, "c5": 33}, {}),
        (NARROW, {"seed": 1}),
        (NARROW, {"split_seed": 1}),
        (NARROW, {"train_size": 300}),
        (NARROW, {"precision": "bf16"}),
    ],
)
def test_a_checkpoint_of_another_evaluation_is_refused(other):
    configuration, changes = other
    checkpoint = lenet5().start(NARROW).checkpoint()
    with pytest.raises(HpoBenchError, match="another evaluation"):
        lenet5(**changes).restore(configuration, checkpoint)


@pytest.mark.parametrize("other", [{"split_seed": 1}, {"validation_size": 5, "train_size": 30}])
def test_a_checkpoint_of_another_split_of_the_same_images_is_refused(tmp_path, monkeypatch, other):
    monkeypatch.setenv("HPO_BENCH_DATA", str(tmp_path / "cache"))
    for part, name in itertools.product(("train", "test"), ("cat", "dog")):
        folder = tmp_path / "images" / part / name
        folder.mkdir(parents=True)
        for shade in range(20):
            Image.new("RGB", (32, 32), (shade, len(name), len(part))).save(folder / f"{shade}.png")
    settings = {"data": "imagefolder", "data_dir": tmp_path / "images", "epochs": 1}
    split = {"train_size": None, "test_size": None, "validation_size": 10, "split_seed": 0}
    one, another = (LeNet5({"batch_size": 8}, **settings, **(split | c)) for c in ({}, other))
    assert one.describe()["data_sha256"] == another.describe()["data_sha256"]
    checkpoint = one.start({}).checkpoint()
    with pytest.raises(HpoBenchError, match="another evaluation"):
        another.restore({}, checkpoint)


def test_a_damaged_checkpoint_is_refused():
    objective = lenet5()
    checkpoint = objective.start(NARROW).checkpoint()
    with pytest.raises(HpoBenchError, match="damaged"):
        objective.restore(NARROW, checkpoint[: len(checkpoint) // 2])


def test_it_learns():
    objective = lenet5(train_size=2000, validation_size=500)
    value = objective.evaluate({"c1": 16, "c3": 32, "c5": 64, "f6": 64})
    assert value > 0.2  # chance is 0.1, its standard error 0.013


def test_a_diverged_training_is_measured_and_said():
    exploding = {"learning_rate": 10.0, "optimizer": "sgd", "activation": "silu", "batch_size": 8}
    evaluation = lenet5(exploding | NARROW).start({})
    values = curve(evaluation, 3)
    assert 0.0 <= values[-1] <= 0.3
    assert evaluation.measurements()["diverged"] == 1.0


def test_measurements_stand_beside_the_value():
    measured = lenet5().start(NARROW).measurements()
    parameters = 4 * 76 + 8 * 101 + 32 * 201 + 32 * 33 + 10 * 33
    assert measured["parameters"] == parameters
    assert 0.0 <= measured["test_accuracy"] <= 1.0
    assert measured["diverged"] == 0.0


def test_bf16_trains_close_to_f32():
    settings = {"train_size": 1000, "validation_size": 500}
    one = curve(lenet5(precision="f32", **settings).start(NARROW), 2)[-1]
    other = curve(lenet5(precision="bf16", **settings).start(NARROW), 2)[-1]
    assert abs(one - other) < 0.1


@pytest.mark.parametrize("name", ["activation", "augmentation", "optimizer"])
def test_every_choice_trains(name):
    objective = lenet5({name: PARAMETERS[name].legal})
    for choice in PARAMETERS[name].legal.choices:
        assert 0.0 <= objective.start({name: choice}).advance() <= 1.0


@pytest.mark.parametrize("c1", [1, 4, 6, 9, 20, 33])
def test_the_network_is_that_of_torch_modules(c1):
    sizes = {"c1": c1, "c3": 16, "c5": 120, "f6": 84}
    shapes = Network(sizes, 10)
    weights = shapes.layers(shapes.initial(torch.Generator().manual_seed(0)))
    nn = torch.nn
    network = nn.Sequential(
        nn.Conv2d(3, c1, 5), nn.Tanh(), nn.MaxPool2d(2),
        nn.Conv2d(c1, 16, 5), nn.Tanh(), nn.MaxPool2d(2),
        nn.Conv2d(16, 120, 5), nn.Flatten(), nn.Tanh(),
        nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip
    with torch.no_grad():
        for parameter, weight in zip(network.parameters(), weights.values(), strict=True):
            if parameter.ndim == 4 and weight.ndim == 2:  # C5: (out, 5 * 5 * in) in NHWC order
                parameter.copy_(weight.view(120, 5, 5, 16).permute(0, 3, 1, 2))
            else:
                parameter.copy_(weight)
        images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
        ours = logits(weights, images, "tanh")
        assert torch.allclose(network(images), ours, atol=1e-5)


def test_augmentation_moves_pixels_of_its_own_image_only():
    pixels = np.arange(50, dtype=np.uint8)[:, None, None, None].repeat(32, 1).repeat(32, 2)
    images = Images.all_of(np.ascontiguousarray(pixels.repeat(3, 3)), np.arange(50))
    seen = []
    plan = planned(images, 16, "flip+crop", torch.Generator().manual_seed(0))
    for batch, labels in batches(images, plan):
        assert batch.shape == (16, 32, 32, 3)
        assert torch.equal(batch, labels.to(torch.uint8)[:, None, None, None].expand_as(batch))
        seen += labels.tolist()
    assert len(seen) == len(set(seen)) == 48


def test_flips_are_left_to_right_of_about_half_of_the_images():
    ramp = np.zeros((200, 32, 32, 3), dtype=np.uint8) + np.arange(32, dtype=np.uint8)[:, None]
    images = Images.all_of(ramp, np.zeros(200, dtype=np.int64))
    plan = planned(images, 200, "flip", torch.Generator().manual_seed(0))
    [(batch, _)] = batches(images, plan)
    flipped = batch[:, 0, 0, 0] == 31
    assert 60 < int(flipped.sum()) < 140
    assert torch.equal(batch[flipped], torch.from_numpy(ramp)[flipped].flip(2))
    assert torch.equal(batch[~flipped], torch.from_numpy(ramp)[~flipped])
    assert not planned(images, 200, "none", torch.Generator().manual_seed(0)).flipped.any()


def test_checkpoints_are_read_without_running_code(tmp_path: Path):
    checkpoint = lenet5().start(NARROW).checkpoint()
    (tmp_path / "checkpoint").write_bytes(checkpoint)
    assert torch.load(tmp_path / "checkpoint", weights_only=True)["epoch"] == 0
