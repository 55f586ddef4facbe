"""Compiled code is loaded only if this user compiled it, and compiled only once."""

import os
import shutil
import subprocess
import sys

import pytest

from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives.lenet5 import compiler

SOURCE = b"int answer(void) { return 42; }\n"
FLAGS = ("-O1", "-fPIC", "-shared")


@pytest.fixture(autouse=True)
def kernels(tmp_path, monkeypatch):
    """Every cache directory is the test's own; returns where libraries are kept."""
    monkeypatch.setenv("HPO_BENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.delenv("CC", raising=False)
    return tmp_path / "data" / "kernels"


def load():
    return compiler.load("test", SOURCE, FLAGS, ["answer"])


ANSWER = f"""
import logging
logging.basicConfig()
from hpo_bench.objectives.lenet5 import compiler
print(compiler.load("test", {SOURCE!r}, {FLAGS!r}, ["answer"]).handle.answer())
"""


def start(**environment):
    """Load in a process of its own, as one process opens a library only once."""
    return subprocess.Popen(
        [sys.executable, "-c", ANSWER],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer():
    """Give what the library answers, and what was said."""
    out, err = start().communicate(timeout=120)
    return out.strip(), err


def script(path, text):
    """A compiler of ours, for $CC."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def canary(tmp_path):
    """A library that leaves a file behind when it is loaded."""
    source, library, mark = (tmp_path / name for name in ("evil.c", "evil.so", "loaded"))
    source.write_text(
        "#include <stdio.h>\nint answer(void) { return 13; }\n"
        f'__attribute__((constructor)) void run(void) {{ fclose(fopen("{mark}", "w")); }}\n'
    )
    subprocess.run(["cc", *FLAGS, "-o", library, source], check=True)
    return library, mark


def exchange(new, kept):
    kept.unlink()  # not written over: this process has mapped it
    shutil.copyfile(new, kept)


def plant(canary, folder):
    """Put the canary in the place of what is kept, with a digest that fits it."""
    library, mark = canary
    (kept,) = folder.glob("*.so")
    key = compiler._Recipe("test", SOURCE, FLAGS, next(compiler._compilers([]))).key
    exchange(library, kept)
    kept.with_suffix(".sha256").write_text(compiler._digest(kept, key))
    return mark


def test_the_canary_sings_where_nothing_forbids_it(kernels, canary):
    load()
    mark = plant(canary, kernels)
    assert answer()[0] == "13"
    assert mark.exists()


def test_what_is_compiled_runs_and_tells_what_it_is():
    library = load()
    assert library.handle.answer() == 42
    assert "\n" not in library.identity
    assert os.uname().machine in library.identity
    assert library.why == "the machine's cc"


def test_it_is_kept_where_nobody_else_can_read_or_write(kernels):
    before = os.umask(0)
    try:
        load()
    finally:
        os.umask(before)
    assert kernels.stat().st_mode & 0o777 == 0o700
    for file in kernels.iterdir():
        assert file.stat().st_mode & 0o022 == 0


def test_it_is_not_compiled_a_second_time(kernels):
    load()
    (kept,) = kernels.glob("*.so")
    made = kept.stat()
    load()
    assert kept.stat() == made


def test_another_source_and_other_flags_make_another_library(kernels):
    load()
    compiler.load("test", SOURCE + b"\n", FLAGS)
    compiler.load("test", SOURCE, (*FLAGS, "-O2"))
    assert len(list(kernels.glob("*.so"))) == 3


def test_a_library_that_was_exchanged_is_not_loaded(kernels, canary):
    load()
    library, mark = canary
    (kept,) = kernels.glob("*.so")
    exchange(library, kept)
    found, said = answer()
    assert found == "42"
    assert not mark.exists()
    assert "is not what was compiled" in said


def test_the_digest_of_another_library_does_not_do(kernels, canary):
    library, mark = canary
    compiler.load("test", (library.parent / "evil.c").read_bytes(), ("-O0", *FLAGS))
    mark.unlink()
    (other,) = kernels.glob("*.so")
    load()
    (kept,) = set(kernels.glob("*.so")) - {other}
    for ending in (".so", ".sha256"):
        exchange(other.with_suffix(ending), kept.with_suffix(ending))
    assert answer()[0] == "42"
    assert not mark.exists()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_folder_that_others_can_write_is_not_used(kernels, canary, tmp_path, mode):
    load()
    mark = plant(canary, kernels)
    kernels.chmod(mode)
    found, said = answer()
    assert found == "42"
    assert not mark.exists()
    assert "can be written by other users" in said
    assert list((tmp_path / "user" / "hpo-bench" / "kernels").glob("*.so"))


def test_a_file_that_others_can_write_is_not_used(kernels, canary):
    load()
    mark = plant(canary, kernels)
    next(kernels.glob("*.so")).chmod(0o666)
    assert answer()[0] == "42"
    assert not mark.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_a_folder_of_another_user_is_not_used(kernels, canary):
    load()
    mark = plant(canary, kernels)
    os.chown(kernels, 12345, 12345)
    assert answer()[0] == "42"
    assert not mark.exists()


def test_a_link_to_another_folder_is_not_followed(kernels, canary, tmp_path):
    load()
    mark = plant(canary, kernels)
    kernels.rename(tmp_path / "theirs")
    kernels.symlink_to(tmp_path / "theirs")
    assert answer()[0] == "42"
    assert not mark.exists()


def test_it_is_compiled_in_a_temporary_directory_where_nothing_else_can_be_trusted(
    kernels, tmp_path
):
    for folder in (kernels, tmp_path / "user" / "hpo-bench" / "kernels"):
        folder.mkdir(parents=True)
        folder.chmod(0o777)
    assert load().handle.answer() == 42
    assert not list(kernels.iterdir())


def test_a_compiler_that_is_named_comes_first(tmp_path, monkeypatch):
    named = script(tmp_path / "my cc", 'exec cc "$@"')
    monkeypatch.setenv("CC", f"'{named}' -DNDEBUG")
    assert load().why.startswith("$CC (")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[ $1 = --version ] || { echo out of order >&2; exit 1; }", "out of order"),
        ("[ $1 = --version ] || echo no library > made.so", "cannot be loaded"),
        ("[ $1 = --version ] || : > made.so", "cannot be loaded"),
        ("[ $1 = --version ] || exit 0", "cannot compile this"),
        ("exit 3", "exit status 3"),
        ('[ $1 = --version ] || exec cc -Danswer=another "$@"', "has no function answer"),
    ],
)
def test_a_compiler_that_does_not_work_is_told_and_the_next_one_taken(
    tmp_path, monkeypatch, caplog, text, reason
):
    monkeypatch.setenv("CC", script(tmp_path / "broken", text))
    library = load()
    assert library.handle.answer() == 42
    assert library.why.startswith("the machine's cc; $CC (")
    assert reason in caplog.text
    assert "broken" in caplog.text


def test_a_compiler_that_is_named_but_missing_is_told(monkeypatch, caplog):
    monkeypatch.setenv("CC", "no-such-compiler")
    assert load().handle.answer() == 42
    assert "no-such-compiler" in caplog.text


def test_without_any_compiler_every_reason_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "ziglang", None)
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(HpoBenchError) as told:
        load()
    for reason in ("no-such-compiler", "the machine's cc: not found", "ziglang: not installed"):
        assert reason in str(told.value)


def test_a_machine_without_a_compiler_has_the_one_from_pypi(monkeypatch, tmp_path, kernels):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "ziglang").mkdir()
    monkeypatch.chdir(tmp_path)  # where a folder of that name is no package
    library = compiler.load("test", SOURCE, (*FLAGS, "-march=native"), ("answer",))
    assert library.handle.answer() == 42
    assert "ziglang" in library.identity
    assert library.why.startswith("the package ziglang")
    # Nor is anything left of the compiler's own cache.
    assert {file.suffix for file in kernels.iterdir()} <= {".so", ".sha256", ".lock"}


def test_many_processes_at_once_compile_once(tmp_path, kernels):
    log = tmp_path / "log"
    slow = script(
        tmp_path / "slow", f'[ $1 = --version ] || {{ echo . >> {log}; sleep 1; }}; exec cc "$@"'
    )
    for process in [start(CC=slow) for _ in range(8)]:
        assert process.communicate(timeout=120) == ("42\n", "")
    assert log.read_text() == ".\n"
    assert len(list(kernels.glob("*.so"))) == 1
