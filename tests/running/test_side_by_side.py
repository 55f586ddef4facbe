"""Several configurations of a run evaluated side by side (`batch_size`)."""

import numpy as np
import pytest
import toy
from optuna.trial import TrialState
from several import METHODS, SPACE, told, trials_of

from hpo_bench.errors import HpoBenchError
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run
from hpo_bench.storage import records
from hpo_bench.storage.records import jobs_of


@pytest.fixture
def make_run(toy_suite, tmp_path):
    def make(method="random", place="here", *, options=None, **changes):
        suite = toy_suite(
            methods=METHODS,
            objective={"name": "toy:Curve", "options": options or {}},
            storage=f"sqlite:///{tmp_path / place}.db",
            **{"budget": {"epochs": 36}, "space": SPACE, "batch_size": 4, **changes},
        )
        return Run(suite, method, 0, tmp_path / place)

    return make


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_keeps_to_the_budget(make_run, method):
    run = make_run(method)
    assert execute(run).finished == "epochs spent"
    trials = trials_of(run)
    assert all(trial.state.is_finished() for trial in trials)
    spent = sum(job.epochs for trial in trials for job in jobs_of(trial))
    assert 36 <= spent < 36 + 3


@pytest.mark.parametrize("method", ["grid", "random"])
def test_methods_that_do_not_learn_do_the_same_as_one_by_one(make_run, method):
    together, apart = make_run(method), make_run(method, "apart", batch_size=1)
    for run in (together, apart):
        execute(run)
    assert told(together) == told(apart)


def test_the_method_is_asked_for_a_batch_before_it_is_told_of_it(make_run):
    run = make_run("pso")
    execute(run)
    trials = trials_of(run)
    for first in range(0, 12, 4):
        batch = trials[first : first + 4]
        begun = max(trial.datetime_start for trial in batch)
        assert all(trial.datetime_complete > begun for trial in batch)
        assert all(t.datetime_start >= batch[-1].datetime_complete for t in trials[first + 4 :])


def test_the_one_that_fails_takes_nobody_with_it(make_run, caplog):
    run = make_run("grid", options={"fail_at": 3}, budget={"epochs": 200})
    execute(run)
    states = {(t.params["x"] == 3, t.state) for t in trials_of(run)}
    assert states == {(True, TrialState.FAIL), (False, TrialState.COMPLETE)}
    assert "now one by one" in caplog.text
    assert {t.user_attrs["epochs"] for t in trials_of(run)} == {0, 3}
    assert all(
        t.user_attrs["error"] == "RuntimeError: this x always fails"
        for t in trials_of(run)
        if t.state == TrialState.FAIL
    )


def test_values_that_json_does_not_know_are_saved_as_numbers(make_run, monkeypatch):
    def advance_many(_, evaluations):
        return list(np.array([one.advance() for one in evaluations], dtype=np.float32))

    monkeypatch.setattr(toy.Curve, "advance_many", advance_many)
    run = make_run()
    asked = iter(range(100))
    assert execute(run, should_stop=lambda: next(asked) == 2).finished is None
    assert execute(run).finished == "epochs spent"
    assert all(trial.user_attrs["epochs"] == 3 for trial in trials_of(run))


@pytest.mark.parametrize("given", [[], [0.5] * 5, [None] * 4, None])
def test_what_advance_many_gives_wrong_is_done_one_by_one(make_run, monkeypatch, caplog, given):
    monkeypatch.setattr(toy.Curve, "advance_many", lambda *_: given)
    together, apart = make_run(), make_run(place="apart", batch_size=1)
    for run in (together, apart):
        execute(run)
    assert told(together) == told(apart)
    assert "in one of 4 at once; now one by one" in caplog.text


@pytest.mark.parametrize("method", ["grid", "random", "pso"])
@pytest.mark.parametrize("stops", [3, 10])
def test_a_batch_that_is_left_goes_on_as_if_it_had_not_been(make_run, method, stops):
    calm, left = make_run(method, "calm"), make_run(method, "left")
    execute(calm)
    status = None
    while status is None or status.finished is None:
        asked = iter(range(stops))
        status = execute(left, should_stop=lambda asked=asked: next(asked, None) is None)
    assert told(left) == told(calm)


class CrashError(Exception):
    pass


@pytest.mark.parametrize("method", ["grid", "random", "pso", "bohb"])
@pytest.mark.parametrize("after", [1, 13, 31])
def test_a_batch_that_crashes_is_done_again(make_run, method, after):
    """Crash in the middle of a batch: nothing is lost, and what was recorded is not repeated."""
    run = make_run(method)
    count = 0

    def crash(_status):
        nonlocal count
        count += 1
        if count == after:
            raise CrashError

    with pytest.raises(CrashError):
        execute(run, notify=crash)
    assert execute(run).finished == "epochs spent"
    trials = trials_of(run)
    assert all(trial.state.is_finished() for trial in trials)
    spent = sum(job.epochs for trial in trials for job in jobs_of(trial))
    assert 36 <= spent < 36 + 3


@pytest.mark.parametrize("method", METHODS)
def test_what_was_under_way_when_a_limit_was_reached_is_finished(make_run, method, monkeypatch):
    """Die between the record that reaches the target and that of the one beside it."""
    run = make_run(method, batch_size=3, budget={"epochs": 99, "target": -1000.0})
    write, has_reached = records.write, False

    def die(trial, jobs, told):
        nonlocal has_reached
        if has_reached:
            raise CrashError
        write(trial, jobs, told)
        has_reached = jobs[-1].fidelity == 3

    monkeypatch.setattr(records, "write", die)
    with pytest.raises(CrashError):
        execute(run)
    monkeypatch.setattr(records, "write", write)
    begun = len(trials_of(run))
    assert execute(run).finished == "target reached"
    trials = trials_of(run)
    assert len(trials) == begun
    assert all(trial.state.is_finished() for trial in trials)
    assert all(t.user_attrs["epochs"] == len(t.intermediate_values) > 0 for t in trials)


@pytest.mark.parametrize("other", [{"workers_per_run": 2}, {"evaluation_timeout": 9.0}])
def test_a_batch_is_for_one_process(make_run, other):
    with pytest.raises(HpoBenchError, match="batch_size is for one process"):
        make_run(**other)
