"""A configuration that a run has evaluated is answered from its own record, at no cost."""

import json
from collections import Counter

import optuna
import pytest
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from hpo_bench import suite
from hpo_bench.analysis.history import read
from hpo_bench.analysis.results import collect
from hpo_bench.errors import HpoBenchError
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import runs_of
from hpo_bench.storage.opening import open_existing
from hpo_bench.storage.records import jobs_of


class Proposes(BaseSampler):
    """Proposes the x of a list, by the trial's number, and the last one for ever after."""

    def __init__(self, values, seed=0):
        self._values = values

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, name, distribution):
        place = min(trial.number, len(self._values) - 1)
        return self._values[place] if name == "x" else 0.0


class PrunesSomeTrials(BasePruner):
    def prune(self, study, trial):
        return trial.number in (1, 2) and trial.last_step == 2


def run_of(tmp_path, values, *, evaluations, **settings):
    made = suite.parse(
        {
            "name": "toy",
            "storage": f"sqlite:///{tmp_path / 'runs.db'}",
            "seeds": 1,
            "objective": {"name": "toy:Curve", "options": {"log": str(tmp_path / "log")}},
            "budget": {"evaluations": evaluations, **settings.pop("budget", {})},
            "methods": {"mine": {"sampler": "test_repeats:Proposes", **settings.pop("method", {})}},
            **settings,
        }
    )
    made.methods["mine"].options["values"] = values
    (run,) = runs_of(made, tmp_path / "checkpoints")
    return run


def trained(tmp_path):
    """How often each x was trained for an epoch."""
    lines = (tmp_path / "log").read_text().splitlines()
    return Counter(json.loads(line)["x"] for line in lines)


def trials_of(run):
    return optuna.load_study(study_name=run.study_name, storage=run.suite.storage).trials


def test_repeats_are_told_and_cost_nothing(tmp_path):
    run = run_of(tmp_path, [1, 1, 2, 1, 2, 3, 4], evaluations=3)
    assert execute(run).evaluations == 3
    assert trained(tmp_path) == {1: 3, 2: 3, 3: 3}
    trials = trials_of(run)
    assert [trial.params["x"] for trial in trials] == [1, 1, 2, 1, 2, 3]
    assert [job.repeats for trial in trials for job in jobs_of(trial)] == [
        None,
        0,
        None,
        0,
        2,
        None,
    ]
    assert trials[1].values == trials[0].values
    assert trials[1].intermediate_values == trials[0].intermediate_values
    assert trials[1].user_attrs["test_accuracy"] == 1.0
    (result,) = collect(open_existing(run.suite.storage), "toy").runs
    counts = result.configurations, result.distinct, result.evaluations, result.repeats
    assert (counts, result.epochs) == ((6, 3, 3, 3), 9)
    (history,) = read(open_existing(run.suite.storage), "toy")
    assert history.spent("evaluations").tolist() == [1, 1, 2, 2, 2, 3]


def test_so_many_in_a_row_are_free_and_the_next_is_charged(tmp_path):
    run = run_of(tmp_path, [1], evaluations=3, budget={"free_repeats": 2})
    execute(run)
    assert trained(tmp_path) == {1: 9}
    told = [job.is_repeat for trial in trials_of(run) for job in jobs_of(trial)]
    assert told == [False, True, True, False, True, True, False]


def test_all_can_be_charged_and_earlier_versions_did(tmp_path):
    run = run_of(tmp_path, [1], evaluations=3, budget={"free_repeats": 0})
    assert run.definition()["budget"] == {"evaluations": 3}
    execute(run)
    assert trained(tmp_path) == {1: 9}
    with pytest.raises(HpoBenchError, match="'free_repeats': 20"):
        execute(run_of(tmp_path, [1], evaluations=3))


@pytest.mark.parametrize("cut", [2, 5, 8])
def test_a_run_that_is_left_goes_on_as_it_would_have(tmp_path, cut):
    values, settings = [1, 1, 1, 2, 2, 1, 3], {"evaluations": 3, "budget": {"free_repeats": 1}}
    for name in ("whole", "left"):
        (tmp_path / name).mkdir()
    whole = run_of(tmp_path / "whole", values, **settings)
    execute(whole)
    left = run_of(tmp_path / "left", values, **settings)
    asked = iter(range(10**6))
    execute(left, should_stop=lambda: next(asked) >= cut)
    execute(left)
    found = [
        [(t.params, t.values, [j.repeats for j in jobs_of(t)]) for t in trials_of(run)]
        for run in (whole, left)
    ]
    assert found[0] == found[1]


def test_a_repeat_can_be_pruned_and_what_was_pruned_is_trained_again(tmp_path):
    run = run_of(
        tmp_path, [1, 1, 2, 2], evaluations=3, method={"pruner": "test_repeats:PrunesSomeTrials"}
    )
    execute(run)
    trials = trials_of(run)
    assert [trial.state.name for trial in trials] == ["COMPLETE", "PRUNED", "PRUNED", "COMPLETE"]
    assert [trial.last_step for trial in trials] == [3, 2, 2, 3]
    # The second is answered, as far as it goes; the last was known to two epochs only.
    assert [jobs_of(trial)[0].repeats for trial in trials] == [None, 0, None, None]
    assert trained(tmp_path) == {1: 3, 2: 2 + 3}


def test_batches_and_workers_know_what_was_told(tmp_path):
    run = run_of(tmp_path, [1, 2, 1, 2, 3], evaluations=3, batch_size=2)
    execute(run)
    assert trained(tmp_path) == {1: 3, 2: 3, 3: 3}
