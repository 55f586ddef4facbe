"""A function of Optuna's as an objective: unchanged, and evaluated as Optuna evaluates it."""

import functions
import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from hpo_bench.errors import HpoBenchError, InputError
from hpo_bench.objectives.function import Function
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run
from hpo_bench.spaces import UnknownSpaceError
from hpo_bench.storage.opening import open_storage
from hpo_bench.storage.records import jobs_of
from hpo_bench.storage.studies import load_study

MEDIAN = {"pruner": "optuna.pruners:MedianPruner", "pruner_options": {"n_startup_trials": 2}}


@pytest.fixture
def trials(toy_suite, tmp_path):
    """Execute a run of a function; give its trials."""

    def run(function, method="random", *, until=lambda: False, **changes):
        function, _, direction = function.partition(" ")
        options = {"function": f"functions:{function}", "direction": direction or "minimize"}
        options |= changes.pop("options", {})
        table = {
            "objective": {"name": "function", "options": options},
            "budget": {"evaluations": 9},
            "methods": {"random": {}, "tpe": {"sampler": "optuna.samplers:TPESampler"}},
            **changes,
        }
        made = Run(toy_suite(**table), method, 3, tmp_path / "checkpoints")
        made.suite.check()
        execute(made, should_stop=until)
        return load_study(open_storage(made.suite.storage), made.study_name).get_trials()

    return run


def shown(trial):
    return trial.state, trial.params, trial.value, trial.intermediate_values, trial.distributions


@pytest.mark.parametrize("places", [{}, {"workers_per_run": 2, "deterministic": True}])
def test_a_run_is_what_optuna_alone_makes_of_the_function(trials, places):
    method = {"sampler": "optuna.samplers:TPESampler", "options": {"n_startup_trials": 4}}
    found = trials("conditional", "tpe", methods={"tpe": method | MEDIAN}, **places)
    assert {trial.state for trial in found} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert {tuple(trial.params) for trial in found} == {("kind", "width"), ("kind", "depth")}
    for trial in found:
        assert trial.user_attrs["epochs"] == max(1, len(trial.intermediate_values))
        if "depth" in trial.params:  # a name that the harness uses keeps its value beside it
            assert trial.user_attrs["own_epochs"] == trial.params["depth"]
            assert trial.user_attrs["layers"] == {"count": trial.params["depth"]}
    if places:  # whatever runs beside it changes what a sampler knows
        assert {trial.user_attrs["worker"] for trial in found} == {"main.1", "main.2"}
        return
    assert any(trial.state is TrialState.PRUNED for trial in found)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=3, n_startup_trials=4),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=2),
    )
    study.optimize(functions.conditional, n_trials=len(found))
    assert [shown(trial) for trial in found] == [shown(trial) for trial in study.get_trials()]


def test_a_run_that_was_stopped_in_a_call_makes_the_call_again(trials):
    questions = iter([False] * 35 + [True] * 100)
    kept = trials("smooth", until=lambda: next(questions))
    assert [trial.state for trial in kept][-1] is TrialState.RUNNING
    found = trials("smooth")
    assert len(found) == 9
    assert all(trial.state is TrialState.COMPLETE for trial in found)
    assert found[len(kept) - 1].params == kept[-1].params
    assert found[len(kept) - 1].user_attrs["restarted"]


def test_what_goes_wrong_is_a_failed_trial_with_its_reason(trials):
    in_order = {"grid": {"options": {"shuffle": False}}}
    space = {"x": {"low": 0, "high": 5}}
    found = trials("unruly", "grid", methods=in_order, space=space, budget={"evaluations": 6})
    by_x = {trial.params["x"]: trial for trial in found}
    reasons = {x: trial.user_attrs.get("error", "") for x, trial in by_x.items()}
    assert reasons[0] == "the function returned None; expected a number"
    assert reasons[1] == "the value is nan"
    assert by_x[2].state is TrialState.PRUNED
    assert jobs_of(by_x[2])[0].value is None
    assert reasons[3].startswith("ValueError")
    assert "no method would be told" in reasons[4]
    assert by_x[5].value == 0.5


def test_a_schedule_takes_the_function_to_a_step_and_calls_it_again(trials):
    space = {"x": {"low": -4.0, "high": 4.0}, "y": {"low": -4.0, "high": 4.0}}
    found = trials(
        "smooth",
        "bohb",
        methods={"bohb": {"options": {"min_epochs": 1, "max_epochs": 9, "eta": 3}}},
        budget={"epochs": 27},
        space=space,
        options={"steps": 9},
    )
    fidelities = [[job.fidelity for job in jobs_of(trial)] for trial in found]
    assert [1] in fidelities
    assert [1, 3, 9] in fidelities
    spent = [job.epochs for trial in found for job in jobs_of(trial)]
    assert sum(spent) >= 27
    assert 9 in spent  # from the start: it cannot be continued


def test_a_method_that_needs_the_space_says_so_and_takes_it(trials):
    with pytest.raises(UnknownSpaceError, match=r"methods.grid: .* needs the space beforehand"):
        trials("smooth", "grid", methods={"grid": {"options": {"levels": 3}}})
    space = {"x": {"low": -1.0, "high": 1.0}, "y": 0.5}
    found = trials("smooth", "grid", methods={"grid": {"options": {"levels": 3}}}, space=space)
    assert sorted(trial.params["x"] for trial in found) == [-1.0, 0.0, 1.0]
    assert {trial.value for trial in found} == {1.25 + 1 / 9, 0.25 + 1 / 9}


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"x": {"low": -1.0, "high": 1.0}}, r"space.y: .*'low': -4.0, 'high': 4.0"),
        ({"x": 0.5, "y": {"low": -9.0, "high": 9.0}}, r"space.y: 9.0 .* from -4.0 to 4.0"),
        ({"x": {"low": -1, "high": 1}, "y": 0.5}, r"space.x: 1 .* with a point"),
    ],
)
def test_a_space_that_is_not_the_functions_is_told_by_name(space, told):
    values = {name: table["high"] for name, table in space.items() if isinstance(table, dict)}
    with pytest.raises(InputError, match=told):
        Function(functions.smooth, space=space).evaluate(values)


def test_it_stays_an_objective_of_optuna():
    study = optuna.create_study(direction="minimize")
    study.optimize(Function("functions:conditional"), n_trials=3)
    assert all(trial.state is TrialState.COMPLETE for trial in study.trials)


@pytest.mark.parametrize(
    "arguments",
    [
        {"function": "functions:nothing"},
        {"function": 3},
        {"function": functions.smooth, "direction": "max"},
        {"function": functions.smooth, "steps": 0},
        {"function": functions.smooth, "space": [1]},
    ],
)
def test_arguments_that_cannot_be_used_are_told(arguments):
    with pytest.raises(InputError):
        Function(**arguments)


def test_a_suite_names_it_by_its_path(toy_suite, tmp_path):
    def run(function):
        objective = {"function": f"functions:{function}", "direction": "maximize"}
        suite = toy_suite(objective=objective, budget={"evaluations": 2})
        return suite, Run(suite, "random", 0, tmp_path)

    suite, first = run("smooth")
    assert suite.check() == []
    assert execute(first).finished == "evaluations spent"
    study = load_study(open_storage(suite.storage), first.study_name)
    assert study.direction is StudyDirection.MAXIMIZE
    assert study.user_attrs["objective"] == "function"
    assert study.user_attrs["resolved_suite"]["objective"] == suite.objective.model_dump(
        exclude_defaults=True
    )
    with pytest.raises(HpoBenchError, match=r"functions:smooth.* there, .*functions:conditional"):
        execute(run("conditional")[1])
