"""Generators as objectives: called, gone on with, and refused where they cannot be used."""

import doctest

import generators
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection

import hpo_bench
from hpo_bench.conformance import Verdict, candidate, check
from hpo_bench.errors import InputError
from hpo_bench.objectives import steps as steps_module
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run
from hpo_bench.storage.opening import open_storage
from hpo_bench.storage.studies import load_study, study_names


@pytest.fixture(autouse=True)
def calls():
    generators.CALLS.clear()
    return generators.CALLS


@pytest.mark.parametrize("name", ["descent", "saved"])
def test_it_keeps_the_promises_of_an_objective(name):
    found = {f.check: f for f in check(candidate(f"generators:{name}", {"steps": 4}))}
    assert not found["resumable"].detail
    assert all(finding.verdict is not Verdict.FAILED for finding in found.values()), found


def test_replaying_repeats_the_steps_and_a_state_does_not(calls):
    training = generators.saved.start({"rate": 0.5})
    values = [training.advance() for _ in range(3)]
    state = training.checkpoint()
    calls.clear()
    resumed = generators.saved.restore({"rate": 0.5}, state)
    assert resumed.checkpoint() == state
    assert [resumed.advance() for _ in range(2)] == [values[-1] / 2, values[-1] / 4]
    assert calls == [values[-1], values[-1] / 2]
    training = generators.descent.start({"rate": 0.5})
    values = [training.advance() for _ in range(4)]
    resumed = generators.descent.restore({"rate": 0.5}, training.checkpoint())
    assert resumed.measurements() == {"start": 0.5}
    assert resumed.advance() == training.advance()
    assert generators.descent.start({"rate": 0.5}).checkpoint() is None


def test_a_function_that_does_not_repeat_is_told_of():
    objective = hpo_bench.steps(generators.restless, steps=3, space=generators.SPACE)
    training = objective.start({"rate": 0.5})
    training.advance()
    with pytest.raises(ValueError, match="it does not repeat, and needs save and load"):
        objective.restore({"rate": 0.5}, training.checkpoint())


def test_an_optuna_study_can_optimise_it_and_each_training_is_closed(calls):
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=0.0))
    study.optimize(generators.descent, n_trials=2)
    assert [len(trial.intermediate_values) for trial in study.trials] == [1, 1]
    assert calls.count("closed") == 2


def test_a_suite_gives_it_seed_space_and_steps(toy_suite, tmp_path, calls):
    objective = {"name": "generators:descent", "options": {"steps": 3}}
    suite = toy_suite(
        objective=objective, space={"rate": {"low": 0.1, "high": 0.2}, "start": 4.0}, confirm=1
    )
    assert suite.check() == []
    run = Run(suite, "random", 0, tmp_path)
    assert execute(run).finished == "epochs spent"
    trials = load_study(open_storage(suite.storage), run.study_name).get_trials()
    assert [len(trial.intermediate_values) for trial in trials] == 10 * [3]
    assert all(0.1 <= trial.params["rate"] <= 0.2 for trial in trials)
    assert all(trial.user_attrs["start"] < 4.0 for trial in trials)
    assert calls.count("closed") == len(calls) / 2
    (notice,) = toy_suite(objective={"name": "generators:saved"}, confirm=1).check()
    assert "takes no seed" in notice


def test_runs_of_a_comparison_give_it_their_seeds(tmp_path):
    url = f"sqlite:///{tmp_path / 'compared.db'}"
    compared = hpo_bench.compare(
        generators.descent, ["random"], seeds=2, n_trials=1, storage=url, workers=0
    )
    assert compared.runs["suite"].nunique() == 1
    studies = [load_study(open_storage(url), name) for name in study_names(open_storage(url))]
    noise = {
        trial.value - trial.user_attrs["start"] for study in studies for trial in study.get_trials()
    }
    assert len(noise) == 2


def test_its_words_are_those_of_an_objective():
    assert generators.saved.directions == [StudyDirection.MAXIMIZE]
    assert generators.saved.search_space == {"rate": FloatDistribution(1e-3, 0.9, log=True)}
    assert (generators.descent.metric_name, generators.descent.fidelity_name) == ("loss", "epochs")


def test_its_example_is_true():
    assert doctest.testmod(steps_module) == (0, 4)


def ends(rate):
    yield rate


def unpaired(rate, state=None):
    yield rate


def unnamed(rate):
    yield {"accuracy": rate}


def textual(rate):
    yield "high"


@pytest.mark.parametrize(
    ("function", "options", "reason"),
    [
        (ends, {}, "ends ended after step 1 of 2"),
        (unpaired, {"save": bytes, "load": bytes}, "expected a value, state"),
        (unnamed, {}, "expected a 'value'"),
        (textual, {}, "could not convert string to float"),
    ],
)
def test_what_it_yields_is_checked(function, options, reason):
    objective = hpo_bench.steps(function, steps=2, space=generators.SPACE, **options)
    with pytest.raises(ValueError, match=reason):
        objective.evaluate({"rate": 0.5})


@pytest.mark.parametrize(
    ("changes", "field", "expected"),
    [
        ({"function": len}, "function", "a generator function"),
        ({"steps": 0}, "steps", "1 or more"),
        ({"direction": "up"}, "direction", "minimize or maximize"),
        ({"save": bytes}, "save, load", "both, or none"),
        ({"save": bytes, "load": bytes}, "function", "a parameter state=None"),
        ({"space": {"rat": 0.5}}, "space", "did you mean 'rate'"),
        ({"space": {"seed": 1, "rate": 0.5}}, "space", "no such parameter"),
        ({"space": {"start": 1.0}}, "space.rate", "descend needs it"),
        ({"space": {"rate": [1, 2]}}, "space.rate", "choices = [2, 16]"),
    ],
)
def test_what_cannot_be_used_is_told(changes, field, expected):
    given = {"function": generators.descend, "steps": 3, "space": generators.SPACE, **changes}
    with pytest.raises(InputError) as told:
        hpo_bench.steps(given.pop("function"), **given)
    assert told.value.field == field
    assert expected in str(told.value)
