"""The errors whose text is meant for the person at the keyboard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

from hpo_bench.text import printable, quoted, without_passwords

_LONGEST = 20_000
"""Characters of an error's text."""

_SHOWN = 200
"""Characters of a field or a value that an error shows."""


_COMPARED = 1_000
"""Names that a mistyped one is compared with."""


class HpoBenchError(Exception):
    """Something the user can put right; the command line prints its text without a traceback."""

    def __str__(self) -> str:
        # Whatever was typed may be a storage's URL that stands in the wrong place, and whatever is
        # quoted may be somebody else's text.
        return printable(without_passwords(super().__str__()), limit=_LONGEST, lines=True)


class InputError(HpoBenchError):
    """A setting that cannot be used; the text names field, value and what would be right."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(
            f"{printable(field, _SHOWN)}: {quoted(value, _SHOWN)} cannot be used; {expected}"
        )
        self.field = field
        """Where the value stands, dotted: `budget.epochs`."""
        self.value = value
        """What was given."""
        self.expected = expected
        """What would be right, in words."""

    def __reduce__(self) -> tuple[type[InputError], tuple[str, object, str]]:
        # An exception is pickled by its message alone, and could not leave a worker process.
        return InputError, (self.field, self.value, self.expected)

    def under(self, prefix: str) -> InputError:
        """The same fault, its field named from further outside."""
        return InputError(f"{prefix}.{self.field}", self.value, self.expected)


class MissingExtraError(HpoBenchError):
    """A feature whose optional dependency is not installed."""

    def __init__(self, feature: str, extra: str, missing: str | None) -> None:
        super().__init__(
            f"{feature} needs the package {missing!r}, which is not installed: "
            f"pip install 'hpo-bench[{extra}]'"
        )
        self._arguments = (feature, extra, missing)

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str | None]]:
        return MissingExtraError, self._arguments


class ProgramError(HpoBenchError):
    """A program that an objective has started failed; the text says why, in a line.

    Args:
        reason: Why.
        output: The last lines that it printed.
    """

    def __init__(self, reason: str, output: str = "") -> None:
        super().__init__(reason)
        self.output = output


@contextmanager
def needing(extra: str, feature: str) -> Iterator[None]:
    """Import inside what a feature needs; say which extra brings it.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(feature, extra, error.name) from None


def one_of(value: str, allowed: Iterable[str]) -> str:
    """Say what is allowed, the nearest first: the ending of an `InputError` about a name."""
    names = sorted(allowed)
    close = get_close_matches(value[:_SHOWN], names[:_COMPARED], n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    listed = printable(", ".join(names[:_COMPARED]))
    return f"{hint}allowed: {listed if names else '(none)'}"


REASON_LENGTH = 1_000
"""Characters of a reason: a page of an exception's text is no reason."""


def reason_of(error: BaseException) -> str:
    """Say what an exception of somebody else's code is: its class, and its text if it has one.

    Our own errors are whole sentences, and need no class.
    """
    try:
        text = str(error)
    except Exception as fault:
        text = f"(it cannot be told as text: {type(fault).__name__})"
    if not isinstance(error, HpoBenchError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    text, half = recordable(text), REASON_LENGTH // 2
    return text if len(text) <= REASON_LENGTH else f"{text[:half]} [...] {text[-half:]}"


def recordable(text: str) -> str:
    """Write as codes what databases and files do not take: NUL, and halves of characters."""
    text = text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
    return without_passwords(text)
