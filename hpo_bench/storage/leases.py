"""Leases: a lease lets one process at a time work on a run, so that many can share a suite.

A table beside Optuna's has a row for each run. It holds the process that works on the run, and the
time of its last sign of life (heartbeat) by the clock of the database; the clocks of the machines
do not matter. Another process may take over an expired lease. The former owner, which was frozen or
cut off, cannot write to the run any more: each transaction that writes checks, before its commit,
that the lease still has its token (a fencing token: Kleppmann 2017, "Designing Data-Intensive
Applications", chapter 8). A lease belongs to one process: a fork of its owner also knows the token,
but may not write.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import getnode, uuid4

import psutil
import sqlalchemy
from optuna.storages import BaseStorage
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Column, Connection, Engine, Float, Integer, String, Table, event, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from hpo_bench.errors import HpoBenchError
from hpo_bench.storage.files import GoneError
from hpo_bench.storage.opening import MeteredStorage, backend_of, move_log_into_file
from hpo_bench.storage.rows import reading

logger = logging.getLogger(__name__)

_BEATS = 6
"""Signs of life per duration of a lease: the owner loses the lease after this many failures."""

_STUCK_SECONDS = 5.0
"""Seconds for which the end of a run waits for a sign of life in progress."""

_LEASES = Table(
    "hpo_bench_leases",
    sqlalchemy.MetaData(),
    Column("study_name", String(512), primary_key=True),
    Column("token", Integer, nullable=False),
    Column("owner", String(1024)),
    # Doubles: a 32-bit float of the seconds since 1970 has steps of 128 s.
    Column("beat", Float(53), nullable=False),
    Column("seconds", Float(53), nullable=False),
)
_COLUMNS = _LEASES.c
# One clock for all machines: the database's, in seconds since 1970.
_NOW = sqlalchemy.extract("epoch", sqlalchemy.func.current_timestamp())


@dataclass(frozen=True)
class Owner:
    """A process, identified among all processes of all machines at any time."""

    host: str
    """Name of the machine."""
    pid: int
    """Number of the process in its process namespace."""
    kernel: str
    """Id of the machine's boot and of the process namespace; empty if unknown."""
    started: str
    """Start time of the process in seconds, by its machine's clock; empty if unknown."""
    taking: str
    """A random id of this attempt to take a lease: one process may make several at once."""

    @classmethod
    def here(cls) -> Owner:
        """Describe this process, for a new attempt to take a lease."""
        pid = os.getpid()
        return cls(socket.gethostname(), pid, _kernel(), _started(pid) or "", uuid4().hex)

    def is_dead(self) -> bool:
        """Return whether the process is surely dead; False if it ran on another machine.

        Process numbers are used again, so a process of the same number with another start time
        counts as dead, too.
        """
        is_here = self.kernel != "" and self.kernel == _kernel()
        return is_here and self.started != "" and _started(self.pid) != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


_OWNER = TypeAdapter(Owner)


def _kernel() -> str:
    """Return the id of this machine's boot and process namespace; empty if unknown."""
    if psutil.MACOS:
        # macOS needs no id of the boot, because the start times of its processes are absolute.
        return f"{socket.gethostname()} {getnode():x}"
    try:
        # The namespace is a part of it, because each container numbers its processes anew.
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Return the start time of a process in seconds; None if it is dead or a zombie."""
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        # Linux counts a start time from the boot, and psutil adds the time of the boot. The
        # difference does not change if somebody sets the clock.
        since = psutil.boot_time() if psutil.LINUX else 0.0
        # Linux counts in ticks of 0.01 s: more decimals would only show errors of rounding.
        return f"{process.create_time() - since:.2f}"
    except (psutil.Error, OSError):
        return None


@dataclass(frozen=True)
class Lease:
    """One row of the lease table: the state of one run's lease."""

    token: int
    """Fencing token, from 1; it grows by one whenever a process takes the lease."""
    owner: Owner | None
    """The process that works on the run; None after it gave the lease back."""
    beat: float
    """Time of the owner's last sign of life: seconds since 1970, by the database's clock."""
    age: float
    """Seconds since the last sign of life; negative if the database's clock was set back."""
    seconds: float
    """Duration of the lease after a sign of life, in seconds."""

    @property
    def is_free(self) -> bool:
        """Whether a process may take the lease now."""
        # A sign of life in the future counts as old, too: else a lease would stay taken for hours
        # after the database's clock was set back by hours.
        return self.owner is None or abs(self.age) > self.seconds or self.owner.is_dead()


