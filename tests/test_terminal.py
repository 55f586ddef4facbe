"""Whatever others have written, a terminal shows it and obeys none of it."""

import importlib
import io
import subprocess
import sys
import time

import pytest
from rich.table import Table

from hpo_bench import terminal
from hpo_bench.terminal import PlainConsole

FOREIGN = "[/b] [link=http://x]y[/link] :smile: \x1b]0;title\x07 \u202ecod"
SHOWN = r"[/b] [link=http://x]y[/link] :smile: \x1b]0;title\x07 \u202ecod"


@pytest.fixture
def console(monkeypatch):
    """A console on a terminal, and what was written there."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    made = PlainConsole()
    made.file = io.StringIO()
    made._force_terminal = True
    return made


def test_messages_show_as_they_stand(console):
    console.print(FOREIGN)
    console.say(FOREIGN)
    assert console.file.getvalue() == f"{SHOWN}\n{SHOWN}\n"


def test_tables_show_as_they_stand(console):
    table = Table(FOREIGN, title=FOREIGN, box=None)
    table.add_row(FOREIGN)
    console.print(table)
    assert console.file.getvalue().count(SHOWN) == 3
    assert "]0;title\x07" not in console.file.getvalue()


def test_warnings_show_as_they_stand_and_without_passwords():
    code = f"""
import logging, warnings, optuna
from hpo_bench.terminal import log_plainly, show_optuna_plainly
log_plainly()
show_optuna_plainly()
logging.getLogger("hpo_bench").warning("%s", {FOREIGN!r})
warnings.warn({FOREIGN!r})
optuna.logging.get_logger("optuna").warning("%s", {FOREIGN!r})
logging.getLogger("sqlalchemy").error("postgresql://me:SECRET@host/b")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count(SHOWN) >= 3
    assert "\x1b" not in done.stderr
    assert "SECRET" not in done.stderr
    assert "postgresql://me:***@host/b" in done.stderr


def test_what_takes_long_is_told_once_and_what_does_not_is_not(monkeypatch, capsys):
    monkeypatch.setattr(terminal, "LOADING_SECONDS", 0.05)
    with terminal.telling("reading the suite"):
        time.sleep(0.5)
    assert capsys.readouterr().err == "reading the suite\n"
    monkeypatch.setattr(terminal, "LOADING_SECONDS", 60)
    with terminal.telling("reading the suite"):
        pass
    assert capsys.readouterr().err == ""


def test_the_library_that_is_being_imported_is_named(monkeypatch, capsys, tmp_path):
    (tmp_path / "torch.py").write_text("import time; time.sleep(1)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(terminal, "LOADING_SECONDS", 0.2)
    with terminal.telling("reading the suite"):
        importlib.import_module("torch")
    sys.modules.pop("torch")  # whatever was there before is put back by monkeypatch
    assert capsys.readouterr().err == "loading PyTorch\n"
