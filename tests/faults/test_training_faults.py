"""Training that fails, damaged files, wrong clocks: recorded, or refused; all else goes on."""

import os
import signal
import sqlite3
from contextlib import closing

import numpy as np
import optuna
import pytest
from command import Command, wait
from optuna.trial import TrialState
from PIL import Image

from hpo_bench.storage.opening import open_storage
from hpo_bench.storage.records import jobs_of
from hpo_bench.storage.studies import load_study

SPACE = "\n[space]\nx = { low = -2, high = 2 }\ny = 0.0\n"


@pytest.mark.parametrize(
    ("fault", "option", "told"),
    [
        pytest.param(
            *("training that raises", "fail_at", "RuntimeError: this x always fails"),
            marks=pytest.mark.long,
        ),
        ("training that diverges (NaN)", "nan_at", "the value is nan after epoch 1"),
        pytest.param(
            *("training that runs out of memory", "exhaust_at", "MemoryError"),
            marks=pytest.mark.long,
        ),
        pytest.param(
            *(
                "training that kills its process",
                "die_at",
                "died (exit code 7), for the third time",
            ),
            marks=pytest.mark.long,
        ),
    ],
)
def test_one_configuration_that_cannot_be_trained(tmp_path, record_fault, fault, option, told):
    command = Command(
        tmp_path,
        workers=2,
        options=f"{option} = 1{SPACE}",
        methods="grid = {}",
        budget="evaluations = 5",
    )
    output = " ".join(command.finish().split())
    assert told in output
    assert "grid: 2 evaluations failed" in output
    found = [
        (study.study_name, trial.params["x"], trial.state, trial.user_attrs.get("error", ""))
        for study in command.studies()
        for trial in study.get_trials()
    ]
    record_fault(fault, injected=2, expected=10, found=len(found))
    assert len(found) == len({(name, x) for name, x, _, _ in found}) == 10
    for _, x, state, error in found:
        assert state is (TrialState.FAIL if x == 1 else TrialState.COMPLETE)
        assert (told in error) is (x == 1)


@pytest.mark.parametrize(
    ("child", "settings"),
    [
        ("returns", ""),
        pytest.param("returns", "evaluation_timeout = 60", marks=pytest.mark.long),
        ("returns", "batch_size = 2"),
        pytest.param("fails", "", marks=pytest.mark.long),
        pytest.param("exits", "", marks=pytest.mark.long),
    ],
)
def test_an_objective_that_forks_counts_once(tmp_path, record_fault, child, settings):
    command = Command(
        tmp_path,
        settings=settings,
        options=f'child = "{child}"',
        methods="random = {}",
        budget="evaluations = 6",
        seeds=1,
    )
    output = command.finish()
    found = command.evaluations()
    fault = f"an objective whose forked child {child}"
    record_fault(fault, injected=6, expected=6, found=found.total())
    assert found.total() == len(found) == 6
    assert ("the child ends here" in output) is (child != "exits")


def stopped(command):
    """Stop the command while evaluations are under way; what they had is saved."""
    process = command.start()
    command.wait_for_units(30)
    os.kill(process.pid, signal.SIGTERM)
    wait(process, status=130)


def test_damaged_checkpoints(tmp_path, undisturbed, survived):
    command = Command(tmp_path, workers=2)
    stopped(command)
    saved = list((tmp_path / "hpo-bench.db.checkpoints").rglob("trial-*.checkpoint"))
    assert saved
    for path in saved:
        path.write_bytes(path.read_bytes()[:-3])
    process = command.start()
    seconds = command.seconds_to_the_next_unit(process)
    output = wait(process)
    assert "is damaged; the evaluation starts again" in output
    survived(
        "damaged checkpoints",
        command,
        undisturbed.evaluations,
        injected=len(saved),
        seconds=seconds,
    )
    assert command.told() == undisturbed.told


IMAGES = """
seeds = [{seed}]
budget.evaluations = 2
objective.name = "lenet5"
objective.options = {{ data = "imagefolder", validation_size = 20, epochs = 1 }}
space.learning_rate = {{ low = 1e-4, high = 1e-1, log = true }}
space.batch_size = 8
methods.random = {{}}
"""


