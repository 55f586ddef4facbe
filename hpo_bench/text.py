"""Text that others have written, made fit for a terminal: it shows what is there, and does nothing.

Names, values, errors and paths may come from a storage, a table, an objective or a file system.
"""

from __future__ import annotations

import re
from collections.abc import Callable

LONGEST = 2_000
"""Characters of a text that are shown; the rest is cut."""

_LOOKED_AT = 100_000
"""Characters in which passwords are looked for; what lies beyond is not shown."""

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
    whole = text if isinstance(text, str) else _said(str, text)
    cut = whole if limit is None or len(whole) <= limit else f"{whole[: limit - 1]}…"
    if cut.isprintable():
        return cut
    kept = _SPACES | {"\n", "\t"} if lines else _SPACES
    return "".join(c if c.isprintable() or c in kept else repr(c)[1:-1] for c in cut)


def quoted(value: object, limit: int = LONGEST) -> str:
    """Give a value as Python writes it, fit for a terminal and without passwords."""
    if isinstance(value, str):
        value = without_passwords(value, is_value=True)
    return printable(_said(repr, value), limit)


def _said(how: Callable[[object], str], value: object) -> str:
    """What an object says of itself; an object of somebody else's may fail to."""
    try:
        return how(value)
    except Exception as error:
        return f"<a {type(value).__name__} that cannot be shown: {type(error).__name__}>"


_NAME = r"[\w.-]*(?:password|passwd|passphrase|passfile|pwd|secret|token)(?![a-z])[\w.-]*"
"""Names of what must not be shown, e.g. `password`, `sslpassword`, `PGPASSWORD`, `auth_token`."""

_QUERY = r"[?&][^=&\s]*(?:pass|pwd|secret|token)[^=&\s]*="
_KEY = rf"(?<![\w.-]){_NAME}\s*="
_QUOTED_KEY = rf"(?P<quote>\\?['\"]){_NAME}(?P=quote)\s*[:=]"
_QUOTED = r"(?:'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")"


def _patterns(*patterns: tuple[str, str]) -> list[tuple[re.Pattern[str], str]]:
    flags = re.IGNORECASE | re.DOTALL
    return [(re.compile(pattern, flags), shown) for pattern, shown in patterns]


_PASSWORDS = _patterns(
    (r"://([^:/@\s]*):\S*@", r"://\1:***@"),
    (rf"({_QUERY})[^&\s'\"#]*", r"\1***"),
    (rf"((?:{_QUOTED_KEY}|{_KEY})\s*)(?:{_QUOTED}|[^\s,;&#'\"]+)", r"\1***"),
    (r"(?<![\w/.%+*-])([\w.%+-]+):([^\s:@/'\"]+)@(?=[\w\[])", r"\1:***@"),
)

_PASSWORDS_OF_VALUES = _patterns(
    (r"://([^:/@]*):.*@", r"://\1:***@"),
    (rf"({_QUERY})[^&#]*", r"\1***"),
    (rf"((?:{_QUOTED_KEY}|{_KEY})\s*)(?:{_QUOTED}|.*?(?=\s+\w+\s*=|[&#,}}]|$))", r"\1***"),
    (r"^([^:/@\s]+):(?!//).*@", r"\1:***@"),
)


def without_passwords(text: str, *, is_value: bool = False) -> str:
    """Leave the passwords out of a text: those of URLs, and of what libpq takes in their place.

    Args:
        text: Anything that is shown, e.g. an error with a URL in it.
        is_value: Whether it is all one value that somebody has typed. A password may then hold
            spaces and `@`: rather more than it is left out than less.
    """
    text = text[:_LOOKED_AT]
    for pattern, shown in _PASSWORDS_OF_VALUES if is_value else _PASSWORDS:
        text = pattern.sub(shown, text)
    return text
