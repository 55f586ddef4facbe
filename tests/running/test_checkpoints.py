import errno
import os
import shutil
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


def test_the_folders_of_finished_trials_are_removed_and_no_link_is_followed(checkpoints, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    for folder in (elsewhere, *map(checkpoints.folder, (1, 2, 3))):
        folder.mkdir()
        (folder / "state").write_text("kept")
    (checkpoints.folder(1) / "link").symlink_to(elsewhere)
    checkpoints.keep_only({2, 3})
    checkpoints.remove_folder(3)
    assert [path.name for path in checkpoints.directory.iterdir()] == ["trial-00002.files"]
    (checkpoints.directory / "trial-00004.files").symlink_to(elsewhere)
    with pytest.raises(HpoBenchError, match=r"symbolic link .*trial-00004\.files"):
        checkpoints.folder(4)
    checkpoints.remove()
    assert [path.name for path in checkpoints.directory.iterdir()] == ["trial-00004.files"]
    assert (elsewhere / "state").exists()


def test_a_checkpoint_that_another_process_writes_is_not_taken_for_a_leftover(
    checkpoints, monkeypatch
):
    def tidy_meanwhile(_):
        checkpoints.keep_only({2})

    monkeypatch.setattr(os, "fsync", tidy_meanwhile)
    checkpoints.save(2, Progress([0.2], 2.0), b"state")
    assert checkpoints.load(2) == (Progress([0.2], 2.0), b"state")


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


@pytest.mark.parametrize(
    "run_id",
    [
        "",
        "..",
        "../../..",
        "/home",
        "a/b",
        "A" * 32,
        "0" * 31,
        f"{ID}\n",
        f"{ID}/..",
        None,
        7,
        [ID],
    ],
)
def test_an_identity_of_another_form_is_refused(tmp_path, run_id):
    with pytest.raises(
        HpoBenchError, match=r"study 'suite/method/seed-00': its attribute 'run_id'"
    ):
        Checkpoints(tmp_path, "suite/method/seed-00", run_id)


@pytest.fixture(params=range(4))
def linked(request, tmp_path):
    """Checkpoints, some directory of which is a link to somebody else's; give those, too."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    made = Checkpoints(tmp_path / "c", "suite/method/seed-00", ID)
    link = [made.directory, *made.directory.parents][request.param]
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(theirs)
    within = theirs / made.directory.relative_to(link)
    within.mkdir(parents=True, exist_ok=True)
    for name in ("trial-00001.checkpoint", "thesis.tex"):
        (within / name).write_text("theirs")
    return made, within


def test_no_symbolic_link_is_followed(linked):
    made, theirs = linked
    with pytest.raises(HpoBenchError, match="symbolic link"):
        made.prepare()
    with pytest.raises(HpoBenchError, match="symbolic link"):
        made.save(2, Progress([], 0.0), b"")
    assert made.load(1) is None
    made.keep_only(set())
    made.remove()
    assert {path.read_text() for path in theirs.iterdir()} == {"theirs"}
    assert len(list(theirs.iterdir())) == 2


def test_what_stands_above_them_may_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "c").symlink_to(tmp_path / "disk")
    made = Checkpoints(tmp_path / "c", "suite/method/seed-00", ID)
    made.prepare()
    made.save(1, Progress([0.1], 1.0), b"state")
    assert made.load(1) == (Progress([0.1], 1.0), b"state")
    made.remove()
    assert list((tmp_path / "disk").iterdir()) == []


def test_only_what_is_ours_is_read_and_removed(checkpoints, tmp_path):
    theirs = tmp_path / "secret"
    theirs.write_text("{}")
    os.mkfifo(checkpoints.directory / "trial-00003.checkpoint")
    (checkpoints.directory / "trial-00001.checkpoint").symlink_to(theirs)
    (checkpoints.directory / "trial-00002.checkpoint").mkdir()
    for name in ("notes.txt", "trial-1.checkpoint", "trial-00001.checkpoint~"):
        (checkpoints.directory / name).write_text("theirs")
    (checkpoints.directory / f"trial-00004.{ID}").write_text("left by kill -9")
    for number in (1, 2, 3):
        assert checkpoints.load(number) is None
    checkpoints.remove()
    assert theirs.exists()
    assert sorted(path.name for path in checkpoints.directory.iterdir()) == [
        "notes.txt",
        "trial-00001.checkpoint",
        "trial-00001.checkpoint~",
        "trial-00002.checkpoint",
        "trial-00003.checkpoint",
        "trial-1.checkpoint",
    ]


def test_a_directory_that_is_deleted_in_the_middle_is_made_again(checkpoints):
    checkpoints.save(1, Progress([0.1], 1.0), b"state")
    shutil.rmtree(checkpoints.directory.parents[2])
    assert checkpoints.load(1) is None
    checkpoints.keep_only({1})
    checkpoints.save(2, Progress([0.2], 2.0), b"state")
    assert checkpoints.load(2) == (Progress([0.2], 2.0), b"state")


def test_what_was_left_when_a_run_had_ended_is_removed_by_the_next_command(
    toy_suite, tmp_path, monkeypatch
):
    def die(_):
        raise KeyboardInterrupt

    run = Run(toy_suite(methods={"bohb": {}}), "bohb", 0, tmp_path / "c")
    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "remove", die)
        with pytest.raises(KeyboardInterrupt):
            execute(run)
    assert list((tmp_path / "c").rglob("*"))
    assert execute(run).finished
    assert list((tmp_path / "c").iterdir()) == []
    (tmp_path / "c" / "toy").mkdir()  # it had come so far with the removal
    assert execute(run).finished
    assert list((tmp_path / "c").iterdir()) == []


def test_they_stand_beside_the_database():
    assert str(default_directory("sqlite:///a/b.db")) == "a/b.db.checkpoints"
    assert str(default_directory("postgresql://u@h/d")) == "hpo-bench.checkpoints"
