"""The storage fails under a command that runs: it waits, says so, and goes on."""

import resource
import sqlite3
import subprocess
import time
from contextlib import closing, contextmanager

import pytest
from command import Command, wait, workers_of


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


@pytest.mark.parametrize("fault", [cut_connections, restart, crash, stay_away, hang])
def test_postgresql(tmp_path, undisturbed, survived, postgres, postgres_url, outage_seconds, fault):
    command = Command(tmp_path, workers=2, storage=postgres_url)
    process = command.start()
    command.wait_for_units(30)
    fault(postgres, postgres_url, outage_seconds)
    seconds = command.seconds_to_the_next_unit(process)
    output = wait(process)
    if fault in (restart, crash, stay_away):
        assert "the storage does not answer" in output
        assert "until that was over: going on" in output
    name = f"PostgreSQL: {fault.__name__.replace('_', ' ')}"
    if fault in (stay_away, hang):
        name += f", {outage_seconds:g} s"
    survived(name, command, undisturbed.evaluations, seconds=seconds)
    assert command.told() == undisturbed.told
    assert postgres.password not in output


def test_an_outage_beyond_all_patience_ends_the_command_and_loses_nothing(
    tmp_path, undisturbed, survived, postgres, postgres_url
):
    command = Command(tmp_path, workers=2, storage=postgres_url, settings="storage_patience = 1.0")
    process = command.start()
    command.wait_for_units(30)
    postgres.stop()
    output, _ = process.communicate(timeout=120)
    assert process.returncode in (1, 2), output
    assert "the storage does not answer, for 1 s now" in output
    assert "the same command goes on" in output
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
    """A file system of 32 MB; None where we may not mount one."""
    directory.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(directory)]
    if subprocess.run(mounting, capture_output=True, check=False).returncode != 0:
        yield None
        return
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@contextmanager
def no_room(disk, process):
    """Nothing more can be written."""
    if disk is not None:
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(4096))
                except OSError:
                    break
        yield
        filler.unlink()
        return
    workers = workers_of(process)
    for pid in workers:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    yield
    for pid in workers:
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)


def test_a_full_disk(tmp_path, undisturbed, survived, outage_seconds):
    with small_disk(tmp_path / "disk") as disk:
        place = tmp_path if disk is None else disk
        command = Command(tmp_path, workers=2, storage=f"sqlite:///{place / 'studies.db'}")
        process = command.start()
        command.wait_for_units(30)
        with no_room(disk, process):
            time.sleep(outage_seconds)
        seconds = command.seconds_to_the_next_unit(process)
        output = wait(process)
        assert "the storage does not answer" in output or "no room for a checkpoint" in output
        assert "full" in output or "I/O" in output
        how = "" if disk is None else " (32 MB)"
        fault = f"SQLite: the disk is full{how}, {outage_seconds:g} s"
        survived(fault, command, undisturbed.evaluations, seconds=seconds)
        assert command.told() == undisturbed.told


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
