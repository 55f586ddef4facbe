"""The file of a SQLite storage: where it is, and whether it still is the one that was opened."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import sqlalchemy
from sqlalchemy import event

from hpo_bench.storage.outages import OutageError


class GoneError(OutageError):
    """The file was deleted, renamed or replaced: nothing can be read or written there any more."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            f"{file} is not there any more, or is another file by now: it was deleted, renamed or "
            "replaced while runs were written to it. What was recorded is in the old file; once "
            "that is back in its place, the same command goes on"
        )


def file_of(url: sqlalchemy.URL) -> Path:
    """Give the path in a URL of SQLite, also of one that holds a URI of SQLite's own."""
    name = url.database or ""
    return Path(unquote(urlsplit(name).path) if name.startswith("file:") else name)


def at(url: sqlalchemy.URL, file: Path) -> sqlalchemy.URL:
    """Put another path into a URL of SQLite."""
    is_uri = (url.database or "").startswith("file:")
    return url.set(database=f"file:{quote(str(file))}" if is_uri else str(file))


def without_creating(url: sqlalchemy.URL) -> sqlalchemy.URL:
    """Let connections fail where there is no such file: SQLite would make an empty one."""
    mode = str(url.query.get("mode", "rw"))
    uri = url.set(database=f"file:{quote(str(file_of(url).absolute()))}")
    return uri.update_query_dict({"uri": "true", "mode": "rw" if mode == "rwc" else mode})


def keep_to(engine: sqlalchemy.Engine, file: Path) -> None:
    """Let an engine read and commit only while its file is the one that is there now.

    Who has a file open goes on writing to it after it was deleted, and nobody ever sees that.

    Raises:
        GoneError: There is no such file; later also out of every transaction.
    """
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
    try:
        found = os.stat(file)  # noqa: PTH116  # the fast way: this is asked for every transaction
    except OSError:
        return None
    return found.st_dev, found.st_ino
