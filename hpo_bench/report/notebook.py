"""What a comparison shows of itself in the output of a notebook's cell."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

from hpo_bench.analysis.results import SuiteResult
from hpo_bench.report import table
from hpo_bench.text import printable

NO_PICTURE = "pip install 'hpo-bench[report]' adds the curve."

_CELL = 'style="text-align: {side}; padding: 0.15em 0.6em"'


def card(result: SuiteResult, picture: bytes | None) -> str:
    """Make the table of a suite, with a curve beneath it; it needs no script.

    Args:
        result: What was found.
        picture: The curve as SVG; None where it cannot be drawn.
    """
    headings, cells = table.rows(result)
    head = "".join(_cell("th", heading, place) for place, heading in enumerate(headings))
    body = "".join(f"<tr>{_row(row)}</tr>" for row in cells)
    notes = "".join(f"<div>{_escaped(note)}</div>" for note in table.notes(result))
    return (
        f"<div><strong>{_escaped(result.suite)}</strong>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f'<div style="opacity: 0.7; font-size: 85%; max-width: 60em">{notes}</div>'
        f"{_picture(picture)}</div>"
    )


def _row(row: Sequence[str]) -> str:
    return "".join(_cell("td", cell, place) for place, cell in enumerate(row))


def _cell(tag: str, text: str, place: int) -> str:
    style = _CELL.format(side="left" if place == 0 else "right")
    return f"<{tag} {style}>{_escaped(text)}</{tag}>"


def _picture(drawn: bytes | None) -> str:
    if drawn is None:
        return f"<div>{_escaped(NO_PICTURE)}</div>"
    # As an image it runs nothing, and its names do not meet those of other pictures on the page.
    data = base64.b64encode(drawn).decode()
    return (
        '<img alt="the best value so far by what was spent" style="background: white" '
        f'src="data:image/svg+xml;base64,{data}">'
    )


def _escaped(text: str) -> str:
    return html.escape(printable(text, None))
