"""Leases: which process works on a run, so that any number of them may share a suite.

A table beside Optuna's has a row for each run: who works on it, and when that process last gave a
sign of life, by the clock of the database. The clocks of the machines do not matter. A lease that
has run out may be taken over. Who has lost one, frozen or cut off for too long, cannot write to
the run any more: every transaction that writes looks, before it is committed, whether the lease is
still its own (a fencing token: Kleppmann 2017, "Designing Data-Intensive Applications", chapter 8).
A lease belongs to one process: a copy of it, made by a fork, knows the token and may not write.
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
"""Signs of life in the time that a lease lasts: so many may be late before it is lost."""

_STUCK_SECONDS = 5.0
"""How long the end of a run waits for a sign of life that is under way."""

_LEASES = Table(
    "hpo_bench_leases",
    sqlalchemy.MetaData(),
    Column("study_name", String(512), primary_key=True),
    Column("token", Integer, nullable=False),
    Column("owner", String(1024)),
    Column("beat", Float(53), nullable=False),
    Column("seconds", Float(53), nullable=False),
)
_COLUMNS = _LEASES.c
_NOW = sqlalchemy.extract("epoch", sqlalchemy.func.current_timestamp())


@dataclass(frozen=True)
class Owner:
    """A process, told from all others on any machine, before and after it."""

    host: str
    pid: int
    kernel: str
    """Which start of which machine, and which of its process namespaces; empty if not known."""
    started: str
    """When the process was started, in seconds by that machine; empty if not known."""
    taking: str
    """Tells what this process takes at the same time apart."""

    @classmethod
    def here(cls) -> Owner:
        """This process, about to take a lease."""
        pid = os.getpid()
        return cls(socket.gethostname(), pid, _kernel(), _started(pid) or "", uuid4().hex)

    def is_dead(self) -> bool:
        """Whether it is known to be dead: only a process of the same machine can know that."""
        is_here = self.kernel != "" and self.kernel == _kernel()
        return is_here and self.started != "" and _started(self.pid) != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


_OWNER = TypeAdapter(Owner)


def _kernel() -> str:
    if psutil.MACOS:
        # No boot needs to be told: there, the times at which processes start are absolute.
        return f"{socket.gethostname()} {getnode():x}"
    try:
        # Of psutil's numbers of processes, each container has its own.
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process was started; None if there is none, or only what its parent has to bury."""
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        # On Linux it is counted from the boot, whose time psutil adds: a clock that is put forward
        # moves both.
        since = psutil.boot_time() if psutil.LINUX else 0.0
        return f"{process.create_time() - since:.2f}"
    except (psutil.Error, OSError):
        return None


@dataclass(frozen=True)
class Lease:
    """What the table holds of a run."""

    token: int
    """Grows by one with each taking."""
    owner: Owner | None
    """Who works on it; None since it was given back."""
    beat: float
    """When the owner gave the last sign of life, in seconds of the database's clock."""
    age: float
    """Seconds since then."""
    seconds: float
    """How long it lasts after a sign of life."""

    @property
    def is_free(self) -> bool:
        """Whether somebody may take it."""
        # A sign of life from the future is as old as one of the past: the clock was put back.
        return self.owner is None or abs(self.age) > self.seconds or self.owner.is_dead()


class TakenError(HpoBenchError):
    """Another process works on the run."""

    def __init__(self, study_name: str, lease: Lease) -> None:
        super().__init__(
            f"{study_name} is being worked on by {lease.owner} "
            f"(last sign of life {max(0.0, lease.age):.0f} s ago)"
        )


class LeaseLostError(HpoBenchError):
    """Another process has taken the run over; what was about to be written is not."""

    def __init__(self, study_name: str, why: str | None = None) -> None:
        taken_over = (
            "another process has taken this run over, after no sign of life from this one for too "
            "long; leaving it to that one"
        )
        super().__init__(f"{study_name}: {why or taken_over}")


