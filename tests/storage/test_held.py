"""A study that is kept in memory says what the database holds, and writes it in time."""

import math

import optuna
import pytest
import sqlalchemy
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial
from test_rdb import SPACE, as_shown

from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run
from hpo_bench.storage.opening import backend_of, hold, open_storage, write_out
from hpo_bench.storage.studies import describe, glance, set_user_attrs, tell

COMMITS, STATEMENTS = 6, 20
"""What an evaluation with one report may cost, whatever its parameters and measurements are."""


@pytest.fixture
def storage(any_url):
    return open_storage(any_url)


@pytest.fixture
def study(storage):
    """One that holds a trial already when it is taken into memory."""
    made = optuna.create_study(storage=storage, study_name="s")
    made.tell(made.ask(SPACE), 1.0)
    hold(storage, made._study_id)
    return made


@pytest.fixture
def stored(any_url, study):
    """Give what the database holds of the study, as Optuna reads it."""
    return lambda: RDBStorage(any_url).get_all_trials(study._study_id)


def test_it_says_what_the_database_holds(study, storage, stored):
    trials = [study.ask(SPACE) for _ in range(4)]
    for step, value in enumerate((0.5, math.nan, math.inf)):
        trials[0].report(value, step)
    trials[0].set_user_attr("list", [1, (2, None)])
    trials[0].set_user_attr("text", "ä")
    storage.set_trial_system_attr(trials[0]._trial_id, "own", {"a": 1})
    set_user_attrs(trials[1], {"a": 1, "b": 0.1, "c": True})
    study.tell(trials[0], -math.inf)
    study.tell(trials[1], state=TrialState.FAIL)
    trials[2].report(2.0, 1)
    tell(study, trials[2], state=TrialState.PRUNED)
    study.enqueue_trial({"x": 0.5})
    study.add_trial(create_trial(value=2.0, user_attrs={"added": True}))
    assert study.ask().params == {}  # the one that waited
    write_out(storage)
    assert len(study.trials) == 7
    assert as_shown(study.trials) == as_shown(stored())
    for states in [(TrialState.RUNNING,), (TrialState.COMPLETE, TrialState.RUNNING)]:
        assert as_shown(study.get_trials(states=states)) == as_shown(
            t for t in stored() if t.state in states
        )


def test_reports_and_states_are_written_at_once_and_parameters_with_them(study, storage, stored):
    trial = study.ask(SPACE)
    trial.set_user_attr("a", 1)
    assert (stored()[1].params, stored()[1].user_attrs) == ({}, {})
    trial.report(0.5, 1)
    assert as_shown(stored()) == as_shown(study.trials)
    other = study.ask(SPACE)
    write_out(storage)
    assert stored()[2].params == other.params
    study.tell(other, 1.0)
    assert stored()[2].value == 1.0


def test_what_optuna_refuses_is_refused(study):
    trial = study.ask(SPACE)
    study.tell(trial, 1.0)
    for write in (
        lambda: trial.set_user_attr("a", 1),
        lambda: trial.report(1.0, 1),
        lambda: trial.suggest_float("new", 0, 1),
    ):
        with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
            write()
    with pytest.raises(ValueError, match="different distribution kind"):
        study.ask().suggest_int("x", 0, 1)


def test_trials_that_somebody_adds_by_hand_are_seen_with_the_next_one(any_url, study, stored):
    optuna.load_study(study_name="s", storage=any_url).add_trial(create_trial(value=5.0))
    study.tell(study.ask(SPACE), 1.0)
    assert [t.number for t in study.trials] == [0, 1, 2]
    assert as_shown(study.trials) == as_shown(stored())


def test_other_studies_are_read_and_written_as_ever(any_url, study, storage):
    other = optuna.create_study(storage=storage, study_name="other")
    trial = other.ask(SPACE)
    trial.report(1.0, 1)
    trial.set_user_attr("a", 1)
    other.tell(trial, 2.0)
    there = optuna.load_study(study_name="other", storage=any_url)
    assert as_shown(other.trials) == as_shown(there.trials)


def test_all_studies_are_seen_at_a_glance(storage, study):
    describe(study, {"a": 1, "b": [1, 2]})
    optuna.create_study(storage=storage, study_name="empty")
    study.ask()
    found = glance(storage)
    assert set(found) == {"s", "empty"}
    assert (found["s"].user_attrs, found["s"].n_trials, found["s"].n_finished) == (
        {"a": 1, "b": [1, 2]},
        2,
        1,
    )
    assert (found["empty"].user_attrs, found["empty"].n_trials) == ({}, 0)


@pytest.fixture
def counted(monkeypatch):
    """Count what is sent to databases: transactions that are committed, and statements."""
    found = {"commits": 0, "statements": 0}

    def count(name):
        def listener(*_):
            found[name] += 1

        return listener

    listeners = [("commit", count("commits")), ("before_cursor_execute", count("statements"))]
    for event, listener in listeners:
        sqlalchemy.event.listen(sqlalchemy.Engine, event, listener)
    yield found
    for event, listener in listeners:
        sqlalchemy.event.remove(sqlalchemy.Engine, event, listener)


@pytest.mark.parametrize("method", ["random", "grid", "pso"])
def test_an_evaluation_takes_few_transactions_and_statements(toy_suite, tmp_path, counted, method):
    spent = []
    for evaluations in (6, 16):
        suite = toy_suite(
            name=f"toy-{evaluations}",
            objective={"name": "toy:Curve", "options": {"epochs": 1}},
            budget={"evaluations": evaluations},
            methods={method: {}},
        )
        before = dict(counted)
        execute(Run(suite, method, 0, tmp_path))
        spent.append({name: counted[name] - before[name] for name in counted})
    assert spent[1]["commits"] - spent[0]["commits"] <= 10 * COMMITS
    assert spent[1]["statements"] - spent[0]["statements"] <= 10 * STATEMENTS


def test_a_database_that_cannot_do_it_is_left_to_optuna(any_url, monkeypatch):
    monkeypatch.setattr("hpo_bench.storage.held._INSERTS", {})
    storage = open_storage(any_url)
    study = optuna.create_study(storage=storage)
    before = storage.inner
    hold(storage, study._study_id)
    assert storage.inner is before
    assert backend_of(storage) is not None
