"""What a ranking was worth: by the value that chose each winner, and by what it did not see.

    python -m benchmarks.rescore --seeds 30                     # runs the suites, in minutes
    python -m benchmarks.rescore --storage sqlite:///runs.db    # takes them from a storage

Seen: methods are placed by the validation value of each run's winner, the best of many noisy
values. Held out: by the mean of the winner's other recorded trainings, of which its run saw none.
Printed are mean ranks over the tables, and on how many of them a method is shown to be better than
random search, by the verdicts of the report. For a single table, the means by both.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hpo_bench.analysis.across import across
from hpo_bench.analysis.comparisons import BETTER, WORSE, Comparison
from hpo_bench.analysis.measures import measure_name
from hpo_bench.analysis.summary import Summary, summarise
from hpo_bench.report.parts import interval
from hpo_bench.storage.opening import open_existing
from hpo_bench.storage.studies import members

from .markdown import rows

SUITES = ("tables", "lenet5-cifar10-table")

SEEN = "validation"


def main(
    suites: Annotated[
        list[str] | None, typer.Argument(help="By default tables and lenet5-cifar10-table.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=3, help="Runs of each method, where it runs any.")] = 30,
    storage: Annotated[
        str | None, typer.Option(help="Holds runs of the suites; by default they are run.")
    ] = None,
) -> None:
    """Rank methods by what the search saw, and by what it did not see."""
    with tempfile.TemporaryDirectory() as folder:
        url = storage or _run(Path(folder), suites or SUITES, seeds)
        opened = open_existing(url)
        for suite in suites or SUITES:
            found = [summarise(opened, name) for name in members(opened, suite)]
            print("\n".join(_told(suite, found)))


def _run(folder: Path, suites: Sequence[str], seeds: int) -> str:
    url = f"sqlite:///{folder / 'runs.db'}"
    for suite in suites:
        command = [sys.executable, "-m", "hpo_bench", "run", suite, "--storage", url]
        subprocess.run([*command, "--seeds", f"0-{seeds - 1}"], check=True, stdout=sys.stderr)
    return url


def _told(suite: str, found: Sequence[Summary]) -> list[str]:
    table = _of_one(found[0]) if len(found) == 1 else _of_several(found)
    runs = len(found[0].finished(found[0].methods[0].name))
    return [f"### {suite}, {runs} runs of each method", "", *table, ""]


def _of_several(found: Sequence[Summary]) -> list[str]:
    """Mean ranks, and on how many objectives a method is shown to differ from random search."""
    before, after = (across(found, measure).ranking for measure in (SEEN, None))
    ranks = [dict(zip(r.methods, r.mean_ranks, strict=True)) for r in (before, after)]
    made = [
        [
            method,
            f"{ranks[0][method]:.2f}",
            f"{ranks[1][method]:.2f}",
            *(
                str(sum(_is_better(_pairs(s, seen), method, "random") for s in found))
                for seen in (True, False)
            ),
        ]
        for method in after.methods
    ]
    headings = ["method", "rank, seen", "rank, held out"]
    headings += ["better than random, seen", "better than random, held out"]
    return rows(headings, made)


def _of_one(found: Summary) -> list[str]:
    """Means by both, best first by what was held out."""
    made, name = [], measure_name(found.endpoint.measure, found.metric)
    for method in found.methods:
        told = (interval(found) for found in (method.validation, method.endpoint, method.gap))
        made.append([method.name, *told])
    return rows(["method", "seen [95%]", f"{name} [95%]", "gap [95%]"], made)


def _pairs(summary: Summary, seen: bool) -> Sequence[Comparison]:
    return summary.comparisons.get(SEEN if seen else summary.endpoint.measure, [])


def _is_better(pairs: Sequence[Comparison], one: str, other: str) -> bool:
    return any(
        (pair.verdict == BETTER and (pair.first, pair.second) == (one, other))
        or (pair.verdict == WORSE and (pair.first, pair.second) == (other, one))
        for pair in pairs
    )


if __name__ == "__main__":
    typer.run(main)
