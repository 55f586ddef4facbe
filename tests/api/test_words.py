"""What may be given as an objective, a method and a space, and the words that stand for it."""

import pickle
import subprocess
import sys
import types
from functools import partial

import functions
import optuna
import pytest
import toy
from optuna.distributions import FloatDistribution

from hpo_bench.api import words
from hpo_bench.errors import InputError
from hpo_bench.references import Reference


def made_here(trial):
    return trial.suggest_float("x", 0, 1)


def nested():
    def objective(trial):
        return trial.suggest_float("x", 0, 1)

    return objective


def with_data(trial, data):
    return trial.suggest_float("x", 0, 1) + data


class Problem:
    search_space = {"x": FloatDistribution(0, 1)}  # noqa: RUF012
    directions = [optuna.study.StudyDirection.MINIMIZE]  # noqa: RUF012

    def evaluate(self, params):
        return params["x"]


FUNCTION = {"name": "function", "options": {"function": "functions:smooth"}}


@pytest.mark.parametrize(
    ("objective", "table"),
    [
        (functions.smooth, FUNCTION),
        ("functions:smooth", FUNCTION),
        (toy.Curve, {"name": "toy:Curve"}),
        ("toy:Curve", {"name": "toy:Curve"}),
        ("lenet5", {"name": "lenet5"}),
    ],
)
def test_what_can_be_imported_is_named_by_its_path(objective, table):
    assert words.objective_table(objective, None, None) == table


@pytest.mark.parametrize("objective", [nested(), partial(with_data, data=1.0), lambda trial: 1.0])
def test_a_function_that_cannot_be_imported_is_held(objective):
    function = words.objective_table(objective, "maximize", 3)["options"]["function"]
    assert isinstance(function, Reference)
    assert function.held is objective


@pytest.mark.parametrize("objective", [Problem(), toy.Curve(epochs=2)])
def test_an_objective_that_is_made_is_copied_for_every_run(objective):
    name = words.objective_table(objective, None, None)["name"]
    assert type(name.held()) is type(objective)
    assert name.held() is not objective
    with pytest.raises(InputError, match="the objective says it itself"):
        words.objective_table(objective, "minimize", None)


def test_what_a_hub_has_loaded_is_sent_with_its_modules():
    package, module = types.ModuleType("a_hub"), types.ModuleType("a_hub.problems")
    text = "HALF = 0.5\nclass Problem:\n    search_space = directions = evaluate = HALF\n"
    exec(text, vars(module))
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "a_hub", package)
        patched.setitem(sys.modules, "a_hub.problems", module)
        sent = pickle.dumps(words.objective_table(module.Problem(), None, None)["name"])
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).held().evaluate)"
    assert subprocess.check_output([sys.executable, "-c", code], input=sent) == b"0.5\n"


@pytest.mark.parametrize(
    ("objective", "told"), [(3, "expected a function"), (with_data, "partial")]
)
def test_an_objective_that_cannot_be_used_is_told(objective, told):
    with pytest.raises(InputError, match=told):
        words.objective_table(objective, None, None)


def test_another_version_of_a_function_has_another_name():
    def version(text):
        space = {}
        exec(f"def objective(trial):\n    return {text}\n", space)
        return words.objective_table(space["objective"], None, None)["options"]["function"]

    assert words.version("functions:smooth") == words.version(functions.smooth)
    assert words.version(functions.smooth) != words.version(functions.conditional)
    assert words.version("lenet5") == ""
    assert version("1.0") == version("1.0")
    assert version("1.0") != version("2.0")
    one, other = partial(with_data, data=1.0), partial(with_data, data=2.0)
    assert words.objective_table(one, None, None) != words.objective_table(other, None, None)


def test_methods_of_every_kind():
    made = words.methods_table(
        [
            "random",
            "optuna.samplers:QMCSampler",
            optuna.samplers.TPESampler,
        ]
    )
    assert made == {
        "random": {"method": "random"},
        "QMCSampler": {"sampler": "optuna.samplers:QMCSampler"},
        "TPESampler": {"sampler": "optuna.samplers:TPESampler"},
    }
    pruner = optuna.pruners.MedianPruner(n_startup_trials=2)
    made = words.methods_table(
        {
            "multivariate": partial(optuna.samplers.TPESampler, multivariate=True),
            "pruned": ("pso", pruner),
            "table": {"sampler": optuna.samplers.RandomSampler, "options": {}},
        }
    )
    assert made["multivariate"]["sampler"].held(seed=1)._multivariate
    assert made["pruned"]["pruner"].held()._n_startup_trials == 2
    assert made["pruned"]["pruner"].held() is not pruner
    assert made["table"] == {"sampler": "optuna.samplers:RandomSampler", "options": {}}
    named = words.methods_table([("pso", pruner), {"method": "bohb"}])
    assert list(named) == ["pso+MedianPruner", "bohb"]


@pytest.mark.parametrize(
    ("methods", "told"),
    [
        ("random", "expected a list"),
        (["random", "random"], "two have this name"),
        ([optuna.samplers.TPESampler()], r"lambda seed: TPESampler\(seed=seed\)"),
        ([3], "expected a name, a sampler's class"),
        ([{"options": {}}], "expected a name, a method or a sampler"),
    ],
)
def test_methods_that_cannot_be_used_are_told(methods, told):
    with pytest.raises(InputError, match=told):
        words.methods_table(methods)


def test_a_space_of_distributions_is_written_as_a_table():
    space = {"lr": FloatDistribution(1e-4, 0.1, log=True), "size": 64, "n": {"low": 1, "high": 3}}
    assert words.space_table(space) == {
        "lr": {"low": 1e-4, "high": 0.1, "log": True},
        "size": 64,
        "n": {"low": 1, "high": 3},
    }
