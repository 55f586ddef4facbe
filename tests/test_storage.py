import sqlite3
from contextlib import closing

import optuna
import pytest

from hpo_bench.errors import HpoBenchError, InputError
from hpo_bench.storage import (
    iterate_studies,
    open_existing,
    open_storage,
    recorded,
    reopen,
    shown,
    study_names,
    unfinished,
)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'a.db'}"


def test_it_is_a_full_optuna_storage_that_counts_its_seconds(any_url):
    storage = open_storage(any_url)
    study = optuna.create_study(storage=storage, study_name="s/m/seed-00")
    before = storage.seconds
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert storage.seconds > before
    assert len(optuna.load_study(study_name="s/m/seed-00", storage=any_url).trials) == 3


def test_sqlite_writes_ahead_so_that_readers_never_wait(url, tmp_path):
    storage = open_storage(url)
    optuna.create_study(storage=storage)
    assert (tmp_path / "a.db-wal").exists()


def test_a_trial_left_running_is_taken_up_with_what_it_had(any_url):
    study = optuna.create_study(storage=open_storage(any_url), study_name="s")
    x = study.ask().suggest_float("x", 0, 1)
    again = optuna.load_study(study_name="s", storage=open_storage(any_url))
    (frozen,) = unfinished(again)
    trial = reopen(again, frozen)
    assert trial.suggest_float("x", 0, 1) == x
    trial.set_user_attr("a", 1)
    assert recorded(trial).user_attrs == {"a": 1}
    again.tell(trial, 0.5)
    assert unfinished(again) == []


def test_studies_of_a_suite_are_found_by_its_name(any_url):
    storage = open_storage(any_url)
    for name in ("a/m/seed-01", "a/m/seed-00", "ab/m/seed-00", "a/b", "foreign"):
        optuna.create_study(storage=storage, study_name=name)
    assert study_names(storage, "a") == ["a/m/seed-00", "a/m/seed-01"]
    with pytest.raises(HpoBenchError, match=r"no runs of suite 'c'.*holds a, ab"):
        list(iterate_studies(storage, "c"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "expected a URL"),
        ("sqlite:////nowhere/at/all.db", "its directory does not exist or cannot be written"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/db", "refused"),
        ("nosuch://x/y", "nosuch"),
        ("me:secret@host/db", "expected a URL"),
        ("postgresql://me:secret@host:port/db", "expected a URL"),
        ("sqlite://", "workers cannot share a database in memory"),
        ("sqlite:///:memory:", "workers cannot share a database in memory"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_told_without_its_password(url, message):
    with pytest.raises(InputError) as caught:
        open_storage(url)
    assert "storage" in str(caught.value)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_url_is_shown_without_its_password():
    url = shown("postgresql+psycopg://me:secret@host/db")
    assert url == "postgresql+psycopg://me:***@host/db"


def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "a.db").write_text("not a database " * 100)
    with pytest.raises(InputError, match="file is not a database"):
        open_storage(f"sqlite:///{tmp_path / 'a.db'}")


def test_reading_never_touches_a_database_that_is_not_ours(url, tmp_path):
    with closing(sqlite3.connect(tmp_path / "a.db")) as foreign:
        foreign.execute("CREATE TABLE t (x)")
    before = (tmp_path / "a.db").read_bytes()
    with pytest.raises(InputError, match="holds no studies"):
        open_existing(url)
    assert (tmp_path / "a.db").read_bytes() == before


def test_reading_never_creates_a_database(url, tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        open_existing(url)
    assert list(tmp_path.iterdir()) == []
