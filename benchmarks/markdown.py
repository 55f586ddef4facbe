"""Tables in Markdown."""

from collections.abc import Sequence


def rows(header: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """Lay out a table; the first column is aligned left, the others right."""
    aligned = ["---", *("---:" for _ in header[1:])]
    return ["| " + " | ".join(row) + " |" for row in [header, aligned, *body]]
