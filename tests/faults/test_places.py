"""Paths: of a storage that names them, of one that is moved away, of an objective that wanders."""

import json
import os
import signal
import sqlite3
from contextlib import closing

import pytest
from command import Command, wait


@pytest.mark.parametrize("name", ["absolute", "relative"])
def test_a_storage_that_names_a_directory_deletes_nothing(tmp_path, name):
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.tex").write_text("years of work")
    command = Command(tmp_path, methods="random = {}", seeds=1, unit_seconds=0.0)
    command.finish()
    run_id = str(thesis) if name == "absolute" else "../../../../thesis"
    with closing(sqlite3.connect(tmp_path / "hpo-bench.db")) as database:
        table = "study_user_attributes"
        database.execute(f"DELETE FROM {table} WHERE key = 'finished'")
        given = [json.dumps(run_id)]
        database.execute(f"UPDATE {table} SET value_json = ? WHERE key = 'run_id'", given)
        database.commit()
    output = " ".join(wait(command.start(), status=2).split())
    assert "study 'toy/random/seed-00': its attribute 'run_id' is" in output
    assert "expected 32 hexadecimal digits" in output
    assert (thesis / "chapter.tex").read_text() == "years of work"


@pytest.mark.parametrize("workers_per_run", [pytest.param(1, marks=pytest.mark.long), 2])
def test_an_objective_that_changes_the_working_directory(tmp_path, undisturbed, workers_per_run):
    elsewhere, place = tmp_path / "elsewhere", tmp_path / "place"
    for folder in (elsewhere, place, place / "data"):
        folder.mkdir()
    (place / "table.csv").write_text("")
    command = Command(
        place,
        options=f'table = "table.csv"\ndata_dir = "data"\nelsewhere = {json.dumps(str(elsewhere))}',
        settings=f"workers_per_run = {workers_per_run}\ndeterministic = true\nconfirm = 1",
        unit_seconds=0.0,
    )
    text = command.file.read_text().replace("toy:Curve", "odd:Wanderer")
    command.file.write_text(text.replace(command.storage, "sqlite:///hpo-bench.db"))
    output = command.finish()
    assert list(elsewhere.iterdir()) == []
    assert output.count("(epochs spent)") == 4
    if workers_per_run == 1:
        assert command.told() == undisturbed.told
    assert all(trial.state.is_finished() for s in command.studies() for trial in s.get_trials())
    assert {path.name for path in place.iterdir()} - {"hpo-bench.db-shm", "hpo-bench.db-wal"} == {
        "data",
        "hpo-bench.db",
        "log",
        "table.csv",
        "toy.toml",
    }


def test_a_database_that_is_moved_away_ends_the_command_and_loses_nothing(
    tmp_path, undisturbed, survived
):
    command = Command(tmp_path, workers=2)
    process = command.start()
    command.wait_for_units(30)
    there, away = tmp_path / "hpo-bench.db", tmp_path / "away.db"
    there.rename(away)
    output = " ".join(wait(process, status=1).split())
    assert f"{there} is not there any more" in output
    assert "Stopped: 4 runs left. The same command goes on." in output
    assert "Traceback" not in output
    assert not there.exists()
    away.rename(there)
    process = command.start()
    seconds = command.seconds_to_the_next_unit(process)
    wait(process)
    fault = "SQLite: the file moved away; moved back and started again"
    survived(fault, command, undisturbed.evaluations, seconds=seconds)
    assert command.told() == undisturbed.told


@pytest.mark.parametrize("replaced", [False, True])
def test_a_database_that_is_deleted_is_not_made_again_by_a_worker(tmp_path, replaced):
    command = Command(tmp_path, methods="random = {}", seeds=3)
    process = command.start()
    command.wait_for_units(10)
    there = tmp_path / "hpo-bench.db"
    there.unlink()
    if replaced:
        there.write_bytes(b"")
    output = " ".join(wait(process, status=1).split())
    assert f"{there} is not there any more, or is another file by now" in output
    assert "Stopped: 3 runs left" in output
    assert there.exists() == replaced
    assert not replaced or there.read_bytes() == b""


def test_a_checkpoint_directory_that_is_deleted_in_the_middle(tmp_path, undisturbed, survived):
    command = Command(tmp_path, workers=2)
    process = command.start()
    command.wait_for_units(20)
    checkpoints = tmp_path / "hpo-bench.db.checkpoints"
    checkpoints.rename(tmp_path / "away")
    os.killpg(process.pid, signal.SIGINT)  # what is under way is saved
    output = wait(process, status=130)
    assert "Traceback" not in output
    assert list(checkpoints.rglob("trial-*.checkpoint"))
    command.finish()
    survived("the checkpoints deleted; stopped and started again", command, undisturbed.evaluations)
    assert not checkpoints.exists()


def test_a_run_that_fails_says_why_last_and_where(tmp_path):
    command = Command(
        tmp_path,
        methods="random = {}",
        options="fail_at = 1\n[space]\nx = { low = 1, high = 1 }\ny = { low = 0.0, high = 1.0 }",
        seeds=1,
    )
    lines = wait(command.start(), status=1).splitlines()
    assert "5 evaluations in a row failed, the last with RuntimeError: this x alw" in lines[-3]
    assert lines[-2] == "What evaluations failed with:  hpo-bench results toy --failures"
    assert lines[-1] == "Once this is put right, the same command goes on with what failed."
    shown = wait(command.start("results", "toy", "--failures"))
    assert shown.startswith("5 evaluations failed: RuntimeError: this x always fails\n")
    assert "toy/random/seed-00, trial 0: x = 1, y = " in shown
    assert 'tests/support/toy.py", line ' in shown
    assert "hpo_bench/running" not in shown
