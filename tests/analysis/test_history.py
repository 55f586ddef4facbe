from dataclasses import asdict

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial
from written import SPACE, history, job, write_run

from hpo_bench.analysis.history import read
from hpo_bench.analysis.results import collect
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import runs_of
from hpo_bench.storage.opening import open_storage


def test_what_is_spent_adds_up_on_every_axis():
    storage = optuna.storages.InMemoryStorage()
    write_run(storage, [0.5, 0.7, 0.6])
    (run,) = read(storage, "written")
    assert run.spent("evaluations").tolist() == [1, 2, 3]
    assert run.spent("epochs").tolist() == [1, 2, 3]  # of three epochs each
    assert run.spent("train_seconds").tolist() == [1, 2, 3]
    assert run.spent("wall_seconds").tolist() == [1.5, 3, 4.5]


def test_the_incumbent_is_the_best_so_far():
    assert history([0.5, 0.7, 0.6]).incumbents.tolist() == [0.5, 0.7, 0.7]
    assert history([0.5, 0.7, 0.4], maximise=False).incumbents.tolist() == [0.5, 0.5, 0.4]
    found = history([None, 0.7, None]).incumbents
    assert np.isnan(found[0])
    assert found[1:].tolist() == [0.7, 0.7]
    assert history([]).incumbent is None
    assert history([None]).incumbent is None


@pytest.mark.parametrize("has_times", [True, False])
def test_rungs_are_read_in_the_order_in_which_they_were_evaluated(has_times):
    """Two configurations at one epoch, then the first again up to three."""
    study = optuna.create_study(study_name="s/bohb/seed-00", direction="maximize")
    study.set_user_attr("max_fidelity", 3)
    ended = [0.0, 1.0, 2.0] if has_times else [None] * 3
    promoted = [job(0.4, ended=ended[0]), job(0.8, epochs=2, fidelity=3, ended=ended[2])]
    dropped = [job(0.3, ended=ended[1])]
    for jobs, state in ((promoted, TrialState.COMPLETE), (dropped, TrialState.PRUNED)):
        entries = [asdict(entry) for entry in jobs]
        study.add_trial(
            create_trial(
                state=state,
                value=jobs[-1].value,
                params={"x": 0.5, "y": 0.5},
                distributions=SPACE,
                user_attrs={"jobs": entries, "bracket": 0},
            )
        )
    (run,) = read(study._storage, "s")
    assert [(step.trial, step.job.fidelity) for step in run.steps] == [(0, 1), (1, 1), (0, 3)]
    assert run.spent("epochs").tolist() == pytest.approx([1 / 3, 2 / 3, 4 / 3])
    assert np.isnan(run.incumbents[:2]).all()
    assert run.incumbents[2] == 0.8


def test_runs_say_how_they_stand():
    storage = optuna.storages.InMemoryStorage()
    write_run(storage, [0.5], seed=0)
    write_run(storage, [0.5], seed=1, finished=None)
    write_run(storage, [0.5, None], seed=2, finished=None)
    write_run(storage, [], seed=3, finished=None)
    optuna.create_study(storage=storage, study_name="written/random/seed-04", direction="maximize")
    states = [(run.state, run.reason) for run in read(storage, "written")]
    assert states == [
        ("finished", "epochs spent"),
        ("partial", ""),
        ("failed", "RuntimeError: it failed"),
        ("empty", ""),
        ("empty", ""),
    ]


def test_what_runs_have_recorded_is_read_in_order(toy_suite, tmp_path):
    suite = toy_suite(
        methods={"bohb": {}}, budget={"epochs": 60}, objective={"name": "toy:Curve", "options": {}}
    )
    (run,) = runs_of(suite, tmp_path / "checkpoints")
    execute(run)
    storage = open_storage(suite.storage)
    (found,) = read(storage, "toy")
    times = [step.job.ended for step in found.steps]
    assert times == sorted(times)
    # By its schedule, the first bracket ends after three epochs of one and two more of another.
    assert found.spent("epochs")[~np.isnan(found.values)][0] == pytest.approx(5 / 3)
    assert found.incumbent == collect(storage, "toy").runs[0].validation
