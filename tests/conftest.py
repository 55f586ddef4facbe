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
