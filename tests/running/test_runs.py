import gc
import json
from pathlib import Path

import optuna
import psutil
import pytest
from cuts import Killed, Writes
from optuna.trial import TrialState

from hpo_bench.analysis.results import collect
from hpo_bench.errors import HpoBenchError
from hpo_bench.running import execution
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run
from hpo_bench.storage.opening import open_storage
from hpo_bench.storage.outages import OutageError
from hpo_bench.storage.records import jobs_of
from hpo_bench.storage.studies import load_study

METHODS = {
    "grid": {},
    "random": {},
    "pso": {},
    "bohb": {},
    "tpe": {"sampler": "optuna.samplers:TPESampler", "options": {"n_startup_trials": 3}},
    "asha": {
        "sampler": "optuna.samplers:RandomSampler",
        "pruner": "optuna.pruners:SuccessiveHalvingPruner",
    },
}


def the_run(suite, tmp_path, method="random", seed=0):
    return Run(suite, method, seed, tmp_path / "checkpoints")


def two_places(toy_suite, tmp_path, method):
    """The same run, in two storages that know nothing of each other."""
    for name in ("a", "b"):
        url = f"sqlite:///{tmp_path / name}.db"
        yield the_run(toy_suite(methods=METHODS, storage=url), tmp_path / name, method)


def study_of(run):
    return load_study(open_storage(run.suite.storage), run.study_name)


def told(study):
    """What a run found, without its times."""
    return [
        (
            trial.number,
            trial.state,
            trial.params,
            trial.value,
            trial.intermediate_values,
            trial.user_attrs["epochs"],
            [(job.fidelity, job.value, job.epochs) for job in jobs_of(trial)],
        )
        for trial in study.get_trials()
    ]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_spends_the_same_budget(toy_suite, tmp_path, method):
    run = the_run(toy_suite(methods=METHODS, budget={"epochs": 45}), tmp_path, method)
    status = execute(run)
    assert status.finished == "epochs spent"
    spent = sum(trial.user_attrs["epochs"] for trial in study_of(run).trials)
    assert 45 <= spent < 45 + 3


def test_a_trial_says_what_was_measured(toy_suite, tmp_path):
    run = the_run(toy_suite(budget={"evaluations": 1}), tmp_path)
    execute(run, worker="w7")
    (trial,) = study_of(run).trials
    assert trial.state is TrialState.COMPLETE
    assert list(trial.intermediate_values) == [1, 2, 3]
    assert trial.value == trial.intermediate_values[3]
    attributes = trial.user_attrs
    assert attributes["test_accuracy"] == 1.0
    assert attributes["parameters"] == 2
    (job,) = jobs_of(trial)
    assert (job.fidelity, job.value, job.epochs) == (3, trial.value, 3)
    assert attributes["epochs"] == 3
    assert attributes["worker"] == "w7"
    parts = [attributes[f"{p}_seconds"] for p in ("train", "sampler", "storage")]
    assert all(seconds >= 0 for seconds in parts)
    assert sum(parts) <= attributes["wall_seconds"]


def test_a_study_says_what_its_run_was(toy_suite, tmp_path):
    run = the_run(toy_suite(budget={"epochs": 3}), tmp_path)
    execute(run)
    study = study_of(run)
    assert study.study_name == "toy/random/seed-00"
    assert study.metric_names == ["score"]
    attributes = study.user_attrs
    expected = {
        "suite": "toy",
        "method": "random",
        "seed": 0,
        "budget": {"epochs": 3, "free_repeats": 20},
        "data": "toy plain",
    }
    assert expected.items() <= attributes.items()
    assert {"python", "optuna", "numpy", "hpo-bench", "cpu", "gpu", "platform"} <= set(attributes)


