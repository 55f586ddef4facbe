"""The results of the published suites, as blocks for pages and as figures."""

from __future__ import annotations

import lzma
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hpo_bench.analysis.across import across
from hpo_bench.analysis.measures import measure_name
from hpo_bench.analysis.summary import Summary, summarise
from hpo_bench.report import figures, markdown, static
from hpo_bench.report.parts import Figure, Table
from hpo_bench.report.sections import across as shown
from hpo_bench.report.sections import differences, results
from hpo_bench.storage.opening import open_existing
from hpo_bench.storage.studies import iterate_studies, members

from .pages import ROOT

TRAINED = ("lenet5-cifar10-small", "lenet5-cifar10-training")
"""Suites whose trainings took hours; their storage is in this folder."""

REPLAYED = ("lenet5-cifar10-table", "tables")
"""Suites that run again for each report; they take minutes."""

STORAGE = Path(__file__).with_name("trained.db.xz")
PICTURES = ROOT / "docs" / "results"

_COLUMNS = ("method", "accuracy", "confirmed", "evals", "epochs", "wall s")


def keep(storage: Path) -> None:
    """Replace the compressed storage of the trained suites.

    Raises:
        HpoBenchError: The new storage lacks one of these suites.
    """
    opened = open_existing(f"sqlite:///{storage.absolute()}")
    for suite in TRAINED:
        next(iterate_studies(opened, suite))
    with TemporaryDirectory() as directory, closing(sqlite3.connect(storage)) as database:
        copy = Path(directory) / STORAGE.stem
        database.execute("VACUUM INTO ?", [str(copy)])
        STORAGE.write_bytes(lzma.compress(copy.read_bytes(), preset=9))


def found_in(suite: str, directory: Path) -> str:
    """Make a storage with a suite's finished runs in a directory; give its URL."""
    return _unpacked(directory) if suite in TRAINED else _replayed(suite, directory)


def _unpacked(directory: Path) -> str:
    path = directory / STORAGE.stem
    path.write_bytes(lzma.decompress(STORAGE.read_bytes()))
    return f"sqlite:///{path}"


def _replayed(suite: str, directory: Path) -> str:
    url = f"sqlite:///{directory / suite}.db"
    command = [sys.executable, "-m", "hpo_bench", "run", suite, "--storage", url]
    subprocess.run(command, check=True)
    return url


def blocks(suite: str, storage: str) -> dict[str, str]:
    """Give the blocks of a suite by name, and draw its figures."""
    opened = open_existing(storage)
    found = [summarise(opened, name) for name in members(opened, suite)]
    made = _across(found) if len(found) > 1 else _alone(found[0])
    # Several objectives are distinguished by their own names.
    return {f"{suite} {name}": text.replace(f"{suite}.", "") for name, text in made.items()}


def _alone(found: Summary) -> dict[str, str]:
    _draw(found.suite, [*figures.curves(found, ("epochs",)), figures.distributions(found)])
    pairs = {
        f"differences by {measure}": differences.pairs_table(
            compared, measure_name(measure, found.metric), found.ropes.get(measure)
        )
        for measure, compared in found.comparisons.items()
    }
    return {
        "verdict": results.verdict(found),
        "results": markdown.table(_narrow(results.results_table(found))),
        **{name: markdown.table(table) for name, table in pairs.items()},
    }


def _across(found: list[Summary]) -> dict[str, str]:
    together = across(found)
    parts = shown.section(found).parts
    _draw(found[0].suite.partition(".")[0], [p for p in parts if isinstance(p, Figure)])
    methods = together.ranking.methods
    tables = {
        "regret over the budget": shown.over_budget(together),
        "regret": shown.middles(together),
        "improvement": shown.improvements(together),
        "ranks": shown.ranks(together),
        "pairs": shown.pairs(together),
        "means": shown.means(found, [*methods, *shown.baselines_of_all(found, methods)]),
    }
    made = {name: markdown.table(table) for name, table in tables.items()}
    return {"tests": shown.general(together), **made}


def _narrow(table: Table) -> Table:
    """Leave out the columns that do not fit on a front page, and their notes."""
    places = [
        place
        for place, heading in enumerate(table.headings)
        if any(name in heading for name in _COLUMNS)
    ]
    rows = [[row[place] for place in places] for row in table.rows]
    return Table([table.headings[place] for place in places], rows)


def _draw(suite: str, drawn: list[Figure | None]) -> None:
    # A page is wider than the column of a paper.
    named = [(f"{suite}-{f.key}", replace(f, wide=True)) for f in drawn if f is not None]
    static.write(PICTURES, named, "svg")
