"""Whatever others have written, a terminal shows it and obeys none of it."""

import io
import subprocess
import sys

import pytest
from rich.table import Table

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
from hpo_bench.terminal import log_plainly
log_plainly()
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
