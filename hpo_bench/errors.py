"""Errors whose text is meant for the user, and texts for errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

from hpo_bench.text import printable, quoted, without_passwords

_LONGEST = 20_000
"""Most characters of an error's text."""

_SHOWN = 200
"""Most characters of a field or a value in an error's text."""


_COMPARED = 1_000
"""Most names with which a mistyped name is compared."""


class HpoBenchError(Exception):
    """A fault that the user can mend; the command line prints its text without a traceback."""

    def __str__(self) -> str:
        # A typed value may be a storage's URL in the wrong place, with its password. A quoted text
        # may come from somebody else.
        return printable(without_passwords(super().__str__()), limit=_LONGEST, lines=True)


class InputError(HpoBenchError):
    """An unusable setting; the text names the field, the value and a correct value.

    Args:
        field: Name of the setting, dotted: `budget.epochs`.
        value: The value that was given.
        expected: What would be correct, in words.
    """

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(
            f"{printable(field, _SHOWN)}: {quoted(value, _SHOWN)} cannot be used; {expected}"
        )
        self.field = field
        """Name of the setting, dotted: `budget.epochs`."""
        self.value = value
        """The value that was given."""
        self.expected = expected
        """What would be correct, in words."""

    def __reduce__(self) -> tuple[type[InputError], tuple[str, object, str]]:
        # An exception is pickled by its message alone, and could not leave a worker process.
        return InputError, (self.field, self.value, self.expected)

    def under(self, prefix: str) -> InputError:
        """Return the same error with a prefix before its field: `prefix.field`."""
        return InputError(f"{prefix}.{self.field}", self.value, self.expected)


class MissingExtraError(HpoBenchError):
    """An optional dependency of a feature is not installed.

    Args:
        feature: Name of the feature.
        extra: The extra of hpo-bench that installs the dependency.
        missing: The missing package.
    """

    def __init__(self, feature: str, extra: str, missing: str | None) -> None:
        super().__init__(
            f"{feature} needs the package {missing!r}, which is not installed: "
            f"pip install 'hpo-bench[{extra}]'"
        )
        self._arguments = (feature, extra, missing)

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str | None]]:
        return MissingExtraError, self._arguments


class ProgramError(HpoBenchError):
    """A program that an objective has started failed.

    Args:
        reason: The reason in one line, which is the error's text.
        output: The last lines that the program printed.
    """

    def __init__(self, reason: str, output: str = "") -> None:
        super().__init__(reason)
        self.output = output


@contextmanager
def needing(extra: str, feature: str) -> Iterator[None]:
    """Turn a failed import in the block into an error that names the extra to install.

    Args:
        extra: The extra of hpo-bench that installs the package.
        feature: Name of the feature that needs it.

    Raises:
        MissingExtraError: The package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(feature, extra, error.name) from None


def one_of(value: str, allowed: Iterable[str]) -> str:
    """Return the end of an `InputError` about a name: the nearest name, and all allowed ones.

    Args:
        value: The name that was given.
        allowed: The allowed names; at most 1,000 are listed.
    """
    names = sorted(allowed)
    close = get_close_matches(value[:_SHOWN], names[:_COMPARED], n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    listed = printable(", ".join(names[:_COMPARED]))
    return f"{hint}allowed: {listed if names else '(none)'}"


REASON_LENGTH = 1_000
"""Most characters of a recorded reason; of a longer text, the beginning and the end are kept."""


def reason_of(error: BaseException) -> str:
    """Return the text of an exception, with its class unless it is an `HpoBenchError`.

    The text has at most about `REASON_LENGTH` characters, holds no password, and can be stored in
    every database. The function never raises, whatever the exception's own `str` does.
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
    """Escape what databases and files refuse (NUL, lone surrogates), and hide passwords."""
    text = text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
    return without_passwords(text)
