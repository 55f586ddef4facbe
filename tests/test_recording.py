import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import IntDistribution
from recordings import card, columns, toy_table
from typer.testing import CliRunner

from hpo_bench import suite
from hpo_bench.cli import app
from hpo_bench.errors import HpoBenchError, InputError
from hpo_bench.objectives import build
from hpo_bench.objectives.table import Table
from hpo_bench.objectives.table.files import read, write
from hpo_bench.objectives.table.recorder import recorder
from hpo_bench.recording import check_output, export, recording

SUITE = """
description = "curves"
seeds = [3, 4]
workers = 2
storage = "sqlite:///{place}/runs.db"
objective = {{ name = "toy:Curve", options = {{ {options} }} }}
space = {{ x = {{ low = -4, high = 4 }}, y = {{ low = -1.0, high = 1.0 }} }}
budget = {{ epochs = 6 }}
[methods.mine]
method = "grid"
options = {{ levels = {{ x = 3, y = 2 }} }}
[methods.random]
"""


@pytest.fixture
def file(tmp_path, toy_file):
    def write(options="epochs = 3", **changes):
        text = SUITE.format(place=tmp_path, options=options)
        for old, new in changes.items():
            text = text.replace(old, new)
        return toy_file(text, name="curves")

    return write


def record(file, table, *flags):
    return CliRunner().invoke(app, ["record", str(file), "--output", str(table), *flags])


@pytest.mark.parametrize("suffix", [".csv.gz", ".parquet"])
def test_a_grid_is_recorded_and_replayed(file, tmp_path, suffix):
    table = tmp_path / f"curves{suffix}"
    result = record(file(), table)
    assert result.exit_code == 0, result.output
    assert "36 rows" in result.output
    card, columns, _ = read(table)
    assert (card.name, card.description, card.metric) == ("curves", "curves", "score")
    assert card.space == {"x": {"low": -4, "high": 4}, "y": {"low": -1.0, "high": 1.0}}
    assert card.data == {"data": "toy plain"}
    assert card.made["objective"] == "toy:Curve"
    assert card.made["seeds"] == [3, 4]
    assert card.made["optuna"]
    assert list(columns) == [
        *("x", "y", "seed", "epoch", "value", "seconds", "parameters", "test_accuracy")
    ]
    replay, original = Table(table), build("toy:Curve", None, 0, {"epochs": 3})
    for place, x in enumerate((-4, 0, 4)):
        replayed, evaluated = replay.start({"x": place, "y": 1}), original.start({"x": x, "y": 1.0})
        assert [replayed.advance() for _ in range(3)] == [evaluated.advance() for _ in range(3)]
        assert replayed.measurements()["test_accuracy"] == 1.0
    assert replay.trainings.values.shape == (6, 2, 3)


def test_recording_again_trains_nothing(file, tmp_path):
    log = tmp_path / "log"
    curves = file(f'epochs = 3, log = "{log}"')
    assert record(curves, tmp_path / "a.csv").exit_code == 0
    trained = log.read_text()
    assert len(trained.splitlines()) == 36
    assert record(curves, tmp_path / "b.csv").exit_code == 0
    assert log.read_text() == trained
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_recording_goes_on_after_kill_9(file, tmp_path):
    log = tmp_path / "log"
    curves = file(f'epochs = 3, unit_seconds = 0.05, log = "{log}"')
    support = str(Path(__file__).parent / "support")
    command = [sys.executable, "-m", "hpo_bench", "record", str(curves)]
    running = subprocess.Popen(
        [*command, "--output", str(tmp_path / "t.csv")],
        env={**os.environ, "PYTHONPATH": support},
        cwd=tmp_path,
        start_new_session=True,
    )
    while not log.exists() or len(log.read_text().splitlines()) < 8:
        assert running.poll() is None
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "t.csv").exists()
    assert record(curves, tmp_path / "t.csv").exit_code == 0
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert len({tuple(entry.values()) for entry in entries}) == 36
    # A worker may have lost what it had under way: one training each.
    assert len(entries) <= 36 + 2 * 3
    assert Table(tmp_path / "t.csv").trainings.counts.sum() == 12


def test_what_failed_is_recorded_as_failing(file, tmp_path):
    result = record(file("epochs = 3, fail_at = 4"), tmp_path / "t.csv")
    assert result.exit_code == 0, result.output
    table = Table(tmp_path / "t.csv")
    evaluation = table.start({"x": 2, "y": 0})
    assert str(evaluation.advance()) == "nan"
    assert table.trainings.values.shape == (6, 2, 3)


def test_a_recorder_gives_the_same_values_and_measures_every_epoch():
    options = {"data": "shapes", "train_size": 200, "validation_size": 100, "test_size": 100}
    space = {"c1": {"low": 2, "high": 8}, "c3": 4, "c5": 16, "f6": 16}
    plain = build("lenet5", space, 1, {**options, "epochs": 3}).start({"c1": 3})
    recorded = recorder("lenet5", space=space, seed=1, **options, epochs=3)
    evaluation = recorded.start({"c1": 3})
    accuracies = []
    for epoch in (1, 2, 3):
        if epoch == 3:
            evaluation = recorded.restore({"c1": 3}, evaluation.checkpoint())
        assert plain.advance() == evaluation.advance()
        accuracies.append(plain.measurements()["test_accuracy"])
    measured = evaluation.measurements()
    assert [measured[f"test_accuracy@{epoch}"] for epoch in (1, 2, 3)] == accuracies
    assert measured["test_accuracy"] == accuracies[-1]
    assert all(measured[f"seconds@{epoch}"] > 0 for epoch in (1, 2, 3))
    assert recorded.machine() == build("lenet5", space, 1, options).machine()