class TakenError(HpoBenchError):
    """Another process holds the lease of the run."""

    def __init__(self, study_name: str, lease: Lease) -> None:
        super().__init__(
            f"{study_name} is being worked on by {lease.owner} "
            f"(last sign of life {max(0.0, lease.age):.0f} s ago)"
        )


class LeaseLostError(HpoBenchError):
    """Another process has taken over the lease; the transaction in progress is not committed."""

    def __init__(self, study_name: str, why: str | None = None) -> None:
        taken_over = (
            "another process has taken this run over, after no sign of life from this one for too "
            "long; leaving it to that one"
        )
        super().__init__(f"{study_name}: {why or taken_over}")


@contextmanager
def holding(storage: MeteredStorage, study_name: str, seconds: float) -> Iterator[None]:
    """Hold the lease of a run: no other process works on it or writes to it meanwhile.

    A thread renews the lease `_BEATS` times per duration.

    Args:
        storage: A storage from `open_storage`; from now on it serves this run alone.
        study_name: Name of the run's study.
        seconds: Duration of the lease after a sign of life, in seconds.

    Raises:
        TakenError: Another process holds the lease.
        LeaseLostError: Another process has taken over the lease. Each later write to the storage
            raises it.
    """
    backend = backend_of(storage)
    assert backend is not None
    engine = backend.engine
    owner = Owner.here()
    token = storage.patience.call(lambda: _take(engine, study_name, owner, seconds))
    _fence(engine, study_name, token)
    _let_go_when_frozen(engine, seconds)
    ended = threading.Event()
    alive = threading.Thread(
        target=_give_signs_of_life,
        args=(engine, study_name, token, seconds / _BEATS, ended),
        name="lease",
        daemon=True,
    )
    alive.start()
    try:
        yield
    except LeaseLostError:
        raise
    except Exception as error:
        # The new owner changes the study, so any error may follow: it may have finished a trial
        # that this process goes on with.
        if _is_lost(engine, study_name, token):
            raise LeaseLostError(study_name) from error
        raise
    finally:
        ended.set()
        alive.join(_STUCK_SECONDS)
        with suppress(LeaseLostError, GoneError):
            _give_back(engine, study_name, token)


def leases(storage: BaseStorage) -> dict[str, Lease]:
    """Read all leases of a storage: study name -> lease; empty if it has no lease table yet."""
    backend = backend_of(storage)
    if backend is None or not sqlalchemy.inspect(backend.engine).has_table(_LEASES.name):
        return {}

    def read(connection: Connection) -> dict[str, Lease]:
        found = connection.execute(_query())
        return {name: _lease(row) for name, *row in found if isinstance(name, str)}

    return reading(backend.engine, read)


def _query() -> sqlalchemy.Select[Any]:
    age = (_NOW - _COLUMNS.beat).label("age")
    return select(
        _COLUMNS.study_name, _COLUMNS.token, _COLUMNS.owner, _COLUMNS.beat, age, _COLUMNS.seconds
    )


def _lease(row: list[Any]) -> Lease:
    token, owner, beat, age, seconds = row
    # Anything but a number counts as 0: a damaged row must not end the reading of all leases.
    told = [float(n) if isinstance(n, int | float) else 0.0 for n in (beat, age, seconds)]
    return Lease(token, None if owner is None else _owner(owner), *told)


def _owner(text: str) -> Owner:
    """Parse the owner of a lease; return an unknown owner if the text is not in our format."""
    try:
        return _OWNER.validate_json(text)
    except ValidationError:
        return Owner("a machine that is not known", 0, "", "", "")


def _create_table(engine: Engine) -> None:
    try:
        _LEASES.create(engine, checkfirst=True)
    except SQLAlchemyError:
        # Another process may have created the table after `checkfirst` looked for it.
        if not sqlalchemy.inspect(engine).has_table(_LEASES.name):
            raise