@pytest.mark.parametrize(
    ("budget", "ended", "evaluations"),
    [
        ({"evaluations": 4}, "evaluations spent", 4),
        ({"epochs": 10}, "epochs spent", 4),
        ({"epochs": 300, "target": -1000.0}, "target reached", 1),
    ],
)
def test_a_run_ends_at_its_limit(toy_suite, tmp_path, budget, ended, evaluations):
    status = execute(the_run(toy_suite(budget=budget), tmp_path))
    assert (status.finished, status.evaluations) == (ended, evaluations)


def test_seconds_end_a_run_within_one_evaluation(toy_suite, tmp_path):
    objective = {"name": "toy:Curve", "options": {"unit_seconds": 0.05}}
    run = the_run(toy_suite(objective=objective, budget={"seconds": 0.5}), tmp_path)
    assert execute(run).finished == "seconds spent"
    walls = [trial.user_attrs["wall_seconds"] for trial in study_of(run).trials]
    assert sum(walls[:-1]) < 0.5 <= sum(walls)


def test_a_grid_that_is_done_ends_the_run(toy_suite, tmp_path):
    space = {"x": {"low": 0, "high": 2}, "y": 0.0}
    run = the_run(toy_suite(space=space, methods={"grid": {}}), tmp_path, "grid")
    status = execute(run)
    assert (status.finished, status.evaluations) == ("nothing left to try", 3)
    assert sorted(trial.params["x"] for trial in study_of(run).trials) == [0, 1, 2]


def test_a_pruned_trial_counts_what_it_trained(toy_suite, tmp_path):
    run = the_run(toy_suite(methods=METHODS), tmp_path, "asha")
    execute(run)
    pruned = [t for t in study_of(run).trials if t.state is TrialState.PRUNED]
    assert pruned
    assert all(t.user_attrs["epochs"] == len(t.intermediate_values) < 3 for t in pruned)


@pytest.mark.parametrize("pruner", ["MedianPruner", "PercentilePruner"])
def test_a_pruner_that_answers_in_numpys_words_is_understood(toy_suite, tmp_path, pruner):
    options = {"n_startup_trials": 1, "n_warmup_steps": 0}
    if pruner == "PercentilePruner":
        options["percentile"] = 50.0
    method = {
        "sampler": "optuna.samplers:RandomSampler",
        "pruner": f"optuna.pruners:{pruner}",
        "pruner_options": options,
    }
    run = the_run(toy_suite(methods={"pruned": method}), tmp_path, "pruned")
    assert execute(run).finished == "epochs spent"
    assert TrialState.PRUNED in {trial.state for trial in study_of(run).trials}


def test_a_finished_run_is_only_reported(toy_suite, tmp_path):
    run = the_run(toy_suite(), tmp_path)
    first = execute(run)
    assert execute(run) == first
    assert len(study_of(run).trials) == 10


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_run(toy_suite, tmp_path, method):
    first, second = two_places(toy_suite, tmp_path, method)
    execute(first)
    execute(second)
    assert told(study_of(first)) == told(study_of(second))


