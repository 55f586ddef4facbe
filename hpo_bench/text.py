"""Make foreign text safe for a terminal: control characters are shown, and passwords hidden.

Names, values, errors and paths may come from a storage, a table, an objective or a file system.
"""

from __future__ import annotations

import re
from collections.abc import Callable

LONGEST = 2_000
"""Most characters of a text that are shown; the rest is cut off."""

_LOOKED_AT = 100_000
"""Most characters of a text that are searched for passwords; the rest is cut off."""

_SPACES = {"\u00a0", "\u2007", "\u202f", "\u3000"}
"""Spaces that people type, although `str.isprintable` is False for them."""


def printable(text: object, limit: int | None = LONGEST, *, lines: bool = False) -> str:
    r"""Return a text that is safe to show in a terminal.

    Invisible characters are replaced by their Python escapes, such as `\x1b`: control characters
    (also ESC), characters that change the direction or have no width, and lone surrogates.

    Args:
        text: Any object; `str` converts what is not a string.
        limit: Most characters to show; a longer text ends in `…`. None means no limit.
        lines: Whether the text keeps its line breaks and tabs; if not, they are escaped.

    Returns:
        The text. It may contain Rich's markup, so the console must not interpret markup.
    """
    whole = text if isinstance(text, str) else _said(str, text)
    cut = whole if limit is None or len(whole) <= limit else f"{whole[: limit - 1]}…"
    if cut.isprintable():
        return cut
    kept = _SPACES | {"\n", "\t"} if lines else _SPACES
    return "".join(c if c.isprintable() or c in kept else repr(c)[1:-1] for c in cut)


def quoted(value: object, limit: int = LONGEST) -> str:
    """Return `repr` of a value, safe for a terminal, and without passwords.

    Args:
        value: Any object.
        limit: Most characters; a longer text ends in `…`.
    """
    if isinstance(value, str):
        value = without_passwords(value, is_value=True)
    return printable(_said(repr, value), limit)


def _said(how: Callable[[object], str], value: object) -> str:
    """Return `str` or `repr` of an object; name its class if that raises an error."""
    try:
        return how(value)
    except Exception as error:
        return f"<a {type(value).__name__} that cannot be shown: {type(error).__name__}>"


_NAME = r"[\w.-]*(?:password|passwd|passphrase|passfile|pwd|secret|token)(?![a-z])[\w.-]*"
"""Names whose values are secret, e.g. `password`, `sslpassword`, `PGPASSWORD`, `auth_token`. With a
letter after it, `token` is a part of another word, e.g. `tokenizer`."""

_QUERY = r"[?&][^=&\s]*(?:pass|pwd|secret|token)[^=&\s]*="
_KEY = rf"(?<![\w.-]){_NAME}\s*="
_QUOTED_KEY = rf"(?P<quote>\\?['\"]){_NAME}(?P=quote)\s*[:=]"
_QUOTED = r"(?:'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")"


def _patterns(*patterns: tuple[str, str]) -> list[tuple[re.Pattern[str], str]]:
    flags = re.IGNORECASE | re.DOTALL
    return [(re.compile(pattern, flags), shown) for pattern, shown in patterns]


# In this order: a URL's user:password@; a parameter of a query; name=value and "name": "value", as
# in a DSN of libpq or a dictionary; user:password@host without a scheme.
_PASSWORDS = _patterns(
    (r"://([^:/@\s]*):\S*@", r"://\1:***@"),
    (rf"({_QUERY})[^&\s'\"#]*", r"\1***"),
    (rf"((?:{_QUOTED_KEY}|{_KEY})\s*)(?:{_QUOTED}|[^\s,;&#'\"]+)", r"\1***"),
    (r"(?<![\w/.%+*-])([\w.%+-]+):([^\s:@/'\"]+)@(?=[\w\[])", r"\1:***@"),
)

# The same, for a text that is a single value: a password in it may contain spaces, quotes and `@`.
_PASSWORDS_OF_VALUES = _patterns(
    (r"://([^:/@]*):.*@", r"://\1:***@"),
    (rf"({_QUERY})[^&#]*", r"\1***"),
    (rf"((?:{_QUOTED_KEY}|{_KEY})\s*)(?:{_QUOTED}|.*?(?=\s+\w+\s*=|[&#,}}]|$))", r"\1***"),
    (r"^([^:/@\s]+):(?!//).*@", r"\1:***@"),
)


def without_passwords(text: str, *, is_value: bool = False) -> str:
    """Replace the passwords in a text by `***`: those of URLs, and of libpq's connection strings.

    Args:
        text: A text to show, e.g. an error that quotes a URL; it is cut after 100,000 characters.
        is_value: Whether the whole text is one value that a user has typed. A password may then
            contain spaces and `@`; in doubt, more than the password is replaced.
    """
    text = text[:_LOOKED_AT]
    for pattern, shown in _PASSWORDS_OF_VALUES if is_value else _PASSWORDS:
        text = pattern.sub(shown, text)
    return text
