"""Open the storage at a URL, measure the time spent in it, and wait during its outages.

Within hpo_bench, only this package and `running.instant` use private names of Optuna (a trial's id,
the methods of a storage).
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
"""Seconds for which a writer waits for SQLite's lock, far longer than any measured queue."""

_LOG_PAGES = 100
"""Pages (4 kB each) after which SQLite moves its write-ahead log into the file. One evaluation
writes about 30 pages. With SQLite's default of 1,000 pages, a copy of the file alone held nothing
of a killed run of 20 trials. 100 pages cost no measurable time."""

_LIBPQ = {
    "application_name": "hpo-bench",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""libpq's settings of a PostgreSQL connection. A silent loss of the connection is noticed within
30 s. Times are in seconds, except `tcp_user_timeout`, which is in milliseconds."""

_MAKERS = 20
"""Most tries to open a new database while other processes create its dozen tables: each of these
tables can make one try fail."""

_COMPATIBLE: set[str] = set()
"""URLs whose tables this process has already found compatible with this version of Optuna: the
check loads alembic's migrations, which takes longer than a short run."""


class MeteredStorage(BaseStorage):
    """An Optuna storage that measures the time spent in it, and waits during its outages."""

    seconds: float
    """Time spent in the storage since it was opened, in seconds, without outages."""
    patience: Patience
    """The rule for waiting during outages, and the total time waited."""

    def timed(self, call: Callable[[], Any]) -> Any:
        """Call the storage, repeat the call during an outage, and add its time to `seconds`.

        Raises:
            OutageError: The outage lasts longer than `patience` allows.
        """
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
    """Open the storage at a SQLAlchemy URL, and create it on first use.

    Args:
        url: A SQLAlchemy URL, such as `sqlite:///hpo-bench.db`.
        patience: Seconds for which a later call waits during an outage.
        wait: Wait during an outage now, too: for a storage that has answered before.
        create: Create the file and the tables if they do not exist. If False, they must exist and
            remain: later transactions fail if the file is deleted or replaced.

    Raises:
        InputError: The URL is malformed, the storage cannot be opened, or it is a SQLite file on a
            network file system.
        OutageError: The outage was longer than `patience`, or the SQLite file does not exist.
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
            # Another process may create a table after Optuna looked for it and before Optuna
            # creates it: try again.
            is_race = isinstance(error, sqlalchemy.exc.IntegrityError) or "exists" in str(error)
            tries += 1
            if not is_race or tries > _MAKERS:
                raise


_engines: WeakSet[sqlalchemy.Engine] = WeakSet()


def _leave_connections_to_the_parent() -> None:
    for engine in _engines:
        engine.dispose(close=False)


# Two processes that use one connection damage the database. An objective or a library may fork: the
# child opens new connections, and leaves the parent's open.
os.register_at_fork(after_in_child=_leave_connections_to_the_parent)


def _engine_options(url: sqlalchemy.URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": BUSY_TIMEOUT}}
    if url.get_driver_name() not in ("psycopg", "psycopg2"):
        return {"pool_pre_ping": True}
    # Settings in the URL take precedence over ours.
    given = {name: value for name, value in _LIBPQ.items() if name not in url.query}
    # A server has about 100 connections for all workers: keep one, and close others after use.
    return {"pool_pre_ping": True, "pool_size": 1, "connect_args": given}


def metered(inner: BaseStorage, patience: Patience) -> MeteredStorage:
    """Wrap a storage so that its calls are timed, and repeated during outages."""
    storage = cast(Any, _Metered())
    storage.inner = inner
    storage.seconds = 0.0
    storage.patience = patience
    return cast(MeteredStorage, storage)


def backend_of(storage: BaseStorage) -> BulkStorage | None:
    """Return the database backend of a storage from `open_storage`; None for any other storage."""
    backend = getattr(getattr(storage, "inner", None), "_backend", None)
    return backend if isinstance(backend, BulkStorage) else None


def hold(storage: BaseStorage, study_id: int) -> None:
    """Keep a study in memory from now on, because only this process writes to it.

    Args:
        storage: The storage. Nothing changes unless it comes from `open_storage` and its database
            can insert or update a row in one statement (SQLite, PostgreSQL).
        study_id: Optuna's id of the study.
    """
    backend = backend_of(storage)
    if isinstance(storage, MeteredStorage) and backend is not None and can_hold(backend):
        # The storage so far caches finished trials, so this does not read them again.
        trials = storage.get_all_trials(study_id, deepcopy=False)
        cast(Any, storage).inner = HeldStudy(backend, study_id, trials)


class _InMemory(InMemoryStorage, MeteredStorage):
    """Optuna's storage in memory, which counts as taking no time."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.patience = Patience("in memory", 0.0)

    def set_trial_user_attrs(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Set several user attributes of a trial, and copy the trial only once."""
        trial = copy.copy(self.get_trial(trial_id))
        self.check_trial_is_updatable(trial_id, trial.state)
        trial.user_attrs = {**trial.user_attrs, **attributes}
        self._set_trial(trial_id, trial)


def in_memory() -> MeteredStorage:
    """Return a new storage in the memory of this process, with the interface of the others."""
    return _InMemory()


def set_user_attrs(storage: BaseStorage, trial_id: int, attributes: Mapping[str, Any]) -> None:
    """Write user attributes of a trial.

    The write is one transaction if the trial's study is held in memory (see `hold`); a crash then
    leaves all of the attributes or none.
    """
    held = getattr(storage, "inner", None)
    if isinstance(storage, _InMemory):
        storage.set_trial_user_attrs(trial_id, attributes)
    elif isinstance(storage, MeteredStorage) and isinstance(held, HeldStudy):
        storage.timed(partial(held.set_trial_user_attrs, trial_id, attributes))
    else:
        for name, value in attributes.items():
            storage.set_trial_user_attr(trial_id, name, value)


def write_out(storage: BaseStorage) -> None:
    """Write all pending rows of a held study to the database; else do nothing."""
    held = getattr(storage, "inner", None)
    if isinstance(storage, MeteredStorage) and isinstance(held, HeldStudy):
        storage.timed(held.write_out)


def close(storage: BaseStorage) -> None:
    """Close the connections of a storage; a later call opens new ones."""
    backend = backend_of(storage)
    if backend is not None:
        backend.engine.dispose()


def shown(url: str) -> str:
    """Return a storage's URL for printing, without its passwords."""
    return without_passwords(_parse(url).render_as_string(hide_password=True))


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite storage; None for a server."""
    parsed = _parse(url)
    return file_of(parsed) if parsed.get_backend_name() == "sqlite" else None


def anchored(url: str) -> str:
    """Return an equivalent URL that does not depend on the working directory.

    An unusable URL is returned unchanged: opening it later raises the error.
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
    """Move SQLite's write-ahead log into the database file, without blocking anybody.

    Pages that other connections still read or write stay in the log. Other databases are left
    alone.
    """
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")


def _tune_sqlite(engine: sqlalchemy.Engine) -> None:
    # Write-ahead logging triples the throughput of several writers, and readers never wait. With
    # it, synchronous=NORMAL loses nothing if a process dies; a power cut can lose the last commits.
    @sqlalchemy.event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")

    # The pool may hold a connection without these settings: only new connections get them.
    engine.dispose()


def _why(error: BaseException) -> str:
    """Return the root cause of an error of Optuna or SQLAlchemy, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, ModuleNotFoundError):
        return f"its driver {error.name!r} is not installed (PostgreSQL: 'hpo-bench[postgres]')"
    if "unable to open database file" in text:
        return "its directory does not exist or cannot be written"
    return f"it cannot be opened: {text}"


def open_existing(url: str, *, patience: float = PATIENCE, wait: bool = False) -> MeteredStorage:
    """Open an existing storage for reading, also on a network file system.

    Unlike `open_storage`, it never creates a file, and leaves the journal mode of a SQLite file
    unchanged.

    Args:
        url: A SQLAlchemy URL.
        patience: Seconds for which a later call waits during an outage.
        wait: Wait during an outage now, too.

    Raises:
        InputError: The URL is malformed, the storage cannot be opened, or the SQLite file does not
            exist or holds no studies.
        OutageError: The outage was longer than `patience`.
    """
    file = sqlite_file(url)
    if file is not None:
        if not file.exists():
            raise InputError("storage", url, "there is no such file; has a suite been run here?")
        # By sqlite3 and read-only, because Optuna would create its tables in a database that has
        # none.
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