def test_measurements_of_numpy_s_are_recorded_and_go_on(monkeypatch):
    monkeypatch.setattr("toy._Climb.measurements", lambda _: {"loss": np.float32(0.5)})
    recorded = recorder("toy:Curve", epochs=2)
    evaluation = recorded.start({"x": 1, "y": 1.0})
    evaluation.advance()
    again = recorded.restore({"x": 1, "y": 1.0}, evaluation.checkpoint())
    again.advance()
    assert [again.measurements()[f"loss@{epoch}"] for epoch in (1, 2)] == [0.5, 0.5]


def test_cpu_time_leaves_out_waiting(file, tmp_path):
    waiting = file("epochs = 3, unit_seconds = 0.05")
    assert record(waiting, tmp_path / "t.csv", "--cpu-time").exit_code == 0
    card, columns, _ = read(tmp_path / "t.csv")
    assert card.made["seconds"] == "CPU time"
    seconds = [float(text) for text in columns["seconds"]]
    assert 0 < sum(seconds) / len(seconds) < 0.04


def test_a_grid_that_prunes_is_recorded_whole(file, tmp_path):
    pruner = 'method = "grid"\npruner = "optuna.pruners:ThresholdPruner"'
    pruning = f"{pruner}\npruner_options = {{ lower = 1e6 }}"
    result = record(file(**{'method = "grid"': pruning}), tmp_path / "t.csv")
    assert result.exit_code == 0, result.output
    assert "36 rows" in result.output
    assert Table(tmp_path / "t.csv").trainings.values.shape == (6, 2, 3)


def test_one_of_several_objectives_is_recorded(file, tmp_path):
    several = file(
        **{
            "objective = {": "objectives.a = {",
            "budget =": 'objectives.b.name = "toy:Curve"\nbudget =',
        }
    )
    refused = record(several, tmp_path / "t.csv")
    assert "curves.a" in str(refused.exception)
    assert "--objectives NAME" in str(refused.exception)
    result = record(several, tmp_path / "t.csv", "--objectives", "a", "--seeds", "3")
    assert result.exit_code == 0, result.output
    assert "18 rows" in result.output
    assert read(tmp_path / "t.csv")[0].name == "curves.a"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('method = "grid"\noptions = { levels = { x = 3, y = 2 } }', 'method = "random"'),
        ("[methods.random]", '[methods.other]\nmethod = "grid"'),
    ],
)
def test_a_suite_without_one_grid_cannot_be_recorded(file, old, new):
    with pytest.raises(InputError, match=r"methods: \['mine', .*one grid among them"):
        recording(suite.load(str(file(**{old: new}))))


def test_a_hyperparameter_with_the_name_of_a_column_is_refused(monkeypatch):
    space = {"seed": IntDistribution(0, 3)}
    monkeypatch.setattr("toy.Curve.search_space", space)
    with pytest.raises(HpoBenchError, match="a column 'seed' of its own"):
        recorder("toy:Curve")


@pytest.mark.parametrize(
    ("output", "text"),
    [("t.txt", "--output: .*ends in .csv"), ("nowhere/t.csv", "--output: .*no directory")],
)
def test_a_place_that_cannot_be_written_is_told_before_training(file, tmp_path, output, text):
    result = record(file(), tmp_path / output)
    assert isinstance(result.exception, InputError)
    with pytest.raises(InputError, match=text):
        raise result.exception
    assert not (tmp_path / "runs.db").exists()


@pytest.mark.parametrize("content", [None, b"year,yield\n1998,3\n"])
def test_neither_another_table_nor_another_file_is_overwritten(file, tmp_path, content):
    output = toy_table(tmp_path / "t.csv")
    if content is not None:
        output.write_bytes(content)
    before = output.read_bytes()
    result = record(file(), output)
    with pytest.raises(HpoBenchError, match=r"t\.csv.*(table 'toy'.*another name|not a table)"):
        raise result.exception
    assert output.read_bytes() == before
    assert not (tmp_path / "runs.db").exists()


def test_its_own_table_is_written_anew(file, tmp_path):
    write(tmp_path / "t.csv", card(name="curves"), columns())
    check_output(recording(suite.load(str(file()))), tmp_path / "t.csv")


def test_an_unfinished_recording_is_not_exported(file, tmp_path):
    curves = file()
    assert record(curves, tmp_path / "t.csv", "--seeds", "3").exit_code == 0
    with pytest.raises(HpoBenchError, match="seed-04 is not finished"):
        export(recording(suite.load(str(curves))), tmp_path / "u.csv")


@pytest.mark.parametrize(
    ("low", "on_table", "snapped"),
    [(1, {"x": 0, "y": 1}, {"x": 1, "y": 1}), (-1, None, {"x": 1, "y": 1})],
)
def test_a_table_keeps_the_default_of_what_was_recorded(file, tmp_path, low, on_table, snapped):
    """Levels of x are low, low + 3, low + 6, of y -1 and 1, and the default has 1 and 1."""
    table = tmp_path / "curves.csv"
    changes = {"low = -4, high = 4": f"low = {low}, high = {low + 6}"}
    assert record(file("has_default = true", **changes), table).exit_code == 0
    assert read(table)[0].default == {"x": 1, "y": 1}
    assert Table(table).default == on_table
    assert Table(table, snap=True).default == snapped


def test_a_table_without_a_default_has_none(file, tmp_path):
    table = tmp_path / "curves.csv"
    assert record(file(), table).exit_code == 0
    assert Table(table).default is None