@pytest.mark.parametrize("method", ["random", "bohb", "grid", "pso"])
def test_a_run_cut_after_a_storage_write_ends_as_if_never_stopped(
    toy_suite, tmp_path, method, monkeypatch
):
    objective = {"name": "toy:Curve", "options": {"epochs": 2}}
    budget = {"epochs": 4}
    methods = METHODS | {"bohb": {"options": {"eta": 2}}}
    writes = Writes(monkeypatch)

    def a_run(place):
        url = f"sqlite:///{tmp_path}/{place}.db"
        suite = toy_suite(methods=methods, storage=url, objective=objective, budget=budget)
        return the_run(suite, tmp_path / str(place), method)

    whole = a_run("whole")
    execute(whole)
    n_writes = writes.count
    assert n_writes > 12
    # Methods differ in their asks alone: every write of one of them, some of the others'.
    for cut in range(1, n_writes, 1 if method == "bohb" else 4):
        run = a_run(cut)
        writes.allow(cut)
        with pytest.raises(Killed):
            execute(run)
        writes.allow()
        assert execute(run).finished == "epochs spent"
        assert told(study_of(run)) == told(study_of(whole)), f"cut after write {cut}"


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_is_stopped_goes_on_and_trains_nothing_twice(toy_suite, tmp_path, method):
    log = tmp_path / "log"
    objective = {"name": "toy:Curve", "options": {"log": str(log), "unit_seconds": 0.02}}
    suite = toy_suite(methods=METHODS, objective=objective)
    run = the_run(suite, tmp_path, method)
    stops = 0
    while True:
        calls = 0

        def after_seven_units():
            nonlocal calls
            calls += 1
            return calls > 7

        if execute(run, should_stop=after_seven_units).finished:
            break
        stops += 1
    assert stops >= 3
    trained = [json.loads(line) for line in log.read_text().splitlines()]
    study = study_of(run)
    assert len(trained) == sum(trial.user_attrs["epochs"] for trial in study.trials)
    assert all(trial.state.is_finished() for trial in study.trials)
    assert not any("restarted" in trial.user_attrs for trial in study.trials)
    for trial in study.trials:
        assert trial.user_attrs["train_seconds"] <= trial.user_attrs["wall_seconds"]


def test_a_sampler_with_state_of_its_own_repeats_nothing_after_a_stop(toy_suite, tmp_path):
    space = {"x": {"low": -100, "high": 100}, "y": {"low": -100.0, "high": 100.0}}
    methods = {"foreign": {"sampler": "optuna.samplers:RandomSampler"}}
    run = the_run(toy_suite(methods=methods, space=space), tmp_path, "foreign")
    calls = iter(range(10_000))
    execute(run, should_stop=lambda: next(calls) == 14)
    execute(run)
    params = [tuple(trial.params.values()) for trial in study_of(run).trials]
    assert len(params) == len(set(params)) == 10


def test_bohb_continues_a_promoted_configuration(toy_suite, tmp_path):
    log = tmp_path / "log"
    objective = {"name": "toy:Curve", "options": {"epochs": 9, "log": str(log)}}
    budget = {"epochs": 90, "free_repeats": 0}
    suite = toy_suite(methods={"bohb": {}}, objective=objective, budget=budget)
    run = the_run(suite, tmp_path, "bohb")
    execute(run)
    complete = [t for t in study_of(run).trials if t.state is TrialState.COMPLETE]
    promoted = [t for t in complete if len(jobs_of(t)) > 1]
    assert promoted
    assert all(t.user_attrs["epochs"] == 9 for t in complete)
    assert len(log.read_text().splitlines()) == sum(
        t.user_attrs["epochs"] for t in study_of(run).trials
    )


def test_a_lost_checkpoint_is_noted_and_the_repeated_training_counted(toy_suite, tmp_path):
    objective = {"name": "toy:Curve", "options": {"epochs": 9}}
    suite = toy_suite(methods={"bohb": {}}, objective=objective, budget={"epochs": 60})
    run = the_run(suite, tmp_path, "bohb")
    stop = iter(range(10_000))
    execute(run, should_stop=lambda: next(stop) == 9)  # the bracket's first rung is done
    for path in (tmp_path / "checkpoints").rglob("*.checkpoint"):
        path.unlink()
    execute(run)
    restarted = [t for t in study_of(run).trials if "restarted" in t.user_attrs]
    assert restarted
    assert all(t.user_attrs["epochs"] > max(t.intermediate_values) for t in restarted)


@pytest.mark.parametrize("lost", [0, 5])
def test_an_evaluation_that_lost_epochs_says_that_it_began_again(toy_suite, tmp_path, lost):
    """A process that is gone had reported some, and has left no checkpoint."""
    objective = {"name": "toy:Curve", "options": {"epochs": 9}}
    run = the_run(toy_suite(objective=objective, budget={"evaluations": 2}), tmp_path)
    reports = iter(range(1, 100))

    def die(_status):
        if next(reports) == 9 + lost:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(run, notify=die)
    execute(run)
    told = ["restarted" in trial.user_attrs for trial in study_of(run).trials]
    assert told == ([False, True] if lost else [True, False])


