import heapq

import pytest
from recordings import SPACE, card, columns
from recordings import write as write_table

from hpo_bench import suite
from hpo_bench.errors import InputError
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run
from hpo_bench.storage.opening import open_storage
from hpo_bench.storage.records import jobs_of
from hpo_bench.storage.studies import load_study

METHODS = {
    "grid": {"options": {"shuffle": False}},
    "random": {},
    "bohb": {},
    "median-pruner": {},
    "pruned": {
        "sampler": "optuna.samplers:RandomSampler",
        "pruner": "optuna.pruners:MedianPruner",
    },
}
SLACK = 5.0
"""Seconds that a busy machine may add by sampler and storage, far below any that is recorded."""


@pytest.fixture
def make(tmp_path):
    # A training takes 1000 s for each unit, whatever else it is.
    whole = columns(seeds=[0])
    whole["seconds"] = [1000.0 * units / 3 for units in whole["units"]]
    write_table(tmp_path / "toy.csv", card(space=SPACE), whole)

    def make(method="grid", workers=3, name="simulated", **changes):
        table = {
            "name": name,
            "objective": {
                "name": "table",
                "options": {"table": str(tmp_path / "toy.csv"), "clock": "simulated"},
            },
            "budget": {"epochs": 36},
            "seeds": [0],
            "methods": {method: METHODS[method]},
            "workers_per_run": workers,
            "storage": f"sqlite:///{tmp_path / 'runs.db'}",
        }
        return Run(suite.parse({**table, **changes}), method, 0, tmp_path / "checkpoints")

    return make


def trials_of(run):
    run.suite.check()
    execute(run)
    return load_study(open_storage(run.suite.storage), run.study_name).trials


def wall(trials):
    return sum(job.wall_seconds for trial in trials for job in jobs_of(trial))


def makespan(durations, workers):
    """When the last is done if each goes to who is free first, and its ends, as told."""
    free, ends = [0.0] * workers, []
    for duration in durations:
        end = heapq.heappop(free) + duration
        ends.append(end)
        heapq.heappush(free, end)
    return max(ends)


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 50])
def test_the_run_takes_as_long_as_so_many_workers_would(make, workers):
    trials = trials_of(make(workers=workers))
    durations = [1000.0 * trial.user_attrs["recorded_units"] for trial in trials]
    assert len(durations) == 12
    assert wall(trials) == pytest.approx(makespan(durations, workers), abs=SLACK)
    assert sum(t.user_attrs["train_seconds"] for t in trials) == pytest.approx(
        sum(durations), abs=SLACK
    )


def test_results_come_in_the_order_in_which_they_end(make):
    # Lexicographic: the first four have 4 units, then 16, then 64.
    trials = trials_of(make(workers=12))
    finished = sorted(trials, key=lambda trial: trial.datetime_complete)
    units = [trial.user_attrs["recorded_units"] for trial in finished]
    assert units == [4] * 4 + [16] * 4 + [64] * 4
    assert [trial.user_attrs["recorded_units"] for trial in trials] == units


def test_told_in_the_order_of_asking_a_run_repeats_exactly(make):
    runs = [
        trials_of(make("random", name=name, deterministic=True)) for name in ("first", "second")
    ]
    first, second = ([(t.params, t.value) for t in trials] for trials in runs)
    assert first == second


def test_bohb_goes_on_with_what_it_promotes(make):
    trials = trials_of(make("bohb", workers=2))
    promoted = [trial for trial in trials if len(jobs_of(trial)) > 1]
    assert promoted
    assert all("restarted" not in trial.user_attrs for trial in trials)
    spent = sum(trial.user_attrs["train_seconds"] for trial in trials)
    assert spent / 2 <= wall(trials) < spent


def test_a_budget_of_seconds_counts_the_clock(make):
    # Three at a time: 4000 s for the first three, and three more have begun by then.
    trials = trials_of(make(workers=3, budget={"seconds": 3000}))
    assert 3 <= len(trials) <= 5
    assert wall(trials) >= 3000


def test_what_needs_real_time_is_refused(make):
    for name in ("median-pruner", "pruned"):
        with pytest.raises(InputError, match=rf"methods.{name}: 'MedianPruner'.*simulated workers"):
            make(name).suite.check()
        make(name, workers=1).suite.check()
    with pytest.raises(InputError, match=r"evaluation_timeout: 9.0 .*take no time: leave out"):
        make(evaluation_timeout=9.0).suite.check()


def test_no_process_is_started(make, monkeypatch):
    monkeypatch.setattr("hpo_bench.running.crew._Member", None)
    assert len(trials_of(make(workers=4))) == 12


def test_with_a_measured_clock_there_are_processes(make, monkeypatch):
    run = make("bohb", workers=2, budget={"epochs": 12})
    options = {**run.suite.objective.options, "clock": "measured"}
    measured = make(
        "bohb",
        workers=2,
        budget={"epochs": 12},
        objective={
            "name": "table",
            "options": options,
        },
    )
    trials = trials_of(measured)
    assert all("restarted" not in trial.user_attrs for trial in trials)
    assert {trial.user_attrs["worker"] for trial in trials} != {"main"}
    assert wall(trials) < 600
