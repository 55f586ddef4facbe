"""The main job, made small: four methods on LeNet5, by the command a user types."""

import os
import subprocess
import sys

import pytest
from optuna.trial import TrialState

from hpo_bench.storage.opening import open_storage
from hpo_bench.storage.studies import load_study, study_names

SMALL = [
    *("--seeds", "0", "--set", "budget.epochs=12"),
    *("--set", "objective.options.train_size=200"),
    *("--set", "objective.options.validation_size=200"),
    *("--set", "objective.options.test_size=200"),
]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """Run it with one worker and with two; returns output and studies of each."""

    def run(workers):
        directory = tmp_path_factory.mktemp(f"workers-{workers}")
        done = subprocess.run(
            [sys.executable, "-m", "hpo_bench", "run", "quickstart", "--workers", workers, *SMALL],
            cwd=directory,
            env={**os.environ, "COLUMNS": "120"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        storage = open_storage(f"sqlite:///{directory / 'hpo-bench.db'}")
        return done.stdout, [load_study(storage, name) for name in study_names(storage)]

    return run("1"), run("2")


def test_the_table_tells_what_was_found_and_on_which_data(quickstart):
    output, _ = quickstart[0]
    for word in ("grid", "random", "pso", "bohb", "validation accuracy", "test accuracy"):
        assert word in output
    assert "generated data, not a real data set" in output
    assert "200 to train, 200 to validate, 200 to test" in output


def test_every_study_holds_what_the_dashboard_shows(quickstart):
    _, studies = quickstart[0]
    assert [s.study_name for s in studies] == [
        f"quickstart/{method}/seed-00" for method in ("bohb", "grid", "pso", "random")
    ]
    for study in studies:
        assert study.metric_names == ["validation accuracy"]
        assert {"data", "data_sha256", "torch", "precision", "finished"} <= set(study.user_attrs)
        for trial in study.trials:
            assert trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
            assert set(trial.params) == {"c1", "c3", "c5", "f6"}
            assert 0 <= trial.user_attrs["test_accuracy"] <= 1
            assert trial.user_attrs["parameters"] > 1000


def test_the_number_of_workers_changes_nothing_but_the_time(quickstart):
    def found(studies):
        return [
            [(t.params, t.intermediate_values, t.user_attrs["test_accuracy"]) for t in s.trials]
            for s in studies
        ]

    (_, one), (_, two) = quickstart
    assert found(one) == found(two)
