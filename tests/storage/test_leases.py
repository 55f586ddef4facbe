import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, replace

import optuna
import psutil
import pytest
import sqlalchemy

from hpo_bench.storage.leases import LeaseLostError, Owner, TakenError, holding, leases
from hpo_bench.storage.opening import backend_of, open_storage
from hpo_bench.storage.studies import load_study

RUN = "suite/method/seed-00"


@pytest.fixture
def url(any_url):
    return any_url


@pytest.fixture
def storage(url):
    return open_storage(url)


@pytest.fixture
def study(storage):
    return optuna.create_study(storage=storage, study_name=RUN)


def change(storage, **values):
    """Write into the lease of the run: what a machine far away would."""
    text = ", ".join(f"{name} = :{name}" for name in values)
    with backend_of(storage).engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"UPDATE hpo_bench_leases SET {text}"), values)


def give_to_another_machine(storage):
    """Let a process hold the lease of which nothing is known but its signs of life."""
    with holding(storage, RUN, 60):
        pass
    far = Owner(host="far", pid=1, kernel="another", started="1", taking="")
    change(storage, owner=json.dumps(asdict(far)))


@pytest.mark.parametrize("is_mac", [False, True])
def test_a_process_is_known_to_be_dead_by_the_time_at_which_it_was_started(monkeypatch, is_mac):
    monkeypatch.setattr(psutil, "MACOS", is_mac)
    here = Owner.here()
    assert here.kernel
    assert not here.is_dead()
    assert replace(here, started="1.00").is_dead()
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert replace(here, pid=ended.pid).is_dead()
    assert not replace(here, pid=ended.pid, started="").is_dead()
    assert not replace(here, pid=ended.pid, kernel="another").is_dead()
    boot_time, create_time = psutil.boot_time, psutil.Process.create_time
    monkeypatch.setattr(psutil, "boot_time", lambda: boot_time() + 3600)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: create_time(self) + 3600)
    assert is_mac or not here.is_dead(), "a clock that is put forward kills nobody"


def test_one_at_a_time_and_the_other_is_told_who(url, storage):
    with (
        holding(storage, RUN, 60),
        pytest.raises(TakenError, match=f"{RUN} is being worked on by process .* on "),
        holding(open_storage(url), RUN, 60),
    ):
        pytest.fail("two hold the same lease")


def test_what_is_given_back_is_free_and_every_taking_has_a_higher_token(url, storage):
    tokens = []
    for _ in range(3):
        with holding(open_storage(url), RUN, 60):
            tokens.append(leases(storage)[RUN].token)
        assert leases(storage)[RUN].is_free
    assert tokens == [1, 2, 3]


def test_leases_of_other_runs_are_no_hindrance(url, storage):
    with holding(storage, RUN, 60), holding(open_storage(url), "suite/method/seed-01", 60):
        assert len(leases(storage)) == 2


def test_nobody_has_ever_worked_in_an_empty_storage(storage):
    assert leases(storage) == {}


def test_another_machines_lease_is_free_only_when_it_has_run_out(storage, url):
    give_to_another_machine(storage)
    change(storage, beat=leases(storage)[RUN].beat - 55)
    with pytest.raises(TakenError, match=r"process 1 on far \(last sign of life 5. s ago\)"):
        holding(open_storage(url), RUN, 1).__enter__()
    change(storage, beat=leases(storage)[RUN].beat - 10)
    with holding(open_storage(url), RUN, 60):
        assert leases(storage)[RUN].owner.pid == os.getpid()


def test_a_sign_of_life_from_far_in_the_future_does_not_hold_for_ever(storage, url):
    give_to_another_machine(storage)
    change(storage, beat=leases(storage)[RUN].beat + 3600)
    with holding(open_storage(url), RUN, 60):
        assert leases(storage)[RUN].owner.pid == os.getpid()


def test_signs_of_life_keep_a_lease(storage, url):
    with holding(storage, RUN, 2):
        time.sleep(3.5)
        with pytest.raises(TakenError):
            holding(open_storage(url), RUN, 2).__enter__()