@pytest.mark.long
def test_a_damaged_cache_of_images(tmp_path, monkeypatch, record_fault):
    rng = np.random.default_rng(0)
    for place in ("train/cat", "train/dog", "test/cat", "test/dog"):
        (tmp_path / place).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 255, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / place / f"{number}.png")
    monkeypatch.setenv("HPO_BENCH_DATA", str(tmp_path / "cache"))
    command = Command(tmp_path)
    run = ("run", "toy.toml", "--data-dir", ".")
    command.file.write_text(IMAGES.format(seed=0))
    wait(command.start(*run))
    (damaged,) = tmp_path.glob("cache/*/train_pixels.npy")
    damaged.write_bytes(damaged.read_bytes()[:-3])
    command.file.write_text(IMAGES.format(seed=1))
    assert "decoding the images again" in " ".join(wait(command.start(*run)).split())
    found = command.evaluations().total()
    record_fault("a damaged cache of decoded images", expected=4, found=found)
    assert found == 4


@pytest.mark.long
def test_a_damaged_suite_file(tmp_path, undisturbed, survived):
    command = Command(tmp_path, workers=2)
    stopped(command)
    good = command.file.read_text()
    command.file.write_text(good.replace("epochs = 45", "epochs = 45 45"))
    output = wait(command.start(), status=2)
    assert "toy.toml is not valid TOML" in output
    assert "Traceback" not in output
    command.file.write_text(good)
    process = command.start()
    seconds = command.seconds_to_the_next_unit(process)
    wait(process)
    survived("a damaged suite file; repaired", command, undisturbed.evaluations, seconds=seconds)


@pytest.mark.long
def test_a_clock_that_is_put_back(tmp_path, undisturbed, survived):
    command = Command(tmp_path, workers=2)
    stopped(command)
    # An hour earlier, for everything in the process: as after a wrong clock was set right.
    process = command.start(environment={"TOY_CLOCK_BACK": "3600"})
    seconds = command.seconds_to_the_next_unit(process)
    wait(process)
    survived("a clock put back by an hour", command, undisturbed.evaluations, seconds=seconds)
    assert command.told() == undisturbed.told
    for study in command.studies():
        ended = [job.ended for trial in study.get_trials() for job in jobs_of(trial)]
        if "random" in study.study_name:  # one after another
            assert ended == sorted(ended)


@pytest.mark.parametrize(
    ("revision", "advice"),
    [
        pytest.param("v2.6.0.a", "storage upgrade", marks=pytest.mark.long),
        pytest.param("v99.0", "pip install -U optuna", marks=pytest.mark.long),
    ],
)
def test_a_database_of_another_version_is_refused_and_left_alone(
    tmp_path, undisturbed, survived, revision, advice
):
    command = Command(tmp_path, workers=2)
    stopped(command)
    with closing(sqlite3.connect(tmp_path / "hpo-bench.db")) as database:
        (current,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
        set_version = "UPDATE alembic_version SET version_num = ?"
        database.execute(set_version, [revision])
        database.commit()
        output = wait(command.start(), status=2)
        assert advice in " ".join(output.split())
        assert "Traceback" not in output
        database.execute(set_version, [current])
        database.commit()
    process = command.start()
    seconds = command.seconds_to_the_next_unit(process)
    wait(process)
    age = "an older" if revision == "v2.6.0.a" else "a newer"
    fault = f"a database of {age} Optuna; put right"
    survived(fault, command, undisturbed.evaluations, seconds=seconds)


def test_a_study_of_the_same_name_by_somebody_else_is_left_alone(tmp_path, record_fault):
    command = Command(tmp_path)
    theirs = optuna.create_study(
        storage=open_storage(command.storage), study_name="toy/random/seed-00"
    )
    theirs.optimize(lambda trial: trial.suggest_float("z", 0, 1), n_trials=3)
    output = " ".join(wait(command.start(), status=2).split())
    assert "made otherwise" in output
    assert "another name" in output
    kept = load_study(open_storage(command.storage), "toy/random/seed-00").trials
    record_fault("a study of that name by somebody else: refused", expected=3, found=len(kept))
    assert [trial.params for trial in kept] == [trial.params for trial in theirs.trials]
    assert command.units() == []
