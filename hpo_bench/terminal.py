"""What is printed with: whatever others have written shows as it stands, and does nothing."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from rich.console import Console
from rich.text import Text

from hpo_bench.text import printable, without_passwords

UNBOUNDED = 10_000
"""Characters in a line where nobody has set a width."""


class PlainConsole(Console):
    """A console for which every string is text: no markup, no emoji codes, no control characters.

    Args:
        stderr: Whether it prints on the standard error instead of the standard output.
        file: Where it prints instead of these.
    """

    def __init__(self, *, stderr: bool = False, file: IO[str] | None = None) -> None:
        # A pipe has no width: nothing is folded there, and no column of a table left out.
        stream = file or (sys.stderr if stderr else sys.stdout)
        is_terminal = stream is not None and stream.isatty()
        is_bounded = is_terminal or os.environ.get("COLUMNS", "").isdigit()
        width = None if is_bounded else UNBOUNDED
        super().__init__(
            stderr=stderr,
            file=file,
            force_jupyter=None if file is None else False,
            force_terminal=None if file is None else False,  # a notebook's kernel asks for colours
            width=width,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def render_str(self, text: str, **options: Any) -> Text:
        """Make text of a string; also of a table's cells, its headings and its title."""
        plain = {"markup": False, "emoji": False, "highlight": False}
        return super().render_str(printable(text, None, lines=True), **{**options, **plain})

    def say(self, text: str, style: str | None = None) -> None:
        """Print a message; folded on a terminal alone, so that a file can be searched."""
        self.print(text, style=style, soft_wrap=not self.is_terminal)


LOADING_SECONDS = 1.0
"""What takes longer is told."""

_LIBRARIES = {
    "torch": "PyTorch",
    "hpbandster": "HpBandSter",
    "ray": "Ray",
    "scipy": "SciPy",
    "sqlalchemy": "SQLAlchemy",
    "optuna": "Optuna",
}
"""Those that take long to import, the longest first."""


@contextmanager
def telling(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Say on the standard error what is waited for inside, once it has taken a while.

    Args:
        what: "reading the suite"; where a library is being imported, that is said instead.
        quiet: Say nothing.
    """

    def tell() -> None:
        PlainConsole(stderr=True).say(_library_under_way() or what, "yellow")

    waiting = threading.Timer(LOADING_SECONDS, tell)
    waiting.daemon = True
    if not quiet:
        waiting.start()
    try:
        yield
    finally:
        waiting.cancel()


def _library_under_way() -> str | None:
    for name, title in _LIBRARIES.items():
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if getattr(spec, "_initializing", False):  # importlib's own mark
            return f"loading {title}"
    return None


class _PlainFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(without_passwords(super().format(record)), lines=True)


_format_warning = warnings.formatwarning


def _plain_warning(*arguments: Any, **options: Any) -> str:
    return printable(without_passwords(_format_warning(*arguments, **options)), lines=True)


def log_plainly() -> None:
    """Let log records and warnings show the text of others as it stands.

    Who has set up logging before is left with that.
    """
    warnings.formatwarning = _plain_warning
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_PlainFormatter())


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Let Optuna say warnings alone inside: it tells of every study that is made."""
    import optuna  # which takes a quarter of a second

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def show_optuna_plainly() -> None:
    """Let Optuna say warnings alone, in the same way."""
    import optuna  # which takes a quarter of a second

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
