"""The storage at a URL: opened, timed, and waited for.

Optuna's private names (a trial's id, the table of a storage's methods) are used in this package
and in `running.instant`, nowhere else in hpo_bench.
"""

from __future__ import annotations

import copy
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, cast
from weakref import WeakSet

import sqlalchemy
from optuna.storages import BaseStorage, InMemoryStorage, get_storage

from hpo_bench.errors import HpoBenchError, InputError
from hpo_bench.storage.files import GoneError, at, file_of, keep_to, without_creating
from hpo_bench.storage.held import HeldStudy, can_hold
from hpo_bench.storage.mounts import network_type
from hpo_bench.storage.outages import PATIENCE, Patience, leave_read_only_servers
from hpo_bench.storage.rdb import BulkStorage
from hpo_bench.text import without_passwords

BUSY_TIMEOUT = 60
"""Seconds that a writer waits for SQLite's lock: far beyond the longest queue that was seen."""

_LOG_PAGES = 100
"""Pages of 4 kB that SQLite's write-ahead log may grow by before they are moved into the file: an
evaluation writes some 30. With SQLite's own 1,000 the file itself held nothing of a short run."""

_LIBPQ = {
    "application_name": "hpo-bench",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""What a PostgreSQL connection is opened with: one that is cut without a word is noticed in less
than a minute (the last in ms, the others in s)."""

_MAKERS = 20
"""Tries to open a new database while others make its tables, of which there are a dozen."""

_COMPATIBLE: set[str] = set()
"""URLs whose tables this process has seen to be of Optuna's version: looking takes longer than a
short run."""


class MeteredStorage(BaseStorage):
    """An Optuna storage that adds up the time spent in it, and waits where it does not answer."""

    seconds: float
    """Time spent inside the storage since it was opened, in seconds, outages apart."""
    patience: Patience
    """How outages are waited for, and how long they have lasted."""

    def timed(self, call: Callable[[], Any]) -> Any:
        """Make a call to what is behind, wait where it does not answer, and add up its time."""
        started, waited = time.perf_counter(), self.patience.waited
        try:
            return self.patience.call(call)
        finally:
            elapsed = time.perf_counter() - started
            self.seconds += max(0.0, elapsed - (self.patience.waited - waited))


def _metered(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self.timed(partial(getattr(self.inner, name), *args, **kwargs))

    method.__name__ = name
    return method


_METHODS = {
    name: _metered(name)
    for name, member in vars(BaseStorage).items()
    if callable(member) and not name.startswith("_")
}
_Metered = type("_Metered", (MeteredStorage,), _METHODS)


def open_storage(
    url: str, *, patience: float = PATIENCE, wait: bool = False, create: bool = True
) -> MeteredStorage:
    """Open (and on first use create) the storage at a SQLAlchemy URL.

    Args:
        url: Where it is.
        patience: Seconds that a later call waits while it does not answer.
        wait: Wait for it now, too: it has answered before, and is only away.
        create: Make the file and the tables on first use. Without it they must be there, and must
            stay there: a transaction after they are gone is refused.

    Raises:
        InputError: The URL is malformed, nothing that can be used answers there, or it is a
            SQLite file on a network file system.
        OutageError: It was waited for in vain, or the SQLite file is gone.
    """
    file = sqlite_file(url)
    if file is not None and (kind := network_type(file)) is not None:
        raise InputError(
            "storage",
            url,
            f"it lies on a network file system ({kind}), where SQLite's locks do not hold and its "
            "files come to harm; expected a local directory, or a server: "
            "postgresql+psycopg://user@host/database",
        )
    if not create and file is not None and not file.exists():
        raise GoneError(file)
    storage = _opened(url, patience, wait=wait, create=create)
    backend = backend_of(storage)
    if file is not None and backend is not None:
        _tune_sqlite(backend.engine)
        if not create:
            keep_to(backend.engine, file)
    return storage


def _opened(url: str, patience: float, *, wait: bool, create: bool = True) -> MeteredStorage:
    waiting = Patience(shown(url), patience)
    open_now = partial(_open, url, create=create)
    try:
        backend = waiting.call(open_now) if wait else open_now()
    except HpoBenchError:
        raise
    except Exception as error:
        raise InputError("storage", shown(url), _why(error)) from error
    _COMPATIBLE.add(url)
    return metered(get_storage(backend), waiting)


def _open(url: str, *, create: bool) -> BulkStorage:
    parsed = _parse(url)
    options = _engine_options(parsed)
    if not create and parsed.get_backend_name() == "sqlite":
        parsed = without_creating(parsed)
    full_url = parsed.render_as_string(hide_password=False)
    tries = 0
    while True:
        try:
            backend = BulkStorage(
                full_url,
                engine_kwargs=options,
                skip_compatibility_check=url in _COMPATIBLE,
                skip_table_creation=not create,
            )
            leave_read_only_servers(backend.engine)
            _engines.add(backend.engine)
            return backend
        except sqlalchemy.exc.DBAPIError as error:
            # Others that open a new database may make a table between our look and our try.
            is_race = isinstance(error, sqlalchemy.exc.IntegrityError) or "exists" in str(error)
            tries += 1
            if not is_race or tries > _MAKERS:
                raise


_engines: WeakSet[sqlalchemy.Engine] = WeakSet()


def _leave_connections_to_the_parent() -> None:
    for engine in _engines:
        engine.dispose(close=False)


# A connection that two processes use comes to harm, and with it a database: whoever forks, an
# objective or a library, gives its child connections of its own.
os.register_at_fork(after_in_child=_leave_connections_to_the_parent)


def _engine_options(url: sqlalchemy.URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": BUSY_TIMEOUT}}
    if url.get_driver_name() not in ("psycopg", "psycopg2"):
        return {"pool_pre_ping": True}
    given = {name: value for name, value in _LIBPQ.items() if name not in url.query}
    # One connection is kept, others are closed after use: a server has a hundred, for all workers.
    return {"pool_pre_ping": True, "pool_size": 1, "connect_args": given}


def metered(inner: BaseStorage, patience: Patience) -> MeteredStorage:
    """Add up the time spent in a storage from now on, and wait for it as is said."""
    storage = cast(Any, _Metered())
    storage.inner = inner
    storage.seconds = 0.0
    storage.patience = patience
    return cast(MeteredStorage, storage)


def backend_of(storage: BaseStorage) -> BulkStorage | None:
    """What is behind a storage that `open_storage` opened; None behind any other."""
    backend = getattr(getattr(storage, "inner", None), "_backend", None)
    return backend if isinstance(backend, BulkStorage) else None


def hold(storage: BaseStorage, study_id: int) -> None:
    """Keep a study in memory from now on, as only this process writes to it.

    Only `open_storage`'s, on a database that can insert or change a row in one statement.
    """
    backend = backend_of(storage)
    if isinstance(storage, MeteredStorage) and backend is not None and can_hold(backend):
        # Of the finished ones, the storage so far has a cache: they are not read again.
        trials = storage.get_all_trials(study_id, deepcopy=False)
        cast(Any, storage).inner = HeldStudy(backend, study_id, trials)


class _InMemory(InMemoryStorage, MeteredStorage):
    """Optuna's storage in memory: what it takes is too little to be told apart."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.patience = Patience("in memory", 0.0)

    def set_trial_user_attrs(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Set several attributes of a trial, with one copy of it."""
        trial = copy.copy(self.get_trial(trial_id))
        self.check_trial_is_updatable(trial_id, trial.state)
        trial.user_attrs = {**trial.user_attrs, **attributes}
        self._set_trial(trial_id, trial)


def in_memory() -> MeteredStorage:
    """Make a storage that lasts as long as this process needs it."""
    return _InMemory()


def set_user_attrs(storage: BaseStorage, trial_id: int, attributes: Mapping[str, Any]) -> None:
    """Write attributes of a trial: all or none of them, where its study is held."""
    held = getattr(storage, "inner", None)
    if isinstance(storage, _InMemory):
        storage.set_trial_user_attrs(trial_id, attributes)
    elif isinstance(storage, MeteredStorage) and isinstance(held, HeldStudy):
        storage.timed(partial(held.set_trial_user_attrs, trial_id, attributes))
    else:
        for name, value in attributes.items():
            storage.set_trial_user_attr(trial_id, name, value)


def write_out(storage: BaseStorage) -> None:
    """Write what a study that is held has not written yet: no crash takes it back then."""
    held = getattr(storage, "inner", None)
    if isinstance(storage, MeteredStorage) and isinstance(held, HeldStudy):
        storage.timed(held.write_out)


def close(storage: BaseStorage) -> None:
    """Close the connections of a storage that nobody needs for now; a later call opens others."""
    backend = backend_of(storage)
    if backend is not None:
        backend.engine.dispose()


def shown(url: str) -> str:
    """A storage's URL as it may be printed: without its passwords."""
    return without_passwords(_parse(url).render_as_string(hide_password=True))


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite storage; None for a server."""
    parsed = _parse(url)
    return file_of(parsed) if parsed.get_backend_name() == "sqlite" else None


def anchored(url: str) -> str:
    """Give a URL that means the same from any working directory.

    What is no URL, or one that cannot be used, is given back: whoever opens it says why.
    """
    try:
        file = sqlite_file(url)
    except InputError:
        return url
    if file is None or file.is_absolute():
        return url
    return at(_parse(url), file.absolute()).render_as_string(hide_password=False)


def _parse(url: str) -> sqlalchemy.URL:
    expected = "expected a URL like sqlite:///hpo-bench.db or postgresql+psycopg://user@host/name"
    try:
        parsed = sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        # Not shown: it may hold a password that only a good URL would let us hide.
        raise InputError("storage", "(the URL that was given)", expected) from None
    in_memory = parsed.database in (None, "", ":memory:") or "mode=memory" in url
    if parsed.get_backend_name() == "sqlite" and in_memory:
        raise InputError("storage", url, "workers cannot share a database in memory; name a file")
    return parsed


def move_log_into_file(engine: sqlalchemy.Engine) -> None:
    """Have a SQLite file hold what only its write-ahead log holds so far; nobody is kept waiting.

    What others still read or write stays in the log until the next time.
    """
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")


def _tune_sqlite(engine: sqlalchemy.Engine) -> None:
    # Write-ahead logging triples the throughput of several writers, and readers never wait;
    # with it, NORMAL loses nothing when a process dies (only, at worst, the last commits when
    # the machine loses power).
    @sqlalchemy.event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")

    engine.dispose()


def _why(error: BaseException) -> str:
    """What is behind an error of Optuna's or SQLAlchemy's, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, ModuleNotFoundError):
        return f"its driver {error.name!r} is not installed (PostgreSQL: 'hpo-bench[postgres]')"
    if "unable to open database file" in text:
        return "its directory does not exist or cannot be written"
    return f"it cannot be opened: {text}"


def open_existing(url: str, *, patience: float = PATIENCE, wait: bool = False) -> MeteredStorage:
    """Open a storage to read from, wherever it lies; as `open_storage`, but never creates one.

    A SQLite file keeps the journal that it has.

    Raises:
        InputError: As `open_storage`, or a SQLite file that is not there or holds no studies.
    """
    file = sqlite_file(url)
    if file is not None:
        if not file.exists():
            raise InputError("storage", url, "there is no such file; has a suite been run here?")
        try:
            with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as read:
                has_studies = read.execute(
                    "SELECT 1 FROM sqlite_master WHERE name = 'studies'"
                ).fetchone()
        except sqlite3.DatabaseError as error:
            raise InputError("storage", url, _why(error)) from error
        if not has_studies:
            raise InputError("storage", url, "this database holds no studies of Optuna")
    return _opened(url, patience, wait=wait)