def test_the_lease_of_a_killed_process_of_this_machine_is_free_at_once(storage, url):
    code = (
        "import os, signal\n"
        "from hpo_bench.storage.leases import holding\n"
        "from hpo_bench.storage.opening import open_storage\n"
        f"with holding(open_storage({url!r}), {RUN!r}, 600):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    while process.poll() is None and RUN not in leases(storage):
        time.sleep(0.05)
    process.wait(timeout=60)
    lease = leases(storage)[RUN]
    assert lease.owner.pid == process.pid
    assert lease.is_free
    with holding(open_storage(url), RUN, 600):
        assert leases(storage)[RUN].token == 2


def test_of_many_that_ask_at_once_in_an_empty_database_one_gets_it(storage, url):
    start, held, refused = threading.Barrier(8), [], []
    end = threading.Barrier(8)

    def ask():
        mine = open_storage(url)
        start.wait()
        try:
            with holding(mine, RUN, 60):
                held.append(leases(mine)[RUN].token)
                end.wait()
        except TakenError:
            refused.append(True)
            end.wait()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held == [1]
    assert len(refused) == 7


@pytest.mark.parametrize(
    "write",
    [
        lambda study: study.set_user_attr("late", 1),
        lambda study: study.ask(),
        lambda study: study.tell(0, 1.0),
        lambda study: study.enqueue_trial({"x": 1}),
    ],
)
def test_who_has_lost_the_lease_writes_nothing(storage, url, study, write):
    study.ask()
    with holding(storage, RUN, 60):
        study.set_user_attr("in time", 1)
        give_away = open_storage(url)
        change(give_away, token=7)
        with pytest.raises(LeaseLostError, match="another process has taken this run over"):
            write(study)
        assert len(study.trials) == 1  # to read is harmless
    after = load_study(open_storage(url), RUN)
    assert after.user_attrs == {"in time": 1}
    assert [trial.state.name for trial in after.trials] == ["RUNNING"]
    assert leases(give_away)[RUN].token == 7
    assert leases(give_away)[RUN].owner is not None  # who lost it does not give it back


def test_what_goes_wrong_after_the_lease_is_lost_is_not_the_runs_fault(storage, url, study):
    def work():
        with holding(storage, RUN, 60):
            change(open_storage(url), token=7)
            raise optuna.exceptions.UpdateFinishedTrialError("the other one has finished it")

    with pytest.raises(LeaseLostError, match="another process has taken this run over"):
        work()


def test_what_goes_wrong_while_the_lease_is_held_is_told_as_it_is(storage):
    with pytest.raises(ValueError, match="no good"), holding(storage, RUN, 60):
        raise ValueError("no good")
    assert leases(storage)[RUN].is_free


def test_a_copy_of_the_process_that_holds_the_lease_writes_nothing(url, storage, study):
    original, refused = os.getpid(), False
    try:
        with holding(storage, RUN, 60):
            study.set_user_attr("before", 1)
            if (copy := os.fork()) == 0:
                study.set_user_attr("by the copy", 1)
            assert os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]) == 0
            # The copy has left the block, too, and has given nothing back.
            assert not leases(open_storage(url))[RUN].is_free
            study.set_user_attr("after", 1)
    except LeaseLostError as error:
        refused = f"is a copy of process {original}" in str(error)
    finally:
        if os.getpid() != original:
            os._exit(0 if refused else 1)
    found = load_study(open_storage(url), RUN).user_attrs
    assert found == {"before": 1, "after": 1}
    assert leases(storage)[RUN].is_free


def test_who_is_frozen_within_a_transaction_holds_nobody_up(postgres_url):
    storage, other = open_storage(postgres_url), open_storage(postgres_url)
    with holding(storage, RUN, 2):
        frozen = backend_of(storage).engine.connect()
        frozen.execute(sqlalchemy.text("SELECT * FROM hpo_bench_leases FOR SHARE"))
        started = time.monotonic()
        change(other, token=7)  # what a taking does
        assert time.monotonic() - started < 20
        with pytest.raises(sqlalchemy.exc.SQLAlchemyError):
            frozen.execute(sqlalchemy.text("SELECT 1"))
        with suppress(sqlalchemy.exc.SQLAlchemyError):
            frozen.close()
    assert leases(other)[RUN].token == 7
