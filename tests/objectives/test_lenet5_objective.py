import importlib.util
import json
import pickle
import subprocess
import sys

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpo_bench.errors import InputError, MissingExtraError
from hpo_bench.objectives.lenet5 import PARAMETERS, SPACES, LeNet5

SETTINGS = {
    "train_size": 256,
    "validation_size": 100,
    "test_size": 100,
    "epochs": 2,
    "precision": "f32",
}


def lenet5(space=None, **changes):
    pytest.importorskip("torch")
    return LeNet5(space, **(SETTINGS | changes))


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def test_importing_and_constructing_it_imports_no_torch():
    program = """
import sys
from hpo_bench.objectives.lenet5 import LeNet5
objective = LeNet5(data="shapes")
assert list(objective.search_space) == ["c1", "c3", "c5", "f6"]
assert not {"torch", "torchvision", "PIL"} & set(sys.modules)
"""
    pytest.importorskip("torch")
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'hpo-bench\[lenet5\]'"):
        LeNet5()


def test_it_is_a_plain_optuna_objective():
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lenet5(), n_trials=2)
    for trial in study.trials:
        assert set(trial.params) == {"c1", "c3", "c5", "f6"}
        assert set(trial.intermediate_values) == {1, 2}
        assert trial.value == trial.intermediate_values[2]
        assert set(trial.user_attrs) == {"test_accuracy", "parameters", "diverged"}


def test_pruners_are_honoured():
    class PruneAll(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return True

    study = optuna.create_study(direction="maximize", pruner=PruneAll())
    study.optimize(lenet5(), n_trials=1)
    assert study.trials[0].state == optuna.trial.TrialState.PRUNED
    assert set(study.trials[0].intermediate_values) == {1}


def test_the_value_is_the_same_whichever_way_it_is_asked_for():
    objective = lenet5()
    configuration = {"c1": 4, "c3": 8, "c5": 32, "f6": 32}
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial(configuration)
    study.optimize(objective, n_trials=1)
    assert study.trials[0].value == objective.evaluate(configuration)


def test_parallel_trials_in_one_process_have_the_values_of_serial_ones():
    configurations = [{"c1": c1, "c3": 8, "c5": 32, "f6": 32} for c1 in (4, 6, 8, 12)]
    objective = lenet5(epochs=1)
    study = optuna.create_study(direction="maximize")
    for configuration in configurations:
        study.enqueue_trial(configuration)
    study.optimize(objective, n_trials=4, n_jobs=2)
    for trial in study.trials:
        assert trial.value == objective.evaluate(trial.params)


def test_named_spaces_are_legal():
    assert set(lenet5("widths").search_space) == {"c1", "c3", "c5", "f6"}
    full = lenet5("full").search_space
    assert set(full) == set(SPACES["full"])
    assert full["c1"] == IntDistribution(4, 64, log=True)
    assert isinstance(full["dropout"], FloatDistribution)
    assert isinstance(full["activation"], CategoricalDistribution)


def test_a_space_mixes_fixed_values_tables_and_distributions():
    objective = lenet5(
        {
            "c1": 8,
            "c3": {"low": 8, "high": 16, "step": 4},
            "learning_rate": FloatDistribution(1e-3, 1e-2, log=True),
        }
    )
    assert set(objective.search_space) == {"c3", "learning_rate"}
    evaluation = objective.start({"c3": 12, "learning_rate": 2e-3})
    layers = evaluation._network.layers(evaluation._tensors["weights"])
    assert layers["c3.weight"].shape == (12, 8, 5, 5)
    assert evaluation._configuration["learning_rate"] == 2e-3


def test_defaults_are_the_classic_widths_and_legal():
    assert [PARAMETERS[name].default for name in ("c1", "c3", "c5", "f6")] == [6, 16, 120, 84]
    for parameter in PARAMETERS.values():
        assert parameter.legal._contains(parameter.legal.to_internal_repr(parameter.default))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"space": "width"}, "space: 'width' cannot be used; did you mean 'widths'?"),
        ({"space": {"c2": 3}}, "space: 'c2' cannot be used; no such hyperparameter"),
        ({"space": {"c1": 0}}, "space.c1: 0 cannot be used; expected a whole number from 1"),
        ({"space": {"c1": {"low": 9, "high": 3}}}, "low must not be greater than high"),
        ({"space": {"activation": "relu6"}}, "space.activation: 'relu6' cannot be used"),
        ({"space": {"batch_size": 512}}, "train_size: 256 cannot be used; a batch of up to 512"),
        (
            {"space": {"batch_size": {"choices": [64, 512]}}},
            "train_size: 256 cannot be used; a batch of up to 512",
        ),
        ({"data": "cifar"}, "data: 'cifar' cannot be used; did you mean 'cifar10'?"),
        ({"data": "imagefolder"}, "data_dir: None cannot be used; name the directory"),
        ({"precision": "fp16"}, "precision: 'fp16' cannot be used"),
        ({"epochs": 0}, "epochs: 0 cannot be used; expected a whole number of 1 or more"),
        ({"epochs": 2.5}, "epochs: 2.5 cannot be used"),
        ({"validation_size": 0}, "validation_size: 0 cannot be used"),
        ({"test_size": -1}, "test_size: -1 cannot be used"),
        ({"train_size": True}, "train_size: True cannot be used"),
        ({"seed": -1}, "seed: -1 cannot be used; expected a whole number of 0 or more"),
        ({"data_dir": 3}, "data_dir: 3 cannot be used; expected a path"),
    ],
)
def test_bad_settings_are_told_at_construction(settings, message):
    with pytest.raises(InputError) as told:
        lenet5(**settings)
    assert message in str(told.value)


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ({"c1": 4, "c3": 8, "c5": 32}, "configuration: .*a value of each: c1, c3, c5, f6"),
        (
            {"c1": 4, "c3": 8, "c5": 32, "f6": 32, "dropout": 0.1},
            "configuration: .*a value of each: c1, c3, c5, f6",
        ),
        ({"c1": 4, "c3": 8, "c5": 32, "f6": 32.5}, r"configuration\.f6: 32\.5 .*whole number"),
        ({"c1": 4, "c3": 8, "c5": 32, "f6": 0}, r"configuration\.f6: 0 .*whole number from 1"),
        (
            {"c1": 4, "c3": 8, "c5": 32, "f6": {"low": 1, "high": 2}},
            r"configuration\.f6: .*whole number",
        ),
    ],
)
def test_a_configuration_that_does_not_fit_the_space_is_refused(configuration, message):
    with pytest.raises(InputError, match=message):
        lenet5().start(configuration)


