"""Waiting for a storage that does not answer, and for room on a disk.

A call that fails so is made again, the same call, until it succeeds or patience ends. Its first
try may have been carried out all the same, and its answer lost on the way: that a repeated call
changes nothing twice is seen to in `rdb`.
"""

from __future__ import annotations

import errno
import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import TypeVar
from weakref import WeakSet

import sqlalchemy
from sqlalchemy import exc

from hpo_bench.errors import HpoBenchError

logger = logging.getLogger(__name__)

PATIENCE = 300.0
"""Seconds: a database server is restarted, or its machine, in less."""

SILENCE = 30.0
"""Seconds after which it is told that a call has no answer, neither a result nor an error: as from
a server that hangs with its connections open."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

_OF_SQLITE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN")

_OF_POSTGRESQL = (
    "08",  # the connection
    "25P03",  # a transaction that was idle for too long
    "25P04",  # a transaction that took too long
    "40",  # a transaction that others were in the way of
    "53",  # resources: disk, memory, connections
    "55P03",  # a lock that was not to be had
    "57014",  # a statement that took too long, behind a lock for example
    "57P",  # a server that stops or starts
    "58030",  # a disk that cannot be read or written
)
"""Beginnings of the SQLSTATEs that pass (PostgreSQL's manual, appendix A)."""

_READ_ONLY = "25006"
"""SQLSTATE of a server that does not write: a standby before it is promoted, or a primary after
it has been replaced."""

# No connection was to be had; Optuna went on after one was lost.
_WITHOUT_ANSWER = exc.TimeoutError | exc.PendingRollbackError

_Result = TypeVar("_Result")


class OutageError(HpoBenchError):
    """Patience has ended: whoever tries now would have to wait as long."""


class Patience:
    """How long calls wait for one place.

    Args:
        place: As it may be shown.
        seconds: How long an outage may last; 0 to wait for nothing.
        complaint: What is the matter with it then.
    """

    def __init__(
        self, place: str, seconds: float, complaint: str = "the storage does not answer"
    ) -> None:
        self._place = place
        self._seconds = seconds
        self._complaint = complaint
        self.waited = 0.0
        """Seconds that were waited so far, from the beginning of each call that failed."""
        self._under_way: float | None = None
        """Since when a call has no answer, by the monotonic clock."""
        _watch(self)

    def complain(self, silence: float) -> None:
        """Say, once, that the call under way has had no answer for so many seconds.

        There is no error to go on from, so all that can be done is to wait for it.
        """
        since = self._under_way
        if since is not None and time.monotonic() - since > silence:
            self._under_way = None
            logger.warning(
                "%s, with its connection open, for %g s now: waiting until it does (%s)",
                *(self._complaint, silence, self._place),
            )

    def call(self, call: Callable[[], _Result]) -> _Result:
        """Make a call, again and again while the storage does not answer.

        Raises:
            OutageError: It does not for too long.
        """
        began = time.monotonic()
        try:
            return self._try(call)
        except Exception as error:
            reason = outage(error)
            if reason is None or not self._seconds:
                raise
        logger.warning("%s (%s): waiting up to %g s", self._complaint, reason, self._seconds)
        try:
            result = self._repeat(call, until=time.monotonic() + self._seconds)
        finally:
            self.waited += time.monotonic() - began
        logger.warning("it was %.1f s until that was over: going on", time.monotonic() - began)
        return result

    def _try(self, call: Callable[[], _Result]) -> _Result:
        self._under_way = time.monotonic()
        try:
            return call()
        finally:
            self._under_way = None

    def _repeat(self, call: Callable[[], _Result], until: float) -> _Result:
        pause = _FIRST_PAUSE
        while True:
            # Not all at once, when a server comes back that has kept many waiting.
            time.sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, _LONGEST_PAUSE)
            try:
                return self._try(call)
            except Exception as error:
                reason = outage(error)
                if reason is None:
                    raise
                if time.monotonic() > until:
                    raise OutageError(
                        f"{self._complaint}, for {self._seconds:g} s now ({reason}): "
                        f"{self._place}; what was recorded is safe, and once this is put right, "
                        "the same command goes on"
                    ) from error


_watched: WeakSet[Patience] = WeakSet()
_watching = threading.Lock()


def _watch(patience: Patience) -> None:
    """Let the one watching thread of this process look after its calls, too."""
    with _watching:
        _watched.add(patience)
        _start_watching()


@cache
def _start_watching() -> None:
    threading.Thread(target=_look_after_all, name="storage-silence", daemon=True).start()


def _look_after_all() -> None:
    while True:
        time.sleep(SILENCE / 10)
        with _watching:
            every = list(_watched)
        for patience in every:
            patience.complain(SILENCE)


def outage(error: BaseException | None) -> str | None:
    """Why there was no answer or no room, in one line; None if the fault is another."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return error.strerror
    while error is not None and not isinstance(error, exc.DBAPIError | _WITHOUT_ANSWER):
        error = error.__cause__
    if isinstance(error, exc.TimeoutError):
        return "no connection is free"
    if isinstance(error, exc.PendingRollbackError):
        return "the connection was lost"
    if error is None or not _is_passing(error):
        return None
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__


def _is_passing(error: exc.DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.Error):  # one without a name is of what the file holds
        return str(getattr(error.orig, "sqlite_errorname", "")).startswith(_OF_SQLITE)
    # The code alone decides: the same one comes as different classes out of different drivers.
    if (code := _sqlstate(error.orig)) is not None:
        return code.startswith((*_OF_POSTGRESQL, _READ_ONLY))
    # A client that has no connection at all gives no code.
    return isinstance(error, exc.OperationalError | exc.InterfaceError)


def _sqlstate(error: BaseException | None) -> str | None:
    """The code that PostgreSQL gave, by psycopg or by psycopg2."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def leave_read_only_servers(engine: sqlalchemy.Engine) -> None:
    """Have an engine give up its connections where the server does not write.

    A connection stays with the server, and with the settings, that it was opened with: the
    address may lead to another server by now, or the settings may have changed.
    """

    @sqlalchemy.event.listens_for(engine, "handle_error")
    def _on_error(context: sqlalchemy.engine.ExceptionContext) -> None:
        if _sqlstate(context.original_exception) == _READ_ONLY:
            context.is_disconnect = True
