import os
from pathlib import Path

import pytest

from hpo_bench import suite

# One thread per process: on a small machine, several libraries' thread pools starve each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

TABLE = {
    "name": "toy",
    "objective": {"name": "toy:Curve"},
    "budget": {"epochs": 30},
    "seeds": [0],
    "methods": {"random": {}},
}


@pytest.fixture
def toy_suite(tmp_path: Path):
    """Make a suite on the toy objective, in a database of its own."""

    def make(**changes):
        table = {**TABLE, "storage": f"sqlite:///{tmp_path / 'toy.db'}", **changes}
        return suite.parse(table)

    return make


@pytest.fixture
def toy_file(tmp_path: Path):
    """Write a suite file on the toy objective; returns its path."""

    def write(text: str = "", name: str = "toy") -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture(scope="session")
def _postgres_server():
    from postgres import Postgres

    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def postgres(_postgres_server):
    """A real PostgreSQL of our own, which a test may stop, kill and freeze."""
    yield _postgres_server
    _postgres_server.thaw()
    if not _postgres_server.is_running:
        _postgres_server.start()


@pytest.fixture
def postgres_url(postgres):
    """An empty database on a real PostgreSQL."""
    return postgres.new_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def any_url(request, tmp_path: Path):
    """An empty database: of each kind that is supported."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'any.db'}"
    return request.getfixturevalue("postgres_url")