def test_numbers_of_numpy_s_are_numbers():
    objective = lenet5({"c1": {"low": 1, "high": 8}, "learning_rate": {"low": 1e-4, "high": 1.0}})
    plain = objective.start({"c1": 4, "learning_rate": 0.5})
    given = {"c1": np.int64(4), "learning_rate": np.float32(0.5)}
    assert objective.restore(given, plain.checkpoint())._configuration == plain._configuration


def test_batches_larger_than_the_images_are_told_before_training():
    objective = lenet5({"batch_size": 200}, train_size=None, validation_size=100)
    objective._request = objective._request.__class__(
        **{**objective._request.__dict__, "train_size": 150}
    )
    with pytest.raises(InputError, match="train_size: 150 cannot be used; a batch of up to 200"):
        objective.prepare()


def test_what_was_evaluated_is_described_as_json():
    told = lenet5("widths").describe()
    assert json.loads(json.dumps(told)) == told
    assert "generated" in told["data"]
    assert (told["train_size"], told["validation_size"], told["test_size"]) == (256, 100, 100)
    assert len(told["data_sha256"]) == 64
    assert told["precision"] == "f32"
    assert told["fixed"]["batch_size"] == 64
    assert "c1" not in told["fixed"]


def test_it_goes_to_another_process_without_its_images():
    objective = lenet5()
    objective.prepare()
    sent = pickle.dumps(objective)
    assert len(sent) < 10_000
    assert pickle.loads(sent).describe() == objective.describe()


def test_the_default_is_the_classic_widths_where_they_are_searched():
    assert LeNet5().default == {"c1": 6, "c3": 16, "c5": 120, "f6": 84}
    assert LeNet5({"c1": {"low": 8, "high": 16}}).default is None
    assert LeNet5({"f6": {"low": 8, "high": 99}, "c1": 7}).default == {"f6": 84}
