"""The table of faults: each row is what a test has measured; printed when they are done."""

import os
from collections import Counter
from dataclasses import asdict, dataclass

import pytest
from command import Command
from rich.console import Console
from rich.table import Table

IS_LONG = bool(os.environ.get("HPO_BENCH_LONG"))
"""Whether faults last as long as real ones do; CI has less time."""


def pytest_collection_modifyitems(config, items):
    if IS_LONG:
        return
    left = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


@dataclass
class Row:
    """What became of the evaluations of a suite in which a fault was injected."""

    fault: str
    injected: int
    expected: int
    found: int
    duplicated: int
    lost: int
    seconds: float | None
    """From the end of the fault to the next unit of training; None where nothing is to go on."""


@pytest.fixture
def record_fault(record_property):
    """Write a row of the table: of evaluations that are counted, not compared."""

    def write(fault, *, injected=1, expected, found):
        lost = max(0, expected - found)
        row = Row(fault, injected, expected, found, max(0, found - expected), lost, None)
        record_property("fault", asdict(row))

    return write


@pytest.fixture
def survived(record_property):
    """Compare a command's evaluations with an undisturbed run's; write a row of the table."""

    def check(fault, command, expected: Counter, *, injected=1, seconds=None):
        found = command.evaluations()
        row = Row(
            fault,
            injected,
            expected.total(),
            found.total(),
            (found - expected).total(),
            (expected - found).total(),
            seconds,
        )
        record_property("fault", asdict(row))
        assert found == expected, row
        for study in command.studies():
            assert all(trial.state.is_finished() for trial in study.get_trials())

    return check


def pytest_terminal_summary(terminalreporter):
    rows = [
        value
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        for name, value in report.user_properties
        if name == "fault" and report.when == "call"
    ]
    if not rows:
        return
    table = Table(title="Faults, and what became of the evaluations", title_justify="left")
    table.add_column("fault")
    for name in ("injected", "expected", "found", "duplicated", "lost", "s to go on"):
        table.add_column(name, justify="right")
    for row in rows:
        seconds = "–" if row["seconds"] is None else f"{row['seconds']:.1f}"
        counts = (row[n] for n in ("injected", "expected", "found", "duplicated", "lost"))
        table.add_row(row["fault"], *map(str, counts), seconds)
    terminalreporter.write_line("")
    Console(width=120).print(table)


@pytest.fixture
def outage_seconds():
    """How long a storage is away."""
    return 30.0 if IS_LONG else 2.0


@dataclass(frozen=True)
class Undisturbed:
    """What the suite comes to if nothing happens."""

    told: dict
    evaluations: Counter


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    command = Command(tmp_path_factory.mktemp("undisturbed"))
    command.finish()
    return Undisturbed(command.told(), command.evaluations())
