"""Several commands at work on one suite: real processes, frozen, stopped, started together."""

import os
import signal
import time

from sharing import Suite, trained


def test_two_commands_that_start_together_share_the_runs(suite, undisturbed):
    both = [suite.start(), suite.start()]
    suite.wait_for_units(30)
    holders = suite.holders()
    assert len(set(holders.values())) == len(holders) >= 1
    for process in both:
        output = suite.finish(process)
        assert all(name in output for name in undisturbed)  # each ends with all of the results
    assert suite.told() == undisturbed
    assert len(suite.units()) == trained(undisturbed)


def test_who_finds_everything_taken_says_by_whom_and_leaves_or_waits(suite):
    first = suite.start("run", "--workers", "3", "--set", "lease_seconds=600")
    while len(suite.holders()) < 3 and first.poll() is None:
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGSTOP)
    holders = suite.holders()
    assert len(holders) == 3
    leaving, waiting = suite.start("worker"), suite.start("worker", "--wait")
    output = suite.finish(leaving)
    for name, pid in holders.items():
        assert f"Left to others: {name} is being worked on by process {pid} on" in output
    told = iter(waiting.stdout.readline, "")  # before it, what takes long is told
    assert any("waiting for 3 runs that others work on" in line for line in told)
    os.killpg(first.pid, signal.SIGCONT)
    suite.finish(first)
    output = suite.finish(waiting)
    assert all(f"{name}: best" in output for name in holders)


def test_a_frozen_worker_is_taken_over_and_what_it_does_then_is_not_counted(
    tmp_path, undisturbed, postgres_url
):
    with Suite(tmp_path, postgres_url) as suite:
        frozen = suite.start("worker", "--wait")
        suite.wait_for_units(12)
        os.killpg(frozen.pid, signal.SIGSTOP)
        (held,) = suite.holders()
        suite.finish(suite.start("worker", "--wait"))
        assert suite.told() == undisturbed
        os.killpg(frozen.pid, signal.SIGCONT)
        output = suite.finish(frozen)
        assert f"{held}: another process has taken this run over" in output
        assert suite.told() == undisturbed


def test_a_worker_told_to_leave_saves_and_another_goes_on(suite, undisturbed):
    first = suite.start("worker")
    suite.wait_for_units(12)
    os.killpg(first.pid, signal.SIGTERM)
    output = suite.finish(first, status=130)
    assert "The same command goes on" in output
    assert suite.holders() == {}
    suite.finish(suite.start("worker"))
    assert suite.told() == undisturbed
    assert len(suite.units()) == trained(undisturbed)


def test_a_command_killed_with_its_workers_is_gone_on_with_at_once(suite, undisturbed):
    first = suite.start("run", "--set", "lease_seconds=3600")
    suite.wait_for_units(12)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    suite.finish(suite.start("worker"))  # which would leave if it found the run taken
    assert suite.told() == undisturbed


def test_workers_that_meet_at_an_empty_database_do_not_hinder_each_other(
    tmp_path, undisturbed, any_url
):
    with Suite(tmp_path, any_url) as suite:
        workers = [suite.start("worker", "--wait") for _ in range(3)]
        for worker in workers:
            suite.finish(worker)
        assert suite.told() == undisturbed
        assert len(suite.units()) == trained(undisturbed)


def test_status_tells_who_works_on_what_and_how_far_each_run_is(suite):
    first = suite.start("run", "--seeds", "0", "--set", "lease_seconds=600")
    suite.wait_for_units(20)
    os.killpg(first.pid, signal.SIGSTOP)
    ((name, pid),) = suite.holders().items()
    output = suite.finish(suite.start("status"))
    os.killpg(first.pid, signal.SIGCONT)
    lines = {line.split()[0]: line for line in output.splitlines() if line.strip()}
    assert f"process {pid} on" in lines[name]
    assert "not begun" in lines["toy/random/seed-01"]
    suite.finish(first)
    output = suite.finish(suite.start("status"))
    line = next(line for line in output.splitlines() if name in line)
    assert "100%" in line
    assert "finished (epochs spent)" in line
