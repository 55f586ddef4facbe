import sqlite3
import subprocess
import sys
from contextlib import closing

import optuna
import pytest

from hpo_bench.errors import HpoBenchError, InputError
from hpo_bench.storage.opening import open_existing, open_storage, shown
from hpo_bench.storage.studies import iterate_studies, recorded, reopen, study_names, unfinished


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
    url = shown("postgresql+psycopg://host/db?user=me&password=secret&sslpassword=secret")
    assert url == "postgresql+psycopg://host/db?password=***&sslpassword=***&user=me"


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


def test_reading_leaves_a_database_of_others_as_it_is(url, tmp_path):
    study = optuna.create_study(storage=url, study_name="s")  # which keeps a rollback journal
    study.tell(study.ask({"x": optuna.distributions.FloatDistribution(0, 1)}), 1.0)
    before = (tmp_path / "a.db").read_bytes()
    read = optuna.load_study(study_name="s", storage=open_existing(url))
    assert [trial.value for trial in read.trials] == [1.0]
    assert (tmp_path / "a.db").read_bytes() == before
    assert not (tmp_path / "a.db-wal").exists()


def test_reading_never_creates_a_database(url, tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        open_existing(url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("mounts", "refused"),
    [
        ("server:/home {root} nfs4 rw 0 0", "nfs4"),
        ("//server/home {root} cifs rw 0 0", "cifs"),
        ("me@server: {root} fuse.sshfs rw 0 0", "fuse.sshfs"),
        ("lustre@tcp:/scratch {parent} lustre rw 0 0", "lustre"),
        ("server:/ {parent} nfs rw 0 0\n/dev/sda1 {root} ext4 rw 0 0", None),
        ("/dev/sda1 {root} ext4 rw 0 0\nserver:/ {root} ceph rw 0 0", "ceph"),
        ("server:/ /elsewhere nfs rw 0 0", None),
        ("server:/ {root}x nfs rw 0 0", None),
    ],
)
def test_sqlite_on_a_network_file_system_is_refused(tmp_path, monkeypatch, mounts, refused):
    root = tmp_path / "a directory"
    root.mkdir()
    listed = tmp_path / "mounts"
    places = {"root": str(root).replace(" ", "\\040"), "parent": str(tmp_path)}
    listed.write_text(f"/dev/vda / ext4 rw 0 0\n{mounts.format(**places)}\n")
    monkeypatch.setattr("hpo_bench.storage.mounts.MOUNTS", listed)
    url = f"sqlite:///{root / 'a.db'}"
    if refused is None:
        open_storage(url)
        return
    with pytest.raises(InputError, match=rf"network file system \({refused}\).*postgresql"):
        open_storage(url)
    assert not (root / "a.db").exists()


def test_processes_that_meet_at_an_empty_database_do_not_disturb_each_other(any_url):
    opening = f"from hpo_bench.storage.opening import open_storage; open_storage({any_url!r})"
    processes = [
        subprocess.Popen([sys.executable, "-c", opening], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert optuna.get_all_study_names(any_url) == []
