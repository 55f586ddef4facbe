"""A storage that fails and comes back: every call is made again, and nothing is written twice."""

import errno
import random
import threading
import time
from contextlib import closing

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState
from several import METHODS, told
from sqlalchemy import exc
from sqlalchemy.engine.default import DefaultDialect

from hpo_bench.errors import HpoBenchError, InputError
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run
from hpo_bench.storage import outages
from hpo_bench.storage.leases import holding
from hpo_bench.storage.opening import backend_of, hold, open_existing, open_storage, write_out
from hpo_bench.storage.studies import reopen, unfinished


@pytest.fixture
def lossy(monkeypatch):
    """Let commits fail: before they are done, or after it, when only the answer is lost."""
    monkeypatch.setattr(outages, "_FIRST_PAUSE", 0.001)
    commit = DefaultDialect.do_commit

    def start(when, fails=lambda: True):
        def do_commit(dialect, connection):
            lost = fails() and when()
            if lost != "before":
                commit(dialect, connection)
            if lost:
                error = dialect.dbapi.OperationalError("the answer is lost")
                error.sqlite_errorname = "SQLITE_IOERR"
                raise error

        monkeypatch.setattr(DefaultDialect, "do_commit", do_commit)

    return start


def once(when):
    """Fail a single time."""
    left = [when]
    return lambda: left.pop() if left else None


def running(study):
    return reopen(study, unfinished(study)[0])


WRITES = {
    "create a study": lambda study: optuna.create_study(
        storage=study._storage, study_name=f"{study.study_name}, new"
    ),
    "create a trial": lambda study: study.ask(),
    "create one from a template": lambda study: study.add_trial(
        optuna.create_trial(value=1.0, params={}, user_attrs={"a": 1})
    ),
    "suggest": lambda study: running(study).suggest_float("x", 0, 1),
    "report": lambda study: running(study).report(0.5, 1),
    "set an attribute": lambda study: running(study).set_user_attr("a", 1),
    "set a study's attribute": lambda study: study.set_user_attr("a", 1),
    "complete": lambda study: study.tell(0, 0.5),
    "fail": lambda study: study.tell(0, state=TrialState.FAIL),
}


def held(storage, name):
    """What a storage holds of a study; of drawn parameters, that they are there."""
    study = optuna.load_study(study_name=name, storage=storage)
    trials = [
        (t.number, t.state, t.values, set(t.params), t.intermediate_values, t.user_attrs)
        for t in study.trials
    ]
    return study.user_attrs, trials


@pytest.mark.parametrize("is_held", [False, True])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_write_whose_answer_is_lost_is_done_once(any_url, lossy, when, is_held):
    storage = open_storage(any_url)
    for write, do in WRITES.items():
        for name, losses in ((write, lambda: None), (f"{write}, lost", once(when))):
            study = optuna.create_study(storage=storage, study_name=name)
            study.ask()
            if is_held:
                hold(storage, study._study_id)
            lossy(losses)
            do(study)
            write_out(storage)
            lossy(lambda: None)
        assert held(storage, f"{write}, lost") == held(storage, write), write


@pytest.mark.parametrize("method", ["random", "pso", "bohb", "asha"])
def test_a_run_through_many_losses_is_the_undisturbed_one(toy_suite, tmp_path, lossy, method):
    found = []
    for place in ("a", "b"):
        suite = toy_suite(methods=METHODS, storage=f"sqlite:///{tmp_path / place}.db")
        run = Run(suite, method, 0, tmp_path / place)
        chance = random.Random(7)
        lossy(
            lambda chance=chance: chance.choice(["before", "after"]),
            fails=lambda chance=chance, place=place: place == "b" and chance.random() < 0.2,
        )
        execute(run)
        lossy(lambda: None)
        found.append(told(run))
    assert found[0] == found[1]


