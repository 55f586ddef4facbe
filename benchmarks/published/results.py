"""What the published suites have found, as blocks for pages and pictures beside them."""

from __future__ import annotations

import lzma
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from shutil import copyfile

from hpo_bench.analysis.measures import measure_name
from hpo_bench.analysis.summary import Summary, summarise
from hpo_bench.report import content, figures, markdown, static
from hpo_bench.report.files import ranking
from hpo_bench.report.parts import Figure, Table
from hpo_bench.report.sections import differences, results
from hpo_bench.storage.opening import open_existing
from hpo_bench.storage.studies import members

from .pages import ROOT

KEPT = ("lenet5-cifar10-small", "lenet5-cifar10-training")
"""Suites that were trained; the storage of both stands beside this file."""

REPLAYED = ("lenet5-cifar10-table", "tables")
"""Suites that are run again whenever their results are asked for."""

STORAGE = Path(__file__).with_name("results.db.xz")
PICTURES = ROOT / "docs" / "results"

_COLUMNS = ("method", "accuracy", "evals", "epochs", "wall s")


def keep(storage: Path) -> Path:
    """Compress a storage into the one that is published."""
    copy = STORAGE.with_suffix("")
    copyfile(storage, copy)
    with closing(sqlite3.connect(copy)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("VACUUM")
    STORAGE.write_bytes(lzma.compress(copy.read_bytes(), preset=9))
    copy.unlink()
    return STORAGE


def kept_storage(directory: Path) -> str:
    """Unpack the storage of what was trained; give its URL."""
    path = directory / "results.db"
    path.write_bytes(lzma.decompress(STORAGE.read_bytes()))
    return f"sqlite:///{path}"


def replay(suite: str, directory: Path) -> str:
    """Run a suite; give the URL of its storage."""
    url = f"sqlite:///{directory / suite}.db"
    command = [sys.executable, "-m", "hpo_bench", "run", suite, "--storage", url]
    subprocess.run(command, check=True)
    return url


def blocks(suite: str, storage: str) -> dict[str, str]:
    """Give the blocks of a suite by their names, and draw its pictures."""
    opened = open_existing(storage)
    found = [summarise(opened, name) for name in members(opened, suite)]
    made = _across(found) if len(found) > 1 else _alone(found[0])
    return {f"{suite} {name}": text for name, text in made.items()}


def _alone(found: Summary) -> dict[str, str]:
    _draw(found.suite, [*figures.curves(found, ("epochs",)), figures.distributions(found)])
    pairs = {
        f"differences by {measure}": differences.pairs_table(
            compared, measure_name(measure, found.metric), found.rope
        )
        for measure, compared in found.comparisons.items()
    }
    return {
        "verdict": results.verdict(found),
        "results": markdown.table(_narrow(results.results_table(found))),
        **{name: markdown.table(table) for name, table in pairs.items()},
    }


def _across(found: list[Summary]) -> dict[str, str]:
    parts = content.across(found, ranking(found)).parts
    _draw(found[0].suite.partition(".")[0], [p for p in parts if isinstance(p, Figure)])
    ranks, means = (markdown.table(part) for part in parts if isinstance(part, Table))
    return {"tests": str(parts[0]), "ranks": ranks, "means": means}


def _narrow(table: Table) -> Table:
    """Leave out the columns for which a front page has no room, and what explains them."""
    places = [
        place
        for place, heading in enumerate(table.headings)
        if any(heading.startswith(name) or name in heading for name in _COLUMNS)
    ]
    rows = [[row[place] for place in places] for row in table.rows]
    return Table([table.headings[place] for place in places], rows)


def _draw(suite: str, drawn: list[Figure | None]) -> None:
    named = [(f"{suite}-{figure.key}", figure) for figure in drawn if figure is not None]
    static.write(PICTURES, named, "svg")
