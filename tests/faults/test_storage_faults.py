"""The storage fails under a command that runs: it waits, says so, and goes on."""

import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, contextmanager, nullcontext, suppress

import pytest
from command import Command, descendants, wait, wait_until_gone, workers_of
from optuna import get_all_study_names, load_study

from hpo_bench.storage.outages import SILENCE
from hpo_bench.storage.records import jobs_of


def cut_connections(postgres, url, seconds):
    for _ in range(5):
        postgres.cut_connections(url)
        time.sleep(0.2)


def restart(postgres, url, seconds):
    postgres.stop()
    postgres.start()


def crash(postgres, url, seconds):
    postgres.crash()
    postgres.start()


def stay_away(postgres, url, seconds):
    postgres.stop()
    time.sleep(seconds)
    postgres.start()


def hang(postgres, url, seconds):
    postgres.freeze()
    time.sleep(seconds)
    postgres.thaw()


@pytest.mark.parametrize(
    "fault",
    [
        cut_connections,
        *(pytest.param(f, marks=pytest.mark.long) for f in (stay_away, restart, crash, hang)),
    ],
)
def test_postgresql(tmp_path, undisturbed, survived, postgres, postgres_url, outage_seconds, fault):
    command = Command(tmp_path, workers=2, storage=postgres_url)
    process = command.start()
    command.wait_for_units(30)
    lasted = SILENCE + 5 if fault is hang else outage_seconds
    fault(postgres, postgres_url, lasted)
    seconds = command.seconds_to_the_next_unit(process)
    output = wait(process)
    if fault in (restart, crash, stay_away):
        assert "the storage does not answer" in output
        assert "until that was over: going on" in output
    if fault is hang:
        assert f"with its connection open, for {SILENCE:g} s now" in output
    name = f"PostgreSQL: {fault.__name__.replace('_', ' ')}"
    if fault in (stay_away, hang):
        name += f", {lasted:g} s"
    survived(name, command, undisturbed.evaluations, seconds=seconds)
    assert command.told() == undisturbed.told
    assert postgres.password not in output


def trained(file):
    """How many evaluations a SQLite file holds; optuna reads it, from a place of its own."""
    storage = f"sqlite:///{file}"
    trials = [
        t
        for name in get_all_study_names(storage)
        for t in load_study(study_name=name, storage=storage).trials
    ]
    return sum(len(jobs_of(trial)) for trial in trials)


def copies(file, place, *endings):
    """Copy a database, and what lies beside it; give the copy."""
    place.mkdir()
    for ending in ("", *endings):
        shutil.copy(f"{file}{ending}", place)
    return place / file.name


def test_a_copy_of_the_file_alone_holds_what_was_done_before_kill_9(tmp_path, record_fault):
    command = Command(tmp_path, seeds=1, methods="random = {}", budget="evaluations = 100")
    process = command.start()
    command.wait_for_units(5 * 9 + 1)
    killed = [process.pid, *descendants(process.pid)]
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until_gone(killed)
    file = tmp_path / "hpo-bench.db"
    alone = copies(file, tmp_path / "alone")
    whole = copies(file, tmp_path / "whole", "-wal")
    expected = trained(whole)
    assert expected >= 5
    found = trained(alone)
    record_fault(
        "kill -9 of all, and a copy of the SQLite file alone", expected=expected, found=found
    )
    assert found >= expected - 2
    wait(command.start("results", "toy", "--storage", command.storage), status=0)
    assert trained(copies(file, tmp_path / "later")) == expected


def test_an_outage_beyond_all_patience_ends_the_command_and_loses_nothing(
    tmp_path, undisturbed, survived, postgres, postgres_url
):
    command = Command(tmp_path, workers=2, storage=postgres_url, settings="storage_patience = 1.0")
    process = command.start()
    command.wait_for_units(30)
    postgres.stop()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1, output
    # Those who are at work say so, and the command at its end; the runs that nobody has begun are
    # not tried in vain.
    assert 2 <= output.count("the storage does not answer, for 1 s now") <= 3
    assert re.search(r"Stopped: [234] runs left\. The same command goes on\.", output)
    assert "The results cannot be shown: storage: " in output
    assert "error: " not in output
    assert postgres.password not in output
    postgres.start()
    process = command.start()
    seconds = command.seconds_to_the_next_unit(process)
    wait(process)
    survived(
        "PostgreSQL: away beyond all patience; started again",
        command,
        undisturbed.evaluations,
        seconds=seconds,
    )
    assert command.told() == undisturbed.told


@pytest.mark.long
def test_a_locked_database(tmp_path, undisturbed, survived, outage_seconds):
    command = Command(tmp_path, workers=2)
    process = command.start()
    command.wait_for_units(30)
    with closing(sqlite3.connect(tmp_path / "hpo-bench.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(outage_seconds)
        other.execute("ROLLBACK")
    seconds = command.seconds_to_the_next_unit(process)
    wait(process)
    fault = f"SQLite: locked by another program, {outage_seconds:g} s"
    survived(fault, command, undisturbed.evaluations, seconds=seconds)
    assert command.told() == undisturbed.told


@contextmanager
def small_disk(directory):
    """A file system of 32 MB."""
    directory.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(directory)]
    if subprocess.run(mounting, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@contextmanager
def filled(directory):
    """No room is left on a file system."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    yield
    filler.unlink()


@contextmanager
def limited(processes):
    """No file may become longer than 64 kB: none that the tests write, but the database."""
    unlimited = resource.RLIM_INFINITY
    for pid in processes:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1 << 16, unlimited))
    yield
    for pid in processes:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))


@pytest.mark.parametrize("means", ["a limit", pytest.param("a full disk", marks=pytest.mark.long)])
def test_no_room_to_write(tmp_path, undisturbed, survived, outage_seconds, means):
    place = tmp_path / "disk"
    is_disk = means == "a full disk"
    with small_disk(place) if is_disk else nullcontext(place.mkdir()):
        command = Command(tmp_path, workers=2, storage=f"sqlite:///{place / 'studies.db'}")
        process = command.start()
        command.wait_for_units(30)
        with filled(place) if is_disk else limited(workers_of(process)):
            time.sleep(outage_seconds)
        seconds = command.seconds_to_the_next_unit(process)
        output = wait(process)
        assert "the storage does not answer" in output or "no room for a checkpoint" in output
        fault = f"SQLite: no room to write ({means}), {outage_seconds:g} s"
        survived(fault, command, undisturbed.evaluations, seconds=seconds)
        assert command.told() == undisturbed.told


@pytest.mark.long
def test_reports_are_made_while_the_storage_is_restarted(tmp_path, postgres, postgres_url):
    command = Command(tmp_path, storage=postgres_url, methods="random = {}")
    command.finish()
    postgres.stop()
    away = command.start("results", "toy", "--storage", postgres_url)
    output = wait(away, status=2)
    assert "refused" in output
    assert postgres.password not in output
    postgres.start()
    assert "random" in wait(command.start("results", "toy", "--storage", postgres_url))