def test_it_is_said_once_and_costs_the_run_no_time(any_url, lossy, caplog):
    storage = open_storage(any_url)
    study = optuna.create_study(storage=storage, study_name="s")
    left = iter(range(4))
    lossy(lambda: "before", fails=lambda: next(left, None) is not None)
    before = storage.seconds
    study.set_user_attr("a", 1)
    said = [r.getMessage() for r in caplog.records if r.name == "hpo_bench.storage.outages"]
    assert len(said) == 2
    assert "the answer is lost" in said[0]
    assert "waiting up to 300 s" in said[0]
    assert "going on" in said[1]
    assert storage.patience.waited > 0
    assert storage.seconds - before < storage.patience.waited + 1


def test_the_call_that_fails_belongs_to_the_outage():
    patience = outages.Patience("somewhere", 5.0)
    fails = iter([True])

    def call():
        if next(fails, False):
            time.sleep(0.5)  # as for a lock
            raise OSError(errno.ENOSPC, "full")

    patience.call(call)
    assert patience.waited > 0.5


def test_patience_ends_with_what_to_do(any_url, lossy):
    study = optuna.create_study(storage=open_storage(any_url, patience=0.05), study_name="s")
    lossy(lambda: "before")
    with pytest.raises(
        HpoBenchError, match=r"does not answer, for 0\.05 s now.*the same command goes on"
    ):
        study.set_user_attr("a", 1)
    lossy(lambda: None)
    study.set_user_attr("a", 2)
    assert study.user_attrs == {"a": 2}


def test_what_is_no_outage_is_not_waited_for(any_url, caplog):
    storage = open_storage(any_url)
    study = optuna.create_study(storage=storage, study_name="s")
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        optuna.create_study(storage=storage, study_name="s")
    study.tell(study.ask(), 1.0)
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        storage.set_trial_state_values(1, TrialState.COMPLETE, [1.0])
    with pytest.raises(KeyError):
        optuna.load_study(study_name="another", storage=storage)
    assert not [record for record in caplog.records if record.name == "hpo_bench.storage.outages"]


def test_cut_connections_are_made_again(postgres, postgres_url):
    storage = open_storage(postgres_url)
    study = optuna.create_study(storage=storage, study_name="s")
    for number in range(3):
        trial = study.ask()
        assert postgres.cut_connections(postgres_url) > 0
        study.tell(trial, number)
    assert [t.value for t in study.trials] == [0, 1, 2]


@pytest.mark.parametrize("statement", ["UPDATE trials", "WHERE trial_values.trial_id IN"])
def test_a_connection_may_be_cut_in_the_middle_of_a_transaction(postgres, postgres_url, statement):
    storage = open_storage(postgres_url)
    study = optuna.create_study(storage=storage, study_name="s")
    cuts = iter([None])

    @sqlalchemy.event.listens_for(backend_of(storage).engine, "before_cursor_execute")
    def cut(connection, cursor, text, *_):
        if statement in text and next(cuts, "done") is None:
            assert postgres.cut_connections(postgres_url) > 0

    with holding(storage, "s", 60):
        trial = study.ask()
        assert len(study.trials) == len(study.trials) == 1
        study.tell(trial, 1.0)
    assert next(cuts, "done") == "done"
    assert [(t.number, t.value) for t in study.trials] == [(0, 1.0)]


def set_for_new_connections(postgres, url, **settings):
    """Change settings of a database: connections that are open keep theirs."""
    name = url.rpartition("/")[2]
    with closing(postgres.connect()) as connection:
        for setting, value in settings.items():
            connection.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'")


def test_a_server_that_only_reads_is_waited_for_until_it_writes(postgres, postgres_url, caplog):
    study = optuna.create_study(storage=open_storage(postgres_url), study_name="s")
    set_for_new_connections(postgres, postgres_url, default_transaction_read_only="on")
    postgres.cut_connections(postgres_url)
    writes = {"default_transaction_read_only": "off"}
    back = threading.Timer(1.0, set_for_new_connections, [postgres, postgres_url], writes)
    back.start()
    try:
        study.tell(study.ask(), 1.0)
    finally:
        back.join()
    assert "read-only transaction" in caplog.text
    assert [t.value for t in study.trials] == [1.0]


