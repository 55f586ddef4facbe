"""Wait for a storage that does not answer, and for room on a disk.

A call that fails because of an outage is repeated until it succeeds or patience ends. The first try
may have succeeded, with only its answer lost; `rdb` makes sure that a repeated call changes nothing
twice.
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
"""Default limit of one wait, in seconds: a database server or its machine restarts in less."""

SILENCE = 30.0
"""Seconds without a result or an error after which a call is reported as waiting: for example, the
server hangs and keeps its connections open."""

# Seconds between two tries: each pause is twice the last one, up to the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

_OF_SQLITE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN")

_OF_POSTGRESQL = (
    "08",  # the connection
    "25P03",  # a transaction that was idle for too long
    "25P04",  # a transaction that took too long
    "40",  # a transaction that conflicted with another one, such as a deadlock
    "53",  # resources: disk, memory, connections
    "55P03",  # a lock that was not available
    "57014",  # a statement that took too long, behind a lock for example
    "57P",  # a server that stops or starts
    "58030",  # a disk that cannot be read or written
)
"""Prefixes of the SQLSTATEs of temporary faults (PostgreSQL's manual, appendix A)."""

_READ_ONLY = "25006"
"""SQLSTATE of a read-only server: a standby before its promotion, or a replaced primary."""

# No connection was free; or Optuna went on in a session whose connection was lost.
_WITHOUT_ANSWER = exc.TimeoutError | exc.PendingRollbackError

_Result = TypeVar("_Result")


class OutageError(HpoBenchError):
    """The outage lasted longer than the patience with the storage."""


class Patience:
    """Repeats calls to one place during its outages, up to a limit.

    Args:
        place: Name of the place in messages, without passwords.
        seconds: Longest outage to wait for, in seconds; 0 means not to wait.
        complaint: What messages say about an outage.
    """

    def __init__(
        self, place: str, seconds: float, complaint: str = "the storage does not answer"
    ) -> None:
        self._place = place
        self._seconds = seconds
        self._complaint = complaint
        self.waited = 0.0
        """Total seconds waited, each wait counted from the beginning of the failed call."""
        self._under_way: float | None = None
        """Start of the call in progress, in seconds of the monotonic clock; None without one."""
        _watch(self)

    def complain(self, silence: float) -> None:
        """Warn once if the call in progress has had no answer for more than `silence` seconds.

        The call goes on: without an error there is nothing to repeat.
        """
        since = self._under_way
        if since is not None and time.monotonic() - since > silence:
            self._under_way = None
            logger.warning(
                "%s, with its connection open, for %g s now: waiting until it does (%s)",
                *(self._complaint, silence, self._place),
            )

    def call(self, call: Callable[[], _Result]) -> _Result:
        """Make a call, and repeat it during an outage.

        Returns:
            The result of the first call that succeeds.

        Raises:
            OutageError: The outage lasted longer than the limit.
            Exception: Any error of the call that is no outage.
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
            # Random pauses, so that waiting workers do not all call a restarted server at once.
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
    """Let this process's one watching thread report long silences of these calls, too."""
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
    """Return the reason of an outage in one line; None if an error is no outage."""
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
    if isinstance(error.orig, sqlite3.Error):  # without an error name, the file's content is bad
        return str(getattr(error.orig, "sqlite_errorname", "")).startswith(_OF_SQLITE)
    # The code alone decides, because drivers raise different classes for the same code: psycopg
    # raises a read-only server (25006) as InternalError.
    if (code := _sqlstate(error.orig)) is not None:
        return code.startswith((*_OF_POSTGRESQL, _READ_ONLY))
    # A client that has no connection at all gives no code.
    return isinstance(error, exc.OperationalError | exc.InterfaceError)


def _sqlstate(error: BaseException | None) -> str | None:
    """Return PostgreSQL's error code, from psycopg or psycopg2; None if there is none."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def leave_read_only_servers(engine: sqlalchemy.Engine) -> None:
    """Make an engine drop its connections to a server that is read-only.

    A connection keeps the server and the settings that it was opened with. A new connection to the
    same address may reach another server, or the same one with other settings.
    """

    @sqlalchemy.event.listens_for(engine, "handle_error")
    def _on_error(context: sqlalchemy.engine.ExceptionContext) -> None:
        if _sqlstate(context.original_exception) == _READ_ONLY:
            context.is_disconnect = True
