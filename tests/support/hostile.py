"""A sound storage of a few runs, one row of which is changed to what a stranger might write."""

import json
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution
from toy import Curve

from hpo_bench import suite
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import runs_of

CANARY = "canary"
"""A module that nothing may import."""


class Menu(Curve):
    """The toy, with a choice of several types."""

    def __init__(self, **options):
        super().__init__(**options)
        self._space["kind"] = CategoricalDistribution((None, True, "a", 1.5))


SUITE = """
name = "{name}"
seeds = {seeds}
confirm = {confirm}
budget.evaluations = 3
methods = {{ random = {{}}, pso = {{}} }}
objective = {{ name = "hostile:Menu", options = {{ epochs = 2 }} }}
"""

SUITES = {"first": {"seeds": 2, "confirm": 1}, "second": {"seeds": 1, "confirm": 0}}


def make_storage(folder: Path) -> Path:
    """Run two suites, and give their database; beside it is a file for each suite."""
    path = folder / "sound.db"
    for name, settings in SUITES.items():
        file = folder / f"{name}.toml"
        file.write_text(SUITE.format(name=name, **settings))
        made = suite.load(str(file), {"storage": f"sqlite:///{path}"})
        for run in runs_of(made, folder / "checkpoints"):
            execute(run)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
    return path


@dataclass(frozen=True)
class Cell:
    """A place in a database."""

    table: str
    row: int
    column: str
    value: object

    @property
    def of_all(self):
        """Whether the tables say there what they are, which all studies share."""
        return self.table in ("alembic_version", "version_info")


def cells(path: Path) -> list[Cell]:
    """Every place of a database that can be changed."""
    found = []
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            for row in connection.execute(f"SELECT rowid AS its_row, * FROM {table}"):
                place = row["its_row"]
                columns = [name for name in row.keys() if name != "its_row"]  # noqa: SIM118
                found += [Cell(table, place, name, row[name]) for name in columns]
    return found


OWNERS = {
    "studies": "SELECT study_name FROM studies WHERE rowid = ?",
    "hpo_bench_leases": "SELECT study_name FROM hpo_bench_leases WHERE rowid = ?",
    "trials": "SELECT study_name FROM studies JOIN trials USING (study_id) WHERE trials.rowid = ?",
}


def owners(connection: sqlite3.Connection, cell: Cell) -> set[object]:
    """Names of the studies that a row belongs to."""
    by = "study_id" if cell.table.startswith("study_") else "trial_id"
    others = (
        "SELECT study_name FROM studies WHERE study_id IN "
        f"(SELECT study_id FROM {cell.table} WHERE rowid = ?)"
        if by == "study_id"
        else "SELECT study_name FROM studies JOIN trials USING (study_id) WHERE trial_id IN "
        f"(SELECT trial_id FROM {cell.table} WHERE rowid = ?)"
    )
    query = OWNERS.get(cell.table, others)
    return {name for (name,) in connection.execute(query, [cell.row])}


DELETED = object()


