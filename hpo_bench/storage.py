"""The one storage that holds everything: opened, timed, and read back.

Optuna's private names (a trial's id, the table of a storage's methods) are used here and
nowhere else in this package.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.trial import TrialState

from hpo_bench.errors import HpoBenchError, InputError

BUSY_TIMEOUT = 60
"""Seconds that a writer waits for SQLite's lock: far beyond the longest queue that was seen."""


class MeteredStorage(BaseStorage):
    """An Optuna storage that adds up the time spent in it, whoever calls it."""

    seconds: float
    """Time spent inside the storage since it was opened, in seconds."""


def _metered(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return getattr(self.inner, name)(*args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - started

    method.__name__ = name
    return method


_METHODS = {
    name: _metered(name)
    for name, member in vars(BaseStorage).items()
    if callable(member) and not name.startswith("_")
}
_Metered = type("_Metered", (MeteredStorage,), _METHODS)


def open_storage(url: str) -> MeteredStorage:
    """Open (and on first use create) the storage at a SQLAlchemy URL.

    Raises:
        InputError: The URL is malformed, or nothing that can be used answers there.
    """
    try:
        parsed = sqlalchemy.make_url(url)
    except sqlalchemy.exc.ArgumentError:
        raise InputError("storage", url, "expected a URL like sqlite:///hpo-bench.db") from None
    shown = parsed.render_as_string(hide_password=True)
    is_sqlite = parsed.get_backend_name() == "sqlite"
    options: dict[str, Any] = (
        {"connect_args": {"timeout": BUSY_TIMEOUT}} if is_sqlite else {"pool_pre_ping": True}
    )
    try:
        backend = RDBStorage(url, engine_kwargs=options)
    except Exception as error:
        raise InputError("storage", shown, _why(error)) from error
    if is_sqlite:
        _tune_sqlite(backend.engine)
    storage = cast(Any, _Metered())
    storage.inner = get_storage(backend)
    storage.seconds = 0.0
    return cast(MeteredStorage, storage)


def _tune_sqlite(engine: sqlalchemy.Engine) -> None:
    # Write-ahead logging triples the throughput of several writers, and readers never wait;
    # with it, NORMAL loses nothing when a process dies (only, at worst, the last commits when
    # the machine loses power).
    @sqlalchemy.event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

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


def load_study(storage: BaseStorage, name: str) -> optuna.Study:
    """Open an existing study for work; its pruner is off until a method sets one."""
    return optuna.load_study(study_name=name, storage=storage, pruner=optuna.pruners.NopPruner())


def study_names(storage: BaseStorage, suite: str | None = None) -> list[str]:
    """Names of the studies in the storage, of one suite or of all, sorted."""
    names = (study.study_name for study in storage.get_all_studies())
    return sorted(name for name in names if suite is None or name.startswith(f"{suite}/"))


def reopen(study: optuna.Study, frozen: optuna.trial.FrozenTrial) -> optuna.Trial:
    """Take up a trial that another process left RUNNING."""
    return optuna.Trial(study, frozen._trial_id)


def create_running(
    study: optuna.Study, template: optuna.trial.FrozenTrial
) -> optuna.trial.FrozenTrial:
    """Like `study.add_trial`, in a single write, and say which trial it has become."""
    storage = study._storage
    return storage.get_trial(storage.create_new_trial(study._study_id, template))


def recorded(trial: optuna.Trial) -> optuna.trial.FrozenTrial:
    """What the storage holds of a trial under way."""
    return trial.storage.get_trial(trial._trial_id)


def unfinished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that a process which is gone left RUNNING, oldest first."""
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def open_existing(url: str) -> MeteredStorage:
    """Open a storage to read from; unlike `open_storage`, never creates one.

    Raises:
        InputError: As `open_storage`, or there is no such SQLite file.
    """
    try:
        parsed = sqlalchemy.make_url(url)
    except sqlalchemy.exc.ArgumentError:
        return open_storage(url)
    file = parsed.database if parsed.get_backend_name() == "sqlite" else None
    if file and not Path(file).exists():
        raise InputError("storage", url, "there is no such file; has a suite been run here?")
    return open_storage(url)


def iterate_studies(storage: BaseStorage, suite: str) -> Iterator[optuna.Study]:
    """Open every study of a suite.

    Raises:
        HpoBenchError: There is none; the text lists the suites that the storage does hold.
    """
    names = study_names(storage, suite)
    if not names:
        known = sorted({name.split("/")[0] for name in study_names(storage) if "/" in name})
        held = f"it holds {', '.join(known)}" if known else "it holds no suite yet"
        raise HpoBenchError(f"no runs of suite {suite!r} in this storage; {held}")
    for name in names:
        yield load_study(storage, name)
