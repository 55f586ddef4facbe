"""Who reads the results of a benchmark must not have to watch its doors: none are opened."""

from pathlib import Path

from sharing import Suite
from sockets import listening


def test_runs_of_several_workers_and_of_hpbandster_listen_on_nothing(tmp_path):
    with Suite(tmp_path) as suite:
        file = Path(tmp_path / "toy.toml")
        file.write_text("workers_per_run = 2\n" + file.read_text() + "bohb = {}\n")
        process = suite.start("run", "--workers", "4", "--methods", "bohb", "--seeds", "0")
        suite.wait_for_units(12)
        assert listening(process.pid) == []
        suite.finish(process)