def _take(engine: Engine, study_name: str, owner: Owner, seconds: float) -> int:
    """Take a free lease and return its token.

    The call can be repeated: if an earlier try of this owner took the lease and its confirmation
    was lost, the token of that try is returned.
    """
    _create_table(engine)
    mine = {"owner": json.dumps(asdict(owner)), "beat": _NOW, "seconds": seconds}
    while True:
        with engine.connect() as connection:
            found = connection.execute(_query().where(_COLUMNS.study_name == study_name)).first()
        lease = None if found is None else _lease(list(found[1:]))
        if lease is not None and lease.owner == owner:
            return lease.token
        if lease is not None and not lease.is_free:
            raise TakenError(study_name, lease)
        token = 1 if lease is None else lease.token + 1
        taking: Any = (
            _LEASES.insert().values(study_name=study_name, token=token, **mine)
            if lease is None
            else _LEASES.update()
            .where(_is(study_name, lease.token), _COLUMNS.beat == lease.beat)
            .values(token=token, **mine)
        )
        # Compare and swap: of two processes that saw the same row, the later one changes no row
        # (or cannot insert it), and reads again.
        with suppress(IntegrityError), engine.begin() as connection:
            if connection.execute(taking).rowcount != 0:  # -1 where an insertion counts nothing
                return token


def _is(study_name: str, token: int) -> sqlalchemy.ColumnElement[bool]:
    return (_COLUMNS.study_name == study_name) & (_COLUMNS.token == token)


def _is_lost(engine: Engine, study_name: str, token: int) -> bool:
    """Return whether another process has surely taken the lease; False if nothing answers."""
    try:
        with engine.connect() as connection:
            found = connection.execute(select(_COLUMNS.token).where(_is(study_name, token)))
            return found.first() is None
    except SQLAlchemyError:
        return False


def _fence(engine: Engine, study_name: str, token: int) -> None:
    """Make each transaction of an engine that writes fail once the lease has another token."""
    holder = os.getpid()
    # FOR SHARE: nobody can take the lease between this check and the commit that follows it.
    # SQLAlchemy leaves it out on SQLite, where a writing transaction excludes all other writers.
    still_mine = select(_COLUMNS.token).where(_is(study_name, token)).with_for_update(read=True)

    @event.listens_for(engine, "after_cursor_execute")
    def _on_statement(
        connection: Connection, _cursor: object, _text: str, _values: object, context: Any, _: bool
    ) -> None:
        if context is not None and (context.isinsert or context.isupdate or context.isdelete):
            connection.info["has_written"] = True

    @event.listens_for(engine, "commit")
    def _on_commit(connection: Connection) -> None:
        if not connection.info.pop("has_written", False):
            return
        if os.getpid() != holder:
            copied = f"process {os.getpid()} is a copy of process {holder}, which holds this run"
            raise LeaseLostError(study_name, copied)
        if not connection.execute(still_mine).first():
            raise LeaseLostError(study_name)

    @event.listens_for(engine, "rollback")
    def _on_rollback(connection: Connection) -> None:
        if not connection.invalidated:  # a lost connection has no info any more
            connection.info.pop("has_written", None)


def _let_go_when_frozen(engine: Engine, seconds: float) -> None:
    """Make PostgreSQL end a transaction that its process leaves idle for longer than a lease.

    Args:
        engine: The engine; on SQLite nothing changes.
        seconds: Duration of the lease.
    """
    # A frozen process keeps its row locks, and nobody else could take the lease. On SQLite the
    # locks of a frozen process stay: the other processes wait until it thaws or dies.
    if engine.dialect.name != "postgresql":
        return

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET idle_in_transaction_session_timeout = {seconds * 1000:.0f}")
        connection.commit()

    # The pool may hold a connection without this setting: only new connections get it.
    engine.dispose()


def _give_signs_of_life(
    engine: Engine, study_name: str, token: int, seconds: float, ended: threading.Event
) -> None:
    """Renew a lease every so many seconds until the event is set or the lease is lost."""
    renewing = _LEASES.update().where(_is(study_name, token)).values(beat=_NOW)
    while not ended.wait(seconds):
        try:
            with engine.begin() as connection:
                connection.execute(renewing)
            move_log_into_file(engine)
        except (LeaseLostError, GoneError):
            return  # the next write of the run raises the error
        except SQLAlchemyError as error:
            # The run itself waits for the storage, which may answer again at the next beat.
            logger.debug("no sign of life for %s: %s", study_name, error)


def _give_back(engine: Engine, study_name: str, token: int) -> None:
    """Set a lease free; on an error only warn, because the lease expires by itself."""
    try:
        with engine.begin() as connection:
            connection.execute(_LEASES.update().where(_is(study_name, token)).values(owner=None))
    except SQLAlchemyError as error:
        logger.warning("%s is not free before its lease has run out: %s", study_name, error)
