"""Processes share the GPUs of a machine."""

import os

import pytest
from rich.console import Console

from hpo_bench.engines.coordinator import run_suites
from hpo_bench.running.gpus import VISIBLE, see_share
from hpo_bench.storage.opening import open_storage


@pytest.mark.parametrize(
    ("n_gpus", "of", "named", "seen"),
    [
        (2, 2, None, ["0", "1"]),
        (2, 3, None, ["0", "1", "0"]),
        (4, 2, None, ["0,2", "1,3"]),
        (2, 2, "5,GPU-7", ["5", "GPU-7"]),
        (0, 2, None, [None, None]),
    ],
)
def test_every_process_sees_gpus_of_its_own_as_long_as_there_are_enough(
    monkeypatch, n_gpus, of, named, seen
):
    for place, expected in enumerate(seen):
        with monkeypatch.context() as patch:
            patch.setenv(VISIBLE, named or "")
            if named is None:
                patch.delenv(VISIBLE)
            see_share(n_gpus, place, of)
            assert os.environ.get(VISIBLE) == expected
            patch.delenv(VISIBLE, raising=False)


def test_as_many_workers_as_gpus_have_one_each(toy_suite, tmp_path, monkeypatch):
    monkeypatch.setenv(VISIBLE, "3,6")
    suite = toy_suite(
        objective={"name": "toy:OnGpus"},
        methods={"random": {}},
        seeds=4,
        workers="auto",
        budget={"evaluations": 1},
    )
    monkeypatch.setattr("hpo_bench.suite.usable_cores", lambda: 1)  # which does not matter
    with (tmp_path / "told").open("w") as told:
        run_suites([suite], tmp_path / "checkpoints", Console(file=told))
    trials = [
        trial
        for study in open_storage(suite.storage).get_all_studies()
        for trial in open_storage(suite.storage).get_all_trials(study._study_id)
    ]
    assert {trial.user_attrs["sees"] for trial in trials} == {3.0, 6.0}
