"""Real processes, really killed: whatever happens, the same command goes on to the same end."""

import os
import signal
import time

import pytest
from command import Command, descendants, wait, wait_until_gone, workers_of


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.long), 2])
def test_killed_coordinator(tmp_path, undisturbed, survived, workers):
    command = Command(tmp_path, workers)
    for units in (20, 60):
        process = command.start()
        command.wait_for_units(units)
        workers_before = workers_of(process)
        process.kill()
        process.communicate()
        wait_until_gone(workers_before)
    process = command.start()
    seconds = command.seconds_to_the_next_unit(process)
    wait(process)
    fault = f"kill -9 of the command, {workers} workers; started again"
    survived(fault, command, undisturbed.evaluations, injected=2, seconds=seconds)
    assert command.told() == undisturbed.told


@pytest.mark.long
def test_a_killed_coordinator_of_runs_with_several_workers(tmp_path, undisturbed):
    command = Command(tmp_path, 2, settings="workers_per_run = 2\ndeterministic = true\n")
    process = command.start()
    command.wait_for_units(60)
    started = descendants(process.pid)
    assert len(started) >= 3
    process.kill()
    process.communicate()
    wait_until_gone(started)
    command.finish()
    for name, trials in command.told().items():
        assert all(state.is_finished() for _, state, *_ in trials)
        assert sum(epochs for *_, epochs in trials) in range(45, 54)
        if "random" in name:  # what bohb proposes depends on what it knew when it was asked
            assert trials == undisturbed.told[name]


def test_killed_workers_are_replaced(tmp_path, undisturbed, survived):
    command = Command(tmp_path, workers=2)
    process = command.start()
    command.wait_for_units(30)
    killed = workers_of(process)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    seconds = command.seconds_to_the_next_unit(process)
    assert "another one goes on with it" in wait(process)
    survived(
        "kill -9 of all workers in the middle of an epoch",
        command,
        undisturbed.evaluations,
        injected=len(killed),
        seconds=seconds,
    )
    assert command.told() == undisturbed.told


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        (signal.SIGINT, "Ctrl-C once"),
        pytest.param(signal.SIGTERM, "SIGTERM", marks=pytest.mark.long),
    ],
)
def test_asked_to_stop(tmp_path, undisturbed, survived, number, fault):
    command = Command(tmp_path, workers=2)
    process = command.start()
    command.wait_for_units(30)
    os.killpg(process.pid, number)  # as a terminal does: to every process
    assert "The same command goes on" in wait(process, status=130)
    trained = len(command.units())
    process = command.start()
    seconds = command.seconds_to_the_next_unit(process)
    wait(process)
    survived(f"{fault}; started again", command, undisturbed.evaluations, seconds=seconds)
    assert command.told() == undisturbed.told
    # What was under way was saved: not one unit is trained twice.
    total = sum(epochs for trials in undisturbed.told.values() for *_, epochs in trials)
    assert trained < len(command.units()) == total


@pytest.mark.long
def test_asked_to_stop_while_the_workers_still_start(tmp_path, undisturbed):
    command = Command(tmp_path, workers=2)
    process = command.start()
    deadline = time.monotonic() + 60
    while not workers_of(process):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    output = wait(process, status=130)
    assert "Traceback" not in output
    assert "died" not in output
    assert "The same command goes on" in output
    command.finish()
    assert command.told() == undisturbed.told


@pytest.mark.long
def test_asked_twice_it_stops_at_once_and_still_goes_on_later(tmp_path, undisturbed, survived):
    command = Command(tmp_path, workers=2)
    process = command.start()
    command.wait_for_units(30)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGINT)
    wait(process, status=130)
    process = command.start()
    seconds = command.seconds_to_the_next_unit(process)
    wait(process)
    survived("Ctrl-C twice; started again", command, undisturbed.evaluations, seconds=seconds)
    assert command.told() == undisturbed.told


def test_a_frozen_worker_goes_on_when_it_thaws(tmp_path, undisturbed, survived, outage_seconds):
    command = Command(tmp_path)
    process = command.start()
    command.wait_for_units(30)
    (worker,) = workers_of(process)
    os.kill(worker, signal.SIGSTOP)
    before = len(command.units())
    time.sleep(outage_seconds)
    assert len(command.units()) <= before + 1
    os.kill(worker, signal.SIGCONT)
    seconds = command.seconds_to_the_next_unit(process)
    wait(process)
    survived("a worker frozen and thawed", command, undisturbed.evaluations, seconds=seconds)
    assert command.told() == undisturbed.told


@pytest.mark.long
def test_a_frozen_worker_that_wakes_up_after_it_was_taken_over(tmp_path, undisturbed, survived):
    command = Command(tmp_path, settings="lease_seconds = 2.0")
    frozen = command.start("worker", "toy.toml", "--wait")
    command.wait_for_units(30)
    os.killpg(frozen.pid, signal.SIGSTOP)
    wait(command.start("worker", "toy.toml", "--wait"))
    before = command.told()
    os.killpg(frozen.pid, signal.SIGCONT)
    assert "another process has taken this run over" in wait(frozen)
    assert command.told() == before == undisturbed.told
    fault = "a worker frozen, taken over, and thawed"
    survived(fault, command, undisturbed.evaluations)


@pytest.mark.long
def test_two_commands_at_once(tmp_path, undisturbed, survived):
    command = Command(tmp_path)
    both = [command.start(), command.start()]
    for process in both:
        wait(process)
    survived("two commands started on one suite at once", command, undisturbed.evaluations)
    assert command.told() == undisturbed.told


def test_an_evaluator_that_is_frozen_for_too_long_is_replaced(tmp_path, undisturbed):
    command = Command(tmp_path, settings="evaluation_timeout = 1.0", methods="random = {}")
    process = command.start()
    command.wait_for_units(20)
    (worker,) = workers_of(process)
    (evaluator,) = workers_of(worker)
    os.kill(evaluator, signal.SIGSTOP)
    command.seconds_to_the_next_unit(process)
    with pytest.raises(ProcessLookupError):
        os.kill(evaluator, signal.SIGCONT)
    output = wait(process)
    assert "no sign of life for 1 s" in output
    trials = [trial for study in command.studies() for trial in study.get_trials()]
    failed = [trial for trial in trials if "error" in trial.user_attrs]
    assert len(failed) == 1
    assert all(trial.state.is_finished() for trial in trials)
    assert sum(t.user_attrs["epochs"] for t in trials if t not in failed) >= 2 * 45 - 9


def test_a_finished_suite_trains_nothing_again(tmp_path):
    command = Command(tmp_path, workers=2)
    command.finish()
    trained = len(command.units())
    assert "toy/random/seed-00" in command.finish()
    assert len(command.units()) == trained
