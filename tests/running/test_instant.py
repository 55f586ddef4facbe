import optuna
import pytest
from optuna.trial import TrialState
from recordings import toy_table

from hpo_bench import suite
from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives.table.replay import Replay
from hpo_bench.running import execution
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run
from hpo_bench.storage import rdb
from hpo_bench.storage.opening import open_storage
from hpo_bench.storage.studies import load_study, study_names

METHODS = {
    "random": {},
    "grid": {},
    "pso": {},
    "bohb": {},
    "asha": {
        "sampler": "optuna.samplers:RandomSampler",
        "pruner": "optuna.pruners:SuccessiveHalvingPruner",
        "pruner_options": {"min_resource": 1, "reduction_factor": 2},
    },
}


@pytest.fixture
def make(tmp_path):
    table = toy_table(tmp_path / "toy.csv")

    def make(method, database="runs"):
        mine = suite.parse(
            {
                "name": "instant",
                "objective": {
                    "name": "table",
                    "options": {"table": str(table), "clock": "simulated"},
                },
                "budget": {"epochs": 36},
                "seeds": [1],
                "methods": {method: METHODS[method]},
                "storage": f"sqlite:///{tmp_path / database}.db",
            }
        )
        return Run(mine, method, 1, tmp_path / "checkpoints")

    return make


def study_of(run):
    return load_study(open_storage(run.suite.storage), run.study_name)


def is_time(name):
    return name.endswith("_seconds") or name == "ended"


def told(trial):
    """What is recorded of a trial, but for the times, which never repeat."""
    attributes = {n: v for n, v in trial.user_attrs.items() if not is_time(n) and n != "jobs"}
    jobs = [{n: v for n, v in j.items() if not is_time(n)} for j in trial.user_attrs["jobs"]]
    what = (trial.number, trial.state, trial.values, trial.params, trial.distributions)
    return (*what, trial.intermediate_values, attributes, jobs, trial.system_attrs)


@pytest.mark.parametrize("method", METHODS)
def test_a_run_in_memory_is_recorded_as_any_other(method, make, monkeypatch):
    quick = make(method, "quick")
    execute(quick)
    monkeypatch.setattr(Replay, "is_instant", False)
    usual = make(method, "usual")
    execute(usual)
    ours, theirs = study_of(quick), study_of(usual)
    assert len(ours.trials) > 5
    assert [told(trial) for trial in ours.trials] == [told(trial) for trial in theirs.trials]
    assert ours.user_attrs.keys() == theirs.user_attrs.keys()
    # Compared as they are: a study has no public name for them.
    assert (
        ours._storage.get_study_system_attrs(ours._study_id).keys()
        == theirs._storage.get_study_system_attrs(theirs._study_id).keys()
    )
    assert ours.metric_names == theirs.metric_names == ["validation accuracy"]
    for trial in ours.trials:
        assert trial.datetime_start <= trial.datetime_complete


def test_a_finished_run_is_only_reported(make):
    run = make("random")
    status = execute(run)
    before = [told(trial) for trial in study_of(run).trials]
    assert execute(run) == status
    assert [told(trial) for trial in study_of(run).trials] == before


def test_progress_is_told_at_once_and_then_now_and_then(make, monkeypatch):
    told_of = []
    monkeypatch.setattr(execution, "SHOW_SECONDS", 600.0)
    execute(make("random"), notify=told_of.append)
    assert [status.evaluations for status in told_of] == [0]


def test_a_crash_leaves_nothing_and_the_run_is_made_again(make, monkeypatch):
    run = make("random")
    steps = []

    def dies(_status):
        steps.append(1)
        if len(steps) == 10:
            raise KeyboardInterrupt

    monkeypatch.setattr(execution, "SHOW_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        execute(run, notify=dies)
    assert study_names(open_storage(run.suite.storage)) == []
    assert execute(run).finished == "epochs spent"
    assert len(study_of(run).trials) == 12


def test_a_write_that_fails_leaves_no_trial_and_the_next_one_succeeds(make, monkeypatch):
    run = make("random")

    def fails(*_args):
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(rdb, "_entries", fails)
        with pytest.raises(RuntimeError):
            execute(run)
    study = study_of(run)  # of which there is the name
    assert (study.trials, study.user_attrs) == ([], {})
    assert execute(run).finished == "epochs spent"
    assert [trial.state for trial in study_of(run).trials] == [TrialState.COMPLETE] * 12


def test_a_run_that_is_told_to_stop_is_left_out_and_made_later(make):
    run = make("random")
    asked = []
    status = execute(run, should_stop=lambda: asked.append(1) or len(asked) > 5)
    assert status.finished is None
    assert study_names(open_storage(run.suite.storage)) == []
    assert execute(run).finished == "epochs spent"


def test_a_run_that_is_given_up_is_stored_with_what_failed(make, tmp_path):
    run = make("random")
    toy_table(tmp_path / "toy.csv", value=[float("nan")] * 108)
    with pytest.raises(
        HpoBenchError, match=r"5 evaluations in a row failed, .* is nan after epoch"
    ):
        execute(run)
    assert [trial.state for trial in study_of(run).trials] == [TrialState.FAIL] * 5


def test_what_was_begun_in_the_storage_goes_on_there(make, monkeypatch):
    run = make("random")
    asked = []
    with monkeypatch.context() as patch:
        patch.setattr(Replay, "is_instant", False)
        execute(run, should_stop=lambda: asked.append(1) or len(asked) > 5)
    before = len(study_of(run).trials)
    assert before
    assert execute(run).finished == "epochs spent"
    assert len(study_of(run).trials) == 12


def test_optuna_goes_on_with_a_study_that_was_written_so(make):
    run = make("random")
    execute(run)
    study = study_of(run)
    study.add_trial(optuna.trial.create_trial(value=0.0))
    assert [trial.number for trial in study.trials] == list(range(13))
