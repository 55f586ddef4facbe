"""Whoever wrote a storage: reading it runs nothing, loses nothing, and shows what is sound."""

import io
import json
import os
import sys
import unicodedata
from contextlib import redirect_stderr, redirect_stdout

import pytest
from hostile import CANARY, SUITES, Watch, cells, change, hostile, make_storage, put
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from hpo_bench.cli import main

LONG = bool(os.environ.get("HPO_BENCH_LONG"))

fuzzed = settings(
    max_examples=10_000 if LONG else 200,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # A case takes tens of milliseconds, and names its row and value: nothing is made smaller.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)

URL = "sqlite:///changed.db"
CHEAP = (
    "results {} --format csv",
    "results {} --format markdown",
    "report {} --output made.md",
    "report {} --output made.tex",
    "report {} --output made.csv",
    "report {} --output made.json",
    "report {} --output made.parquet",
    "compare {0} sqlite:///sound.db#{0}",
    "compare {0} {0} --format json",
    "status {}.toml",
)
DEAR = (
    "report {} --output made.html",
    "report first second --output both.html",
    "report {} --output made.md --figures figures --figure-format svg",
    "dashboard --notes",
    "doctor",
)
BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def call(command):
    """Run a command as a shell does; give its status and all that it printed."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(out):
        patch.setattr(sys, "argv", ["hpo-bench", *command.split(), "--storage", URL])
        patch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            main()
    told = out.getvalue()
    assert "Traceback" not in told, told
    assert not [c for c in told.replace("\r\n", "\n") if does_something(c)], ascii(told)
    return ended.value.code or 0, told


def does_something(character):
    """Whether it would do something to a terminal."""
    is_control = unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t"
    return is_control or unicodedata.bidirectional(character) in BIDI


def runs_shown(name):
    """What is said of each run of a suite, by its study; and the status."""
    status, told = call(f"results {name} --format json")
    if status == 2:
        return {}, status
    found = json.loads(told[told.index("{\n") :])
    assert status == bool(found["left_out"])
    keys = ("validation", "test", "incumbent", "evaluations", "epochs", "finished")
    return {
        f"{name}/{run['method']}/seed-{run['seed']:02d}": {key: run[key] for key in keys}
        for run in found["runs"]
    }, status


class Place:
    """A folder with a sound storage and a copy of it that is changed, and who watches it."""

    def __init__(self, folder):
        self.sound, self.changed = make_storage(folder), folder / "changed.db"
        (folder / f"{CANARY}.py").write_text("def sing(**_): pass\n")
        self.cells = cells(self.sound)
        self.columns = sorted({(cell.table, cell.column) for cell in self.cells})
        self.reset()
        self.runs = {name: runs_shown(name)[0] for name in SUITES}
        self.warm: set[str] = set()
        self.watch = Watch(folder)

    def reset(self):
        """Make it sound again."""
        put(self.sound, self.changed)

    def warm_up(self, command):
        """Let a command load what is loaded once, fonts for example, from a sound storage."""
        if command not in self.warm:
            self.warm.add(command)
            self.reset()
            for name in SUITES:
                status, told = call(command.format(name))
                assert status in (0, 3) or command == "doctor", told


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.setattr("optuna_dashboard.run_server", lambda *args, **kwargs: None)
        patch.chdir(folder)
        yield Place(folder)


@fuzzed
@given(data=st.data())
def test_a_changed_row_does_nothing_and_hides_nothing(place, data):
    table, column = data.draw(st.sampled_from(place.columns))
    cell = data.draw(
        st.sampled_from([c for c in place.cells if (c.table, c.column) == (table, column)])
    )
    value = data.draw(hostile(cell))
    dear = DEAR if LONG or data.draw(st.integers(0, 39)) == 0 else ()
    command = data.draw(st.sampled_from([*CHEAP, *dear]))
    look_at(place, cell, value, command)


def test_an_attribute_without_a_key_hides_no_note(place):
    """Found among ten thousand: the dashboard reads the key of every attribute of a study."""
    column = ("study_system_attributes", "key")
    cell = next(c for c in place.cells if (c.table, c.column) == column)
    look_at(place, cell, None, "dashboard --notes")


def look_at(place, cell, value, command):
    """Change a place, and read what is there."""
    place.warm_up(command)
    place.reset()
    concerned = change(place.changed, cell, value)
    assume(concerned is not None)
    names = {str(study).partition("/")[0] for study in concerned} & SUITES.keys() or {"first"}
    with place.watch as watch:
        for name in sorted(names):
            assert call(command.format(name))[0] in (0, 1, 2, 3)
            found, status = runs_shown(name)
            sound = {n: run for n, run in place.runs[name].items() if n not in concerned}
            if not cell.of_all and sound:
                assert status in (0, 1)
                assert {study: found.get(study) for study in sound} == sound
    assert watch.seen == [], watch.seen
    assert CANARY not in sys.modules