def change(path: Path, cell: Cell, value: object) -> set[object] | None:
    """Change a place; give the studies that have to do with it, or None if SQLite refuses it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        concerned = owners(connection, cell)
        try:
            if value is DELETED:
                connection.execute(f"DELETE FROM {cell.table} WHERE rowid = ?", [cell.row])
            else:
                text = f"UPDATE {cell.table} SET {cell.column} = ? WHERE rowid = ?"
                connection.execute(text, [value, cell.row])
        except (sqlite3.IntegrityError, OverflowError, UnicodeEncodeError):
            return None
        concerned |= owners(connection, cell)
        connection.commit()
    return {os.fsdecode(n) if isinstance(n, bytes) else n for n in concerned}


NASTY = st.sampled_from(
    [
        "",
        "\x1b]0;title\x07",
        "\x9b31m",
        "a\u202eb\u2066c",
        "\ud800",
        "[/b]",
        "[link=https://example.org]x[/link]",
        "<script>document.title = 'ran'</script>",
        "<img src=https://example.org/x onerror=\"document.title = 'ran'\">",
        "</script><script>document.title = 'ran'</script>",
        '<a href="https://example.org">x</a>',
        "![x](https://example.org/x.png)",
        "[x]: https://example.org",
        "a\n\n# b | c",
        "=HYPERLINK(1)",
        "@SUM(1)",
        "$\\frac$",
        "\\input{/etc/passwd}",
        "../../../etc/passwd",
        "/etc/passwd",
        "$(touch ran); `touch ran`",
        f"{CANARY}:sing",
        CANARY,
        "hpo_bench.objectives.table.recorder:recorder",
        "__class__",
        "first/pso/seed-00",
        "first/pso/seed-" + 5000 * "9",
        600 * "x",
        "NaN",
        "Infinity",
        "1e400",
        "null",
        "true",
        "[]",
        "{}",
        "[" * 500 + "]" * 500,
        "[" * 100_000,
        "9" * 5000,
    ]
)
NUMBERS = (
    st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.sampled_from([0, -1, 1, 2**31, 2**53, 2**63 - 1, -0.0, 1.7e308, -1.7e308, 5e-324])
)
LEAVES = st.none() | st.booleans() | NUMBERS | st.integers() | st.just(10**400) | st.text() | NASTY
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | NASTY, inner, max_size=3)
    ),
    max_leaves=4,
)
BARE = st.none() | NUMBERS | st.text() | NASTY | st.binary(max_size=8)


@st.composite
def changed(draw, value):
    """Something in the place of a part of a JSON value, or beside it."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(value)))
        how = draw(st.sampled_from(["inside", "inside", "drop", "add"]))
        rest = {name: inner for name, inner in value.items() if name != key}
        if how == "drop":
            return rest
        if how == "add":
            return {**value, draw(st.text() | NASTY): draw(JSON)}
        return {**rest, key: draw(changed(value[key]))}
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        place = draw(st.integers(0, len(value) - 1))
        inner = [] if draw(st.integers(0, 3)) == 0 else [draw(changed(value[place]))]
        return [*value[:place], *inner, *value[place + 1 :]]
    return draw(JSON)


@st.composite
def hostile(draw, cell):
    """What a stranger might write in a place."""
    how = draw(st.integers(0, 9))
    if how == 0:
        return DELETED
    if cell.column.endswith("_json"):
        if how < 3:
            return draw(BARE)
        return json.dumps(draw(changed(json.loads(cell.value))))
    return draw(BARE)


class Watch:
    """Takes note of what this process does to files, processes and the network, while it is on."""

    EVENTS = ("os.", "shutil.", "subprocess.", "socket.connect", "tempfile.", "sqlite3.connect")
    WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._is_on = False
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def __enter__(self):
        self.seen.clear()
        self._is_on = True
        return self

    def __exit__(self, *_):
        self._is_on = False

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._is_on:
            return
        if event == "import" and arguments[0] == CANARY:
            self.seen.append(event)
        is_writing = event == "open" and isinstance(arguments[2], int)
        is_writing = is_writing and bool(arguments[2] & self.WRITING)
        if is_writing or event.startswith(self.EVENTS):
            self._look(event, arguments)

    HARMLESS = ("os.listdir", "os.scandir", "os.walk", "os.fwalk", "os.putenv", "os.unsetenv")

    def _look(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in (*self.HARMLESS, "sqlite3.connect/handle"):
            return
        place = arguments[0] if arguments else ""
        shown = os.fsdecode(place) if isinstance(place, str | bytes | os.PathLike) else repr(place)
        inside = str(Path(shown.removeprefix("file://")).absolute()).startswith(self._folder)
        if not inside and shown != os.devnull and (event == "open" or not isinstance(place, int)):
            self.seen.append(f"{event} {arguments!r}"[:300])


def put(sound: Path, path: Path) -> None:
    """Put a sound database in a place, whatever was there."""
    for ending in ("", "-wal", "-shm", "-journal"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    shutil.copyfile(sound, path)
