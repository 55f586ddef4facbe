"""Parts of a report as Markdown."""

from __future__ import annotations

import re

from hpo_bench.report import foreign
from hpo_bench.report.parts import Code, Part, Table
from hpo_bench.text import printable


def part(made: Part) -> str:
    """Give a part as Markdown; nothing for a picture."""
    if isinstance(made, str):
        return foreign.markdown(made)
    if isinstance(made, Code):
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", made.text)), default=0))
        text = printable(made.text.rstrip(), None, lines=True)
        return f"{fence}{made.language}\n{text}\n{fence}"
    return table(made) if isinstance(made, Table) else ""


def table(made: Table) -> str:
    """Give a table, its caption under it."""
    rule = [":---", *["---:"] * (len(made.headings) - 1)]
    cells = [[foreign.markdown(cell) for cell in row] for row in (made.headings, *made.rows)]
    lines = ["| " + " | ".join(row) + " |" for row in (cells[0], rule, *cells[1:])]
    return "\n".join(lines) + (f"\n\n{foreign.markdown(made.caption)}" if made.caption else "")
