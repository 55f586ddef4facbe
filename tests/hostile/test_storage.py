"""Whoever wrote a storage: reading it runs nothing, loses nothing, and shows what is sound."""

import io
import json
import logging
import os
import sys
import unicodedata
from contextlib import chdir, redirect_stderr, redirect_stdout

import pytest
from hostile import CANARY, NAMES, TABLE, Watch, cells, change, hostile, make_storage, put
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hpo_bench import suite
from hpo_bench.cli import main
from hpo_bench.engines.base import attempt
from hpo_bench.errors import HpoBenchError
from hpo_bench.running.runs import runs_of
from hpo_bench.running.studies import check_unchanged
from hpo_bench.storage.opening import open_storage

LONG = bool(os.environ.get("HPO_BENCH_LONG"))

fuzzed = settings(
    max_examples=10_000 if LONG else 200,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    print_blob=True,
)

URL = "sqlite:///changed.db"
COMMANDS = (
    ["results", "{}", "--storage", URL],
    ["results", "{}", "--storage", URL, "--format", "csv"],
    ["results", "{}", "--storage", URL, "--format", "markdown"],
    ["report", "{}", "--storage", URL, "--output", "made.html"],
    ["report", "{}", "--storage", URL, "--output", "made.md"],
    ["report", "{}", "--storage", URL, "--output", "made.tex"],
    ["report", "{}", "--storage", URL, "--output", "made.csv"],
    ["report", "{}", "--storage", URL, "--output", "made.json"],
    ["report", "{}", "--storage", URL, "--output", "made.parquet"],
    ["report", "first", "second", "--storage", URL, "--output", "both.html"],
    ["compare", "{}", "sqlite:///sound.db#{}", "--storage", URL],
    ["compare", "{}", "{}", "--storage", URL, "--format", "json"],
    ["status", "{}.toml", "--storage", URL],
    ["dashboard", "--notes", "--storage", URL],
    ["doctor", "--storage", URL],
)
DRAWN = ["report", "{}", "--storage", URL, "--output", "made.md", "--figures", "figures"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a sound storage, the files of its suites and a canary on the path."""
    folder = tmp_path_factory.mktemp("hostile")
    make_storage(folder)
    for name in NAMES:
        table = f'objective = {{ name = "hostile:Menu", options = {{ epochs = 2 }} }}\n'
        text = (
            table
            + "seeds = 2\nconfirm = 1\nbudget.evaluations = 4\nmethods = { random = {}, pso = {} }\n"
        )
        (folder / f"{name}.toml").write_text(text)
    (folder / f"{CANARY}.py").write_text("def sing(**_): pass\n")
    return folder


@pytest.fixture(scope="module")
def watch(place):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(place)
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.setattr("optuna_dashboard.run_server", lambda *args, **kwargs: None)
        patch.setattr("hpo_bench.storage.opening.PATIENCE", 0)
        patch.chdir(place)
        put(place / "sound.db", place / "changed.db")
        for command in (*COMMANDS, DRAWN):  # what is loaded once, and cached by others
            for name in NAMES:
                status, told = call([part.format(name, name) for part in command])
                assert status in (0, 1 if command[0] == "doctor" else 3), told
        yield Watch(place)


def call(command):
    """Run a command as a shell does; give its status and all that it printed."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(out):
        patch.setattr(sys, "argv", ["hpo-bench", *command])
        patch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code or 0, out.getvalue()


def shown(place, name):
    """What is said of each run of a suite, as JSON has it; and whether something is left out."""
    status, told = call(["results", name, "--storage", URL, "--format", "json"])
    assert "Traceback" not in told, told
    if status == 2:
        return None, True
    found = json.loads(told[told.index("{") :] if not told.startswith("{") else told)
    assert (status == 1) is bool(found["left_out"])
    keys = ("method", "seed", "validation", "test", "incumbent", "evaluations", "epochs")
    return [{key: run[key] for key in keys} for run in found["runs"]], bool(found["left_out"])


def invisible(text):
    """What in a text would do something to a terminal."""
    return {
        c
        for c in text
        if (unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t")
        or unicodedata.bidirectional(c)
        in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    }


@pytest.fixture(scope="module")
def every(place):
    return cells(place / "sound.db")


@fuzzed
@given(data=st.data())
def test_a_changed_row_does_nothing_and_hides_nothing(place, watch, every, data):
    cell = data.draw(st.sampled_from(every))
    value = data.draw(hostile(cell))
    put(place / "sound.db", place / "changed.db")
    concerned = change(place / "changed.db", cell, value)
    assume(concerned is not None)
    chosen = (
        [*COMMANDS, DRAWN] if LONG else [data.draw(st.sampled_from(COMMANDS)) for _ in range(2)]
    )
    with watch:
        for command in chosen:
            for name in NAMES:
                status, told = call([part.format(name, name) for part in command])
                assert status in (0, 1, 2, 3), told
                assert "Traceback" not in told, told
                assert not invisible(told), told
        found = {name: shown(place, name) for name in NAMES}
    assert watch.seen == []
    assert CANARY not in sys.modules
    if not cell.of_all:
        for name in NAMES:
            sound = [run for run in SOUND(place, name) if study_of(name, run) not in concerned]
            assert all(run in (found[name][0] or []) for run in sound)


def study_of(name, run):
    return f"{name}/{run['method']}/seed-{run['seed']:02d}"


_sound = {}


def SOUND(place, name):
    if name not in _sound:
        changed = (place / "changed.db").read_bytes()
        put(place / "sound.db", place / "changed.db")
        _sound[name] = shown(place, name)[0]
        (place / "changed.db").write_bytes(changed)
    return _sound[name]