def test_no_checkpoint_stays_behind(toy_suite, tmp_path):
    run = the_run(toy_suite(methods=METHODS), tmp_path, "bohb")
    execute(run)
    assert list((tmp_path / "checkpoints").rglob("*.checkpoint")) == []


def test_a_failed_evaluation_is_recorded_with_its_reason_and_the_run_goes_on(toy_suite, tmp_path):
    objective = {"name": "toy:Curve", "options": {"fail_at": 0}}
    space = {"x": {"choices": [0, 1, 2]}, "y": {"low": -4.0, "high": 4.0}}
    run = the_run(toy_suite(objective=objective, space=space), tmp_path)
    assert execute(run).finished
    failed = [t for t in study_of(run).trials if t.state is TrialState.FAIL]
    assert failed
    assert all(t.user_attrs["error"] == "RuntimeError: this x always fails" for t in failed)
    assert collect(open_storage(run.suite.storage), "toy").methods[0].failed == len(failed)


def test_too_many_failures_in_a_row_end_the_run(toy_suite, tmp_path):
    objective = {"name": "toy:Curve", "options": {"fail_at": 1}}
    space = {"x": 1, "y": {"low": -4.0, "high": 4.0}}
    run = the_run(toy_suite(objective=objective, space=space), tmp_path)
    told = rf"{execution.MAX_FAILURES} evaluations in a row failed"
    with pytest.raises(HpoBenchError, match=told):
        execute(run)


def test_a_changed_suite_under_the_same_name_is_refused_with_the_difference(toy_suite, tmp_path):
    execute(the_run(toy_suite(budget={"epochs": 3}), tmp_path))
    with pytest.raises(HpoBenchError) as caught:
        execute(the_run(toy_suite(budget={"epochs": 6}), tmp_path))
    told = [{"epochs": epochs, "free_repeats": 20} for epochs in (3, 6)]
    assert f"budget: {told[0]} there, {told[1]} here" in str(caught.value)
    other = {"name": "toy:Curve", "options": {"flavour": "sweet"}}
    with pytest.raises(HpoBenchError, match="data: 'toy plain' there, 'toy sweet' here"):
        execute(the_run(toy_suite(budget={"epochs": 3}, objective=other), tmp_path))


def test_a_study_whose_creation_was_cut_short_is_completed(toy_suite, tmp_path):
    run = the_run(toy_suite(budget={"epochs": 3}), tmp_path)
    optuna.create_study(
        storage=run.suite.storage, study_name=run.study_name, direction="maximize"
    ).set_user_attr("suite", "toy")
    assert execute(run).finished
    assert study_of(run).user_attrs["method"] == "random"


def test_a_foreign_study_of_the_same_name_is_left_alone(toy_suite, tmp_path):
    run = the_run(toy_suite(), tmp_path)
    foreign = optuna.create_study(storage=run.suite.storage, study_name=run.study_name)
    foreign.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    with pytest.raises(HpoBenchError, match="made otherwise"):
        execute(run)
    assert len(study_of(run).trials) == 2


def test_a_database_that_is_made_anew_does_not_meet_old_checkpoints(toy_suite, tmp_path):
    objective = {"name": "toy:Curve", "options": {"epochs": 9}}
    run = the_run(toy_suite(objective=objective), tmp_path)
    calls = iter(range(100))
    execute(run, should_stop=lambda: next(calls) == 5)
    (tmp_path / "toy.db").unlink()
    execute(run)
    first = study_of(run).trials[0]
    x, y = first.params["x"], first.params["y"]
    assert first.intermediate_values == {e: -(x**2 + y**2) - 10 / e for e in range(1, 10)}
    assert first.user_attrs["epochs"] == 9


