from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import optuna
import pytest
import sqlalchemy


def open_sqlite(path: Path) -> optuna.storages.RDBStorage:
    """Open a database as another process would.

    Waiting for the disk costs these tests minutes on a busy machine and tells them nothing.
    """
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}}
    )
    sqlalchemy.event.listen(
        storage.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=0")
    )
    return storage


@pytest.fixture
def sqlite(tmp_path: Path) -> Callable[[], optuna.storages.RDBStorage]:
    """Open the test's own database: each call as another process does."""
    return partial(open_sqlite, tmp_path / "study.db")


@pytest.fixture(autouse=True)
def verbosity() -> Iterator[None]:
    """Leave Optuna's logging as it was: examples and other tests make it quieter."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    yield
    optuna.logging.set_verbosity(before)
    optuna.logging.enable_default_handler()
    optuna.logging.disable_propagation()
