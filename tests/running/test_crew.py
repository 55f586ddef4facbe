"""Several workers within a run: real processes, killed, hung, stopped."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState
from several import METHODS, SPACE, told, trials_of

from hpo_bench.analysis.results import collect
from hpo_bench.engines.base import attempt
from hpo_bench.errors import HpoBenchError
from hpo_bench.running import execution
from hpo_bench.running.checkpoints import Checkpoints
from hpo_bench.running.clock import Clock
from hpo_bench.running.crew import Processes
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run
from hpo_bench.storage.opening import open_storage
from hpo_bench.storage.outages import OutageError
from hpo_bench.storage.records import jobs_of


@pytest.fixture(scope="module")
def processes():
    with Processes("test") as crew:
        yield crew


@pytest.fixture
def make_run(toy_suite, tmp_path):
    def make(method="random", place="here", epochs=30, *, options=None, free_repeats=20, **changes):
        suite = toy_suite(
            methods=METHODS,
            budget={"epochs": epochs, "free_repeats": free_repeats},
            storage=f"sqlite:///{tmp_path / place}.db",
            **{
                "objective": {"name": "toy:Curve", "options": options or {}},
                "space": SPACE,
                "workers_per_run": 2,
                **changes,
            },
        )
        return Run(suite, method, 0, tmp_path / place)

    return make


@pytest.mark.parametrize("method", METHODS)
def test_all_workers_share_one_budget(make_run, processes, method):
    run = make_run(method, options={"unit_seconds": 0.01})
    assert execute(run, processes=processes).finished == "epochs spent"
    trials = trials_of(run)
    assert all(trial.state.is_finished() for trial in trials)
    spent = sum(job.epochs for trial in trials for job in jobs_of(trial))
    assert 30 <= spent < 33
    # A repeat is answered by the main process, from the record.
    assert len({trial.user_attrs["worker"] for trial in trials} - {"main"}) == 2
    result = collect(open_storage(run.suite.storage), "toy").runs[0]
    assert result.workers == 2
    assert result.rest_seconds > 0


def test_two_evaluations_are_under_way_at_a_time(make_run, processes):
    run = make_run(options={"unit_seconds": 0.1})
    execute(run, processes=processes)
    trials = trials_of(run)
    others = [
        sum(t.datetime_complete > trial.datetime_start for t in trials[: trial.number])
        for trial in trials
    ]
    assert max(others) == others[1] == 1


@pytest.mark.parametrize("method", ["grid", "random", "pso", "bohb"])
def test_deterministic_runs_repeat_whoever_comes_first(make_run, processes, method):
    options = {"unit_seconds": 0.02, "uneven": True}
    runs = [make_run(method, p, 60, options=options, deterministic=True) for p in ("a", "b")]
    for run in runs:
        execute(run, processes=processes)
    assert told(runs[0]) == told(runs[1])


def test_one_worker_in_a_process_of_its_own_is_as_good_as_none(make_run, processes):
    here = make_run("bohb", "here", workers_per_run=1)
    there = make_run("bohb", "there", workers_per_run=1, evaluation_timeout=60.0)
    execute(here)
    execute(there, processes=processes)
    assert told(here) == told(there)


def test_a_killed_process_is_replaced_and_nothing_is_lost(make_run, processes, caplog):
    options = {"unit_seconds": 0.05, "epochs": 9}
    calm = make_run(place="calm", options=options, deterministic=True)
    hit = make_run(place="hit", options=options, deterministic=True)
    execute(calm, processes=processes)
    victim = processes._members[0].process.pid
    killer = threading.Timer(0.5, os.kill, (victim, signal.SIGKILL))
    killer.start()
    execute(hit, processes=processes)
    killer.join()
    assert "another one goes on with it" in caplog.text
    assert told(hit) == told(calm)


def test_an_evaluation_that_starts_again_in_another_process_says_so(make_run, processes):
    options = {"unit_seconds": 0.05, "epochs": 9}
    run = make_run(epochs=18, options=options, workers_per_run=1, evaluation_timeout=60.0)
    reports = iter(range(1, 100))

    def kill(_status):
        if next(reports) == 5:
            os.kill(processes._members[0].process.pid, signal.SIGKILL)

    execute(run, processes=processes, notify=kill)
    assert ["restarted" in trial.user_attrs for trial in trials_of(run)] == [True, False]


@pytest.fixture
def clocked(monkeypatch):
    """What the clocks of runs have counted as wall time."""
    seconds = []
    read = Clock.read

    def noted(clock):
        elapsed = read(clock)
        seconds.append(elapsed["wall_seconds"])
        return elapsed

    monkeypatch.setattr(Clock, "read", noted)
    return seconds


def added_to(clocked, run):
    """What a run has recorded as wall time beyond what its clocks have counted."""
    jobs = [job for trial in trials_of(run) for job in jobs_of(trial)]
    return sum(job.wall_seconds for job in jobs) - sum(clocked)


def saved_seconds(run):
    """What the checkpoints of a run say of the time that was spent on them."""
    headers = [
        path.read_bytes().partition(b"\n")[0]
        for path in run.checkpoint_directory.rglob("trial-*.checkpoint")
    ]
    return [json.loads(header)["train_seconds"] for header in headers]


def test_what_a_dead_process_has_trained_is_no_further_wall_time(make_run, clocked):
    objective = {"name": "toy:Saving", "options": {"unit_seconds": 0.1, "epochs": 9}}
    run = make_run(epochs=9, objective=objective, workers_per_run=1, evaluation_timeout=60.0)
    reports = iter(range(1, 100))

    def kill(_status):
        if next(reports) == 6:
            os.kill(saving._members[0].process.pid, signal.SIGKILL)

    with Processes("saving") as saving:
        execute(run, processes=saving, notify=kill)
    (trial,) = trials_of(run)
    assert "restarted" not in trial.user_attrs
    assert trial.user_attrs["train_seconds"] >= 0.9
    assert added_to(clocked, run) == pytest.approx(0.0, abs=1e-6)


def test_what_ran_side_by_side_before_a_stop_is_wall_time_once(make_run, processes, clocked):
    run = make_run(epochs=60, options={"unit_seconds": 0.05, "epochs": 30})
    units = []

    def is_under_way():
        return len(units) > 12

    left = execute(run, processes=processes, notify=units.append, should_stop=is_under_way)
    assert left.finished is None
    saved = saved_seconds(run)
    assert len(saved) == 2
    assert execute(run, processes=processes).finished == "epochs spent"
    # Taking an evaluation up again costs microseconds of its own.
    assert added_to(clocked, run) == pytest.approx(max(saved), abs=1e-3)


def test_an_evaluation_that_hangs_fails_and_the_run_goes_on(make_run, processes):
    options = {"hang_at": 3}
    run = make_run("grid", epochs=200, options=options, evaluation_timeout=1.0)
    execute(run, processes=processes)
    states = {(t.params["x"] == 3, t.state) for t in trials_of(run)}
    assert states == {(True, TrialState.FAIL), (False, TrialState.COMPLETE)}
    failed = [t for t in trials_of(run) if t.state == TrialState.FAIL]
    assert all("no sign of life for 1 s" in t.user_attrs["error"] for t in failed)


def test_an_evaluation_that_kills_its_process_fails_the_third_time(make_run, processes):
    space = {"x": {"low": 2, "high": 3}}
    options = {"die_at": 3}
    run = make_run(epochs=12, options=options, space=space, deterministic=True, free_repeats=0)
    execute(run, processes=processes)
    trials = trials_of(run)
    assert {(t.params["x"], t.state) for t in trials} == {
        (2, TrialState.COMPLETE),
        (3, TrialState.FAIL),
    }
    failed = [t for t in trials if t.state == TrialState.FAIL]
    assert all("(exit code 7), for the third time" in t.user_attrs["error"] for t in failed)


def test_a_point_of_the_grid_that_fails_beside_the_last_one_is_tried_again(make_run, processes):
    run = make_run("grid", epochs=900, options={"fail_at": 3, "unit_seconds": 0.001})
    with pytest.raises(HpoBenchError, match="evaluations in a row failed"):
        execute(run, processes=processes)
    complete = [t for t in trials_of(run) if t.state == TrialState.COMPLETE]
    assert len(complete) == 72  # of 81, nine of which have x = 3
    assert not any(t.state == TrialState.PRUNED for t in trials_of(run))


@pytest.mark.parametrize("method", ["random", "bohb"])
@pytest.mark.parametrize("deterministic", [True, False])
def test_a_run_that_is_stopped_trains_nothing_twice(
    make_run, processes, method, deterministic, tmp_path
):
    log = tmp_path / "log"
    options = {"unit_seconds": 0.03, "epochs": 9, "log": str(log)}
    run = make_run(method, epochs=90, options=options, deterministic=deterministic)
    stops = 0
    while True:
        until = time.monotonic() + 1.2
        status = execute(run, processes=processes, should_stop=lambda: time.monotonic() > until)  # noqa: B023
        if status.finished:
            break
        stops += 1
    assert stops >= 1
    trained = [json.loads(line) for line in Path(log).read_text().splitlines()]
    trials = trials_of(run)
    assert len(trained) == sum(trial.user_attrs["epochs"] for trial in trials)
    assert all(trial.state.is_finished() for trial in trials)
    assert not any("restarted" in trial.user_attrs for trial in trials)


class NoRoom(Checkpoints):
    def save(self, number, progress, state):
        raise OutageError("there is no room for a checkpoint")


def test_an_outage_that_an_evaluator_meets_is_told_as_one(make_run, processes, monkeypatch):
    """No further run is begun then; after a failure the next one would wait in vain, too."""
    monkeypatch.setattr(execution, "Checkpoints", NoRoom)
    run = make_run("bohb", options={"epochs": 9})
    open_storage(run.suite.storage)
    assert attempt(run, processes=processes) == ("outage", "there is no room for a checkpoint")


def test_the_number_of_workers_is_part_of_what_a_run_is(make_run, processes):
    execute(make_run(), processes=processes)
    with pytest.raises(HpoBenchError, match="workers_per_run: 2 there, 3 here"):
        execute(make_run(workers_per_run=3), processes=processes)