@contextmanager
def holding(storage: MeteredStorage, study_name: str, seconds: float) -> Iterator[None]:
    """Be the only one to work on a run, and to write to it through this storage.

    Args:
        storage: One that `open_storage` gave, which serves this run alone from now on.
        study_name: Of the run.
        seconds: How long the lease lasts after a sign of life; a thread gives those.

    Raises:
        TakenError: Another process works on it.
        LeaseLostError: Out of the storage, at any write, once another process has taken it over.
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
        # Where the other one has been, nothing is as this one left it: a trial is finished, say.
        if _is_lost(engine, study_name, token):
            raise LeaseLostError(study_name) from error
        raise
    finally:
        ended.set()
        alive.join(_STUCK_SECONDS)
        with suppress(LeaseLostError, GoneError):
            _give_back(engine, study_name, token)


def leases(storage: BaseStorage) -> dict[str, Lease]:
    """All that there are, by study name; none before anybody has worked there."""
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
    # What is no number has no sign of life in it: such a lease is free.
    told = [float(n) if isinstance(n, int | float) else 0.0 for n in (beat, age, seconds)]
    return Lease(token, None if owner is None else _owner(owner), *told)


def _owner(text: str) -> Owner:
    """Read who works on a run; somebody who is not known if it was written by none of ours."""
    try:
        return _OWNER.validate_json(text)
    except ValidationError:
        return Owner("a machine that is not known", 0, "", "", "")


def _create_table(engine: Engine) -> None:
    try:
        _LEASES.create(engine, checkfirst=True)
    except SQLAlchemyError:
        # Another process may have been quicker.
        if not sqlalchemy.inspect(engine).has_table(_LEASES.name):
            raise


def _take(engine: Engine, study_name: str, owner: Owner, seconds: float) -> int:
    """Take a lease that is free, or was taken by a try whose answer was lost; give its token."""
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
        # Who is late finds no such row, or that there is one: and sees then who was quicker.
        with suppress(IntegrityError), engine.begin() as connection:
            if connection.execute(taking).rowcount != 0:  # -1 where an insertion counts nothing
                return token


def _is(study_name: str, token: int) -> sqlalchemy.ColumnElement[bool]:
    return (_COLUMNS.study_name == study_name) & (_COLUMNS.token == token)


def _is_lost(engine: Engine, study_name: str, token: int) -> bool:
    """Whether another process is known to have taken the lease."""
    try:
        with engine.connect() as connection:
            found = connection.execute(select(_COLUMNS.token).where(_is(study_name, token)))
            return found.first() is None
    except SQLAlchemyError:
        return False


def _fence(engine: Engine, study_name: str, token: int) -> None:
    """Let no transaction of this engine write any more once the lease is another's."""
    holder = os.getpid()
    # Shared with whoever else reads it, the row cannot be taken over before the commit is done.
    # (SQLite has one writer at a time, and needs no such lock.)
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
        if not connection.invalidated:  # what was known of one that is cut is gone with it
            connection.info.pop("has_written", None)


def _let_go_when_frozen(engine: Engine, seconds: float) -> None:
    """Have PostgreSQL end a transaction whose process does not go on with it.

    Its locks would keep everybody else from taking the lease. (SQLite's are held by the process.)
    """
    if engine.dialect.name != "postgresql":
        return

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET idle_in_transaction_session_timeout = {seconds * 1000:.0f}")
        connection.commit()

    engine.dispose()


def _give_signs_of_life(
    engine: Engine, study_name: str, token: int, seconds: float, ended: threading.Event
) -> None:
    renewing = _LEASES.update().where(_is(study_name, token)).values(beat=_NOW)
    while not ended.wait(seconds):
        try:
            with engine.begin() as connection:
                connection.execute(renewing)
            move_log_into_file(engine)
        except (LeaseLostError, GoneError):
            return  # the next write of the run says so
        except SQLAlchemyError as error:
            # The run itself deals with a storage that is gone; it may be back at the next beat.
            logger.debug("no sign of life for %s: %s", study_name, error)


def _give_back(engine: Engine, study_name: str, token: int) -> None:
    try:
        with engine.begin() as connection:
            connection.execute(_LEASES.update().where(_is(study_name, token)).values(owner=None))
    except SQLAlchemyError as error:
        logger.warning("%s is not free before its lease has run out: %s", study_name, error)