def test_an_objective_whose_space_has_changed_is_refused(toy_suite, tmp_path, monkeypatch):
    import toy

    run = the_run(toy_suite(budget={"epochs": 3}), tmp_path)
    execute(run)
    monkeypatch.setitem(toy.SPACE, "x", {"low": -3, "high": 3})
    with pytest.raises(HpoBenchError, match=r"search_space: .*'low': -4.*'low': -3"):
        execute(run)


def test_a_finite_sampler_of_optunas_ends_its_run(toy_suite, tmp_path):
    methods = {"all": {"sampler": "optuna.samplers:BruteForceSampler"}}
    space = {"x": {"low": 0, "high": 2}, "y": 0.0}
    run = the_run(toy_suite(space=space, methods=methods), tmp_path, "all")
    assert execute(run).finished == "nothing left to try"
    assert sorted(t.params["x"] for t in study_of(run).trials) == [0, 1, 2]


@pytest.mark.parametrize("measurement", [{"epochs": 3}, {"note": "text"}])
def test_a_measurement_that_cannot_be_recorded_is_named(
    toy_suite, tmp_path, measurement, monkeypatch
):
    import toy

    monkeypatch.setattr(toy._Climb, "measurements", lambda self: measurement)
    (name,) = measurement
    with pytest.raises(HpoBenchError, match=f"measurement '{name}'"):
        execute(the_run(toy_suite(), tmp_path))


def test_an_evaluation_that_does_not_advance_is_told(toy_suite, tmp_path, monkeypatch):
    import toy

    monkeypatch.setattr(toy._Climb, "advance", lambda self: 0.0)
    with pytest.raises(HpoBenchError, match=r"_Climb\.fidelity is 0; expected 1 by now"):
        execute(the_run(toy_suite(), tmp_path))


@pytest.mark.parametrize(
    "error", [HpoBenchError("not mine"), NotImplementedError("never"), OSError]
)
def test_a_checkpoint_that_the_objective_refuses_starts_the_evaluation_again(
    toy_suite, tmp_path, monkeypatch, caplog, error
):
    import toy

    def refuse(*_):
        raise error

    objective = {"name": "toy:Curve", "options": {"epochs": 9}}
    suite = toy_suite(methods={"bohb": {}}, objective=objective, budget={"epochs": 40})
    run = the_run(suite, tmp_path, "bohb")
    monkeypatch.setattr(toy.Curve, "restore", refuse)
    assert execute(run).finished == "epochs spent"
    assert any("restarted" in trial.user_attrs for trial in study_of(run).trials)
    assert not any(trial.state is TrialState.FAIL for trial in study_of(run).trials)
    assert "the evaluation starts again" in caplog.text


def test_a_storage_that_is_away_while_an_evaluation_is_taken_up_does_not_start_it_again(
    toy_suite, tmp_path, monkeypatch
):
    """What was saved is reported once more then, and that may fail for reasons of its own."""
    objective = {"name": "toy:Curve", "options": {"epochs": 9}}
    run = the_run(toy_suite(objective=objective, budget={"evaluations": 1}), tmp_path)
    calls = iter(range(100))
    execute(run, should_stop=lambda: next(calls) == 5)

    def away(_status):
        raise OutageError("it is away")

    with pytest.raises(OutageError):
        execute(run, notify=away)
    execute(run)
    (trial,) = study_of(run).trials
    assert trial.user_attrs["epochs"] == 9
    assert "restarted" not in trial.user_attrs


@pytest.fixture
def _no_collection():
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collection")
def test_a_run_that_is_over_leaves_no_connection_open(toy_suite, tmp_path):
    suite = toy_suite(methods=METHODS, confirm=1)
    for seed in range(3):
        execute(the_run(suite, tmp_path, seed=seed))
    opened = [Path(file.path) for file in psutil.Process().open_files()]
    assert [file for file in opened if file.is_relative_to(tmp_path)] == []
