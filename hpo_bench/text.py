"""Text that others have written, made fit for a terminal: it shows what is there, and does nothing.

Names, values, errors and paths may come from a storage, a table, an objective or a file system.
"""

from __future__ import annotations

LONGEST = 2_000
"""Characters of a text that are shown; the rest is cut."""

_SPACES = {"\u00a0", "\u2007", "\u202f", "\u3000"}
"""Spaces that people type, though Python counts them among what cannot be printed."""


def printable(text: object, limit: int | None = LONGEST, *, lines: bool = False) -> str:
    r"""Give a text as a terminal may show it.

    Control characters (ESC among them), characters that change the direction or have no width,
    lone surrogates, and everything else that cannot be seen, show as Python writes them: `\x1b`.

    Args:
        text: Anything; what is no string is shown as `str` gives it.
        limit: Characters to show; a longer text ends in `…`. None shows all.
        lines: Whether the text may have several lines, and tabs; else `\n` shows as itself.

    Returns:
        The text. Rich's markup is left in it: a console that takes this text must not read markup.
    """
    whole = text if isinstance(text, str) else _said(text)
    cut = whole if limit is None or len(whole) <= limit else f"{whole[: limit - 1]}…"
    if cut.isprintable():
        return cut
    kept = _SPACES | {"\n", "\t"} if lines else _SPACES
    return "".join(c if c.isprintable() or c in kept else repr(c)[1:-1] for c in cut)


def _said(value: object) -> str:
    """What an object says of itself; an object of somebody else's may fail to."""
    try:
        return str(value)
    except Exception as error:
        return f"<a {type(value).__name__} that cannot be shown: {type(error).__name__}>"
