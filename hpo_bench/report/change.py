"""Changes of a suite's methods: for the terminal, Markdown, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table as TerminalTable

from hpo_bench.analysis.change import Changes
from hpo_bench.analysis.simultaneous import ALPHA
from hpo_bench.numbers import NOTHING, number
from hpo_bench.report import foreign, markdown
from hpo_bench.report.parts import Table, interval, probability
from hpo_bench.report.plain import plain
from hpo_bench.report.table import flat, left_out, records_to_csv


def to_table(changes: Changes) -> Table:
    """One row per method, and objective if there are several."""
    is_one = len({change.suite for change in changes.methods}) == 1
    rows = [
        [
            *([] if is_one else [change.suite.partition(".")[2]]),
            change.method,
            str(change.comparison.gain.n),
            number(change.before),
            number(change.after),
            interval(change.comparison.gain),
            NOTHING
            if change.comparison.adjusted_p is None
            else probability(change.comparison.adjusted_p),
            f"{change.comparison.improvement:.2f}",
            change.verdict,
        ]
        for change in changes.methods
    ]
    caption = (
        f"By {changes.metric}, of finished runs, paired by seed. Gain: mean difference, above 0 "
        "the new is better; with 95% probability all of these intervals hold theirs. p: for all "
        f"rows together, at most {ALPHA} exactly where the interval excludes 0, which is the "
        "verdict, of the new. P(better): share of seeds with which the new is better, a tie "
        "counting half."
    )
    headings = ["method", "seeds", "old", "new", "gain [95%]", "p (all)", "P(better)", "verdict"]
    return Table(headings if is_one else ["objective", *headings], rows, caption)


def print_table(changes: Changes, console: Console) -> None:
    """Print for people."""
    print_made(to_table(changes), [*changes.notes, *left_out(changes.left_out)], console)


def print_made(made: Table, notes: Sequence[str], console: Console) -> None:
    """Print a table with what must be read beside it."""
    table = TerminalTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for place, heading in enumerate(made.headings):
        table.add_column(heading, justify="right" if place else "left")
    for row in made.rows:
        table.add_row(*row)
    console.print(table)
    for note in (made.caption, *notes):
        console.print(note, style="dim")


def to_markdown(changes: Changes) -> str:
    """A table with its notes."""
    told = map(foreign.markdown, [*changes.notes, *left_out(changes.left_out)])
    return "\n\n".join([markdown.table(to_table(changes)), *told])


def to_csv(changes: Changes) -> str:
    """One line per method, with full precision."""
    records = [_record(change) for change in plain(changes.methods)]
    return records_to_csv(records)


def _record(change: dict[str, object]) -> dict[str, object]:
    comparison = change.pop("comparison")
    assert isinstance(comparison, dict)
    return flat({**change, **comparison})


def to_json(changes: Changes) -> str:
    """Everything, with full precision."""
    return json.dumps({**plain(changes), "exit_status": changes.exit_status}, indent=2)
