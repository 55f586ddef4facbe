"""Text that others have written, in each format of a report: it is shown there, and does nothing.

Names, choices and reasons come from a storage, which may be anybody's. What cannot be seen shows
as its code everywhere (`hpo_bench.text`); each format has characters of its own that do something.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite
from typing import Any

from hpo_bench.text import printable

_FAR = 1e300
"""Beyond it a picture has no place for a number: an axis that holds it is longer than a float."""

_FILE_NAME = 100
"""Characters of a file's name; file systems take 255 bytes, with the ending."""

# An interval stays as it is, unless what follows makes a link of it.
_INTERVAL = r"(?:–|95%|[-+.\deinfa]+(?:, [-+.\deinfa]+)?)\](?![(\[:])"
_MARKDOWN = [
    (re.compile(r"([\\`|])"), r"\\\1"),
    (re.compile(r"<"), "&lt;"),
    (re.compile(rf"\[(?!{_INTERVAL})"), r"\["),
    (re.compile(r"(:)(?=//)|(?<=\bwww)(\.)", re.IGNORECASE), r"\\\1\2"),
    (re.compile(r"^(?=[#>+*=~-])"), r"\\"),
    # Not of a decimal number: before a digit, a backslash would be seen.
    (re.compile(r"^(\d+)([.)])(?=\s|$)"), r"\1\\\2"),
]
"""What begins code, a cell, HTML, a link or an image, an address, and a block."""

_TEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    | {"–": "--", "±": r"$\pm$"}
)


def markdown(text: str) -> str:
    """Give a text for a paragraph, or for a cell of a table."""
    shown = printable(text)
    for pattern, escaped in _MARKDOWN:
        shown = pattern.sub(escaped, shown)
    return shown


def tex(text: str) -> str:
    """Give a text for LaTeX."""
    shown = printable(text).translate(_TEX)
    # After the end of a row, these would be an argument of it.
    return f"{{}}{shown}" if shown.startswith(("[", "*")) else shown


def csv_cell(value: object) -> object:
    """Give a value for CSV: numbers as they are, text so that no spreadsheet reckons with it.

    Source: OWASP, "CSV Injection": what begins with one of these characters is a formula, and an
    apostrophe before it makes it text.
    """
    if not isinstance(value, str):
        return value
    shown = printable(value, None)
    return f"'{shown}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else shown


def plotly(value: Any) -> Any:
    """Give what is in a picture for Plotly, which reads some HTML in names: links, for example."""
    return _each(value, lambda text: text.replace("&", "&amp;").replace("<", "&lt;"), None)


def matplotlib(value: Any) -> Any:
    """Give what is in a picture for Matplotlib, which reads formulas between dollar signs."""
    return _each(value, lambda text: text.replace("$", r"\$"), float("nan"))


def _each(value: Any, escape: Callable[[str], str], nowhere: float | None) -> Any:
    """Go through lists and dictionaries; a number that cannot be drawn has no place."""
    if isinstance(value, str):
        return escape(printable(value))
    if isinstance(value, float | int):
        return value if isfinite(value) and abs(value) < _FAR else nowhere
    if isinstance(value, dict):
        return {name: _each(inner, escape, nowhere) for name, inner in value.items()}
    is_many = isinstance(value, list | tuple)
    return [_each(inner, escape, nowhere) for inner in value] if is_many else value


def file_name(text: str) -> str:
    """Give a name for a file, without an ending: short, and of harmless characters alone."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).lstrip("-.")[:_FILE_NAME] or "unnamed"
