"""The file of a SQLite storage: its path, and whether it is still the file that was opened."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import sqlalchemy
from sqlalchemy import event

from hpo_bench.storage.outages import OutageError


class GoneError(OutageError):
    """The file was deleted, renamed or replaced while it was open."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            f"{file} is not there any more, or is another file by now: it was deleted, renamed or "
            "replaced while runs were written to it. What was recorded is in the old file; once "
            "that is back in its place, the same command goes on"
        )


def file_of(url: sqlalchemy.URL) -> Path:
    """Return the path in a SQLite URL, whether it holds a plain path or a `file:` URI."""
    name = url.database or ""
    return Path(unquote(urlsplit(name).path) if name.startswith("file:") else name)


def at(url: sqlalchemy.URL, file: Path) -> sqlalchemy.URL:
    """Return a copy of a SQLite URL with another path."""
    is_uri = (url.database or "").startswith("file:")
    return url.set(database=f"file:{quote(str(file))}" if is_uri else str(file))


def without_creating(url: sqlalchemy.URL) -> sqlalchemy.URL:
    """Return a copy of a SQLite URL whose connections fail if the file does not exist."""
    # SQLite's default mode, rwc, would create an empty file.
    mode = str(url.query.get("mode", "rw"))
    uri = url.set(database=f"file:{quote(str(file_of(url).absolute()))}")
    return uri.update_query_dict({"uri": "true", "mode": "rw" if mode == "rwc" else mode})


def keep_to(engine: sqlalchemy.Engine, file: Path) -> None:
    """Make an engine fail as soon as the file at its path is not the file that it opened.

    Raises:
        GoneError: The file does not exist. Later, every commit and every error of the engine
            raises it if the file was deleted, renamed or replaced.
    """
    # POSIX keeps a deleted file alive for those who have it open: SQLite would go on writing to a
    # file that nobody can find, without an error.
    opened = _identity(file)
    if opened is None:
        raise GoneError(file)

    @event.listens_for(engine, "commit")
    def _on_commit(_connection: sqlalchemy.Connection) -> None:
        if _identity(file) != opened:
            raise GoneError(file)

    @event.listens_for(engine, "handle_error")
    def _on_error(context: sqlalchemy.engine.ExceptionContext) -> None:
        if _identity(file) != opened:
            raise GoneError(file) from context.original_exception


def _identity(file: Path) -> tuple[int, int] | None:
    """Return a file's device and inode; None if it cannot be read."""
    try:
        found = os.stat(file)  # noqa: PTH116  # faster than Path.stat, and called per transaction
    except OSError:
        return None
    return found.st_dev, found.st_ino