def test_a_statement_that_times_out_behind_a_lock_is_made_again(postgres, postgres_url, caplog):
    study = optuna.create_study(storage=open_storage(postgres_url), study_name="s")
    trial = study.ask()
    set_for_new_connections(postgres, postgres_url, statement_timeout="200ms")
    postgres.cut_connections(postgres_url)
    with closing(postgres.connect(postgres_url.rpartition("/")[2])) as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE trial_user_attributes IN ACCESS EXCLUSIVE MODE")
        gone = threading.Timer(1.0, other.execute, ["ROLLBACK"])
        gone.start()
        try:
            trial.set_user_attr("a", 1)
        finally:
            gone.join()
    assert "statement timeout" in caplog.text
    assert study.trials[0].user_attrs == {"a": 1}


@pytest.mark.parametrize("setting", ["idle_in_transaction_session_timeout", "transaction_timeout"])
def test_a_transaction_that_the_server_ends_is_made_again(postgres, postgres_url, caplog, setting):
    storage = open_storage(postgres_url)
    study = optuna.create_study(storage=storage, study_name="s")
    trial = study.ask()
    set_for_new_connections(postgres, postgres_url, **{setting: "500ms"})
    postgres.cut_connections(postgres_url)
    pauses = iter([1.5])

    @sqlalchemy.event.listens_for(backend_of(storage).engine, "before_cursor_execute")
    def pause(connection, cursor, text, *_):
        if "UPDATE trials" in text:
            time.sleep(next(pauses, 0.0))

    study.tell(trial, 1.0)
    assert "until that was over: going on" in caplog.text
    assert [t.value for t in study.trials] == [1.0]


@pytest.mark.parametrize("kind", [exc.InternalError, exc.OperationalError, exc.DatabaseError])
@pytest.mark.parametrize(
    ("code", "passes"),
    [("25006", True), ("57014", True), ("25P03", True), ("25P04", True), ("42P01", False)],
)
def test_the_code_decides_whatever_class_the_driver_makes_of_it(kind, code, passes):
    theirs = Exception("said by the server")
    theirs.sqlstate = code
    told = outages.outage(kind("SELECT 1", {}, theirs))
    assert told == ("said by the server" if passes else None)


@pytest.mark.parametrize("stop", ["stop", "crash", "freeze"])
def test_a_server_that_is_away_is_waited_for(postgres, postgres_url, stop):
    study = optuna.create_study(storage=open_storage(postgres_url), study_name="s")
    getattr(postgres, stop)()
    back = threading.Timer(1.0, postgres.thaw if stop == "freeze" else postgres.start)
    back.start()
    try:
        began = time.monotonic()
        study.tell(study.ask(), 1.0)
        assert time.monotonic() - began > 0.5
    finally:
        back.join()
    assert [t.value for t in study.trials] == [1.0]


def test_one_that_is_away_at_the_start_is_told_or_waited_for(postgres, postgres_url):
    optuna.create_study(storage=open_storage(postgres_url), study_name="s")
    postgres.stop()
    with pytest.raises(InputError, match="refused"):
        open_existing(postgres_url)
    back = threading.Timer(0.5, postgres.start)
    back.start()
    try:
        assert len(open_existing(postgres_url, wait=True).get_all_studies()) == 1
    finally:
        back.join()


def test_a_call_that_has_no_answer_at_all_is_told_once(caplog):
    patience = outages.Patience("somewhere", 5.0)

    def hang():
        time.sleep(0.02)
        for _ in range(2):
            patience.complain(silence=0.01)

    patience.call(hang)
    assert caplog.messages == [
        "the storage does not answer, with its connection open, for 0.01 s now: waiting until it "
        "does (somewhere)"
    ]
    patience.complain(silence=0.0)  # of a call that is over there is nothing to say
    assert len(caplog.messages) == 1
