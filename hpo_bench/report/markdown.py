"""Parts of a report as Markdown."""

from __future__ import annotations

import re

from hpo_bench.report.parts import Code, Part, Table


def part(made: Part) -> str:
    """Give a part as Markdown; nothing for a picture."""
    if isinstance(made, str):
        return made
    if isinstance(made, Code):
        longest = max((len(run) for run in re.findall("`+", made.text)), default=0)
        fence = "`" * max(3, longest + 1)
        return f"{fence}{made.language}\n{made.text.rstrip()}\n{fence}"
    return table(made) if isinstance(made, Table) else ""


def table(made: Table) -> str:
    """Give a table, its caption under it."""
    rule = [":---", *["---:"] * (len(made.headings) - 1)]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (made.headings, *made.rows)]
    lines = ["| " + " | ".join(row) + " |" for row in (cells[0], rule, *cells[1:])]
    return "\n".join(lines) + (f"\n\n{made.caption}" if made.caption else "")
