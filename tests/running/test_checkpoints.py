import errno
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from hpo_bench.errors import HpoBenchError
from hpo_bench.running import checkpoints as checkpoints_module
from hpo_bench.running.checkpoints import Checkpoints, Progress, default_directory
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run

ID = 32 * "0"


@pytest.fixture
def checkpoints(tmp_path):
    made = Checkpoints(tmp_path, "suite/method/seed-00", ID)
    made.prepare()
    return made


def test_what_is_saved_is_read_back(checkpoints):
    state = b"\x00binary\nwith lines\n" * 3
    checkpoints.save(7, Progress([0.1, 0.2], 3.5), state)
    assert checkpoints.load(7) == (Progress([0.1, 0.2], 3.5), state)
    assert checkpoints.load(8) is None


def test_the_latest_one_replaces_the_one_before(checkpoints):
    checkpoints.save(1, Progress([0.1], 1.0), b"old")
    checkpoints.save(1, Progress([0.1, 0.2], 2.0), b"new")
    assert checkpoints.load(1) == (Progress([0.1, 0.2], 2.0), b"new")
    assert [path.name for path in checkpoints.directory.iterdir()] == ["trial-00001.checkpoint"]


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b"{}\n" + b])
def test_a_damaged_one_is_an_error_that_names_the_file(checkpoints, damage):
    checkpoints.save(1, Progress([0.1], 1.0), b"state")
    path = checkpoints.directory / "trial-00001.checkpoint"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(HpoBenchError, match=r"trial-00001\.checkpoint is damaged"):
        checkpoints.load(1)


def test_those_of_finished_trials_are_removed(checkpoints):
    for number in range(4):
        checkpoints.save(number, Progress([], 0.0), b"")
    checkpoints.keep_only({2})
    assert checkpoints.load(2) is not None
    assert all(checkpoints.load(number) is None for number in (0, 1, 3))
    assert not checkpoints.is_empty()
    checkpoints.keep_only(set())
    assert checkpoints.is_empty()


def test_a_directory_that_cannot_be_made_is_told_with_a_way_out(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HpoBenchError, match="--checkpoint-dir"):
        Checkpoints(tmp_path / "file", "suite/method/seed-00", ID).prepare()


def test_room_is_waited_for_as_long_as_the_suite_says(toy_suite, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(checkpoints_module, "replace_file", full)
    suite = toy_suite(storage_patience=0.05, methods={"bohb": {}})
    with pytest.raises(HpoBenchError, match=r"no room for a checkpoint, for 0\.05 s now"):
        execute(Run(suite, "bohb", 0, tmp_path))


def test_runs_of_the_same_name_do_not_meet(tmp_path):
    one, other = (Checkpoints(tmp_path, "suite/method/seed-00", 32 * name) for name in "ab")
    one.prepare()
    other.prepare()
    one.save(0, Progress([0.1], 1.0), b"state")
    assert other.load(0) is None


def test_removing_the_last_ones_leaves_no_empty_directories(tmp_path):
    names = ("suite/a/seed-00", "suite/b/seed-00")
    one, other = (Checkpoints(tmp_path / "c", name, ID) for name in names)
    one.prepare()
    other.prepare()
    one.remove()
    assert [path.name for path in (tmp_path / "c" / "suite").iterdir()] == ["b"]
    other.remove()
    # That one may be the user's, and whoever begins a run needs it.
    assert list((tmp_path / "c").iterdir()) == []


def test_runs_that_end_do_not_hinder_runs_that_begin(tmp_path):
    """Their directories have parents in common, which are removed when they are empty."""

    def come_and_go(run):
        for number in range(200):
            made = Checkpoints(tmp_path / "c", "suite/random/seed-00", f"{run:016x}{number:016x}")
            made.prepare()
            assert made.directory.is_dir()
            made.remove()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(come_and_go, range(4)))
    finally:
        sys.setswitchinterval(before)
    assert list((tmp_path / "c").iterdir()) == []


def test_they_stand_beside_the_database():
    assert str(default_directory("sqlite:///a/b.db")) == "a/b.db.checkpoints"
    assert str(default_directory("postgresql://u@h/d")) == "hpo-bench.checkpoints"
