"""PostgreSQL as the storage: what a run is does not depend on where it is kept."""

import psutil
import pytest
from command import Command, descendants, wait
from several import METHODS, told

from hpo_bench.analysis.results import collect
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run
from hpo_bench.storage.opening import open_existing


@pytest.mark.parametrize("method", ["grid", "pso", "bohb", "asha"])
def test_a_run_finds_what_it_finds_in_sqlite(toy_suite, tmp_path, postgres_url, method):
    found = []
    for place, storage in (("a", f"sqlite:///{tmp_path / 'a.db'}"), ("b", postgres_url)):
        suite = toy_suite(methods=METHODS, storage=storage)
        run = Run(suite, method, 0, tmp_path / place)
        status = execute(run)
        assert status.finished == "epochs spent"
        assert execute(run).evaluations == status.evaluations
        found.append(told(run))
        (result,) = collect(open_existing(storage), "toy").runs
        assert result.evaluations == status.evaluations
    assert found[0] == found[1]


def test_a_password_is_shown_nowhere(tmp_path, postgres, postgres_url):
    command = Command(tmp_path, workers=2, storage=postgres_url, methods="random = {}")
    said = []
    process = command.start()
    command.wait_for_units(10)
    said += [" ".join(psutil.Process(pid).cmdline()) for pid in descendants(process.pid)]
    postgres.stop()  # so that what an outage says is seen, too
    postgres.start()
    said.append(wait(process))
    reports = [f"report.{ending}" for ending in ("html", "md", "json", "csv")]
    for arguments in (
        ("results", "toy", "--format", "json"),
        *(("report", "toy", "--output", name) for name in reports),
    ):
        said.append(wait(command.start(*arguments, "--storage", postgres_url)))
    said += [(tmp_path / name).read_text() for name in reports]
    wrong = postgres_url.replace(postgres.password, f"{postgres.password}wrong")
    said.append(wait(command.start("results", "toy", "--storage", wrong), status=2))
    assert "password authentication failed" in said[-1]
    said += [repr((s.user_attrs, s.trials)) for s in command.studies()]
    assert len(said) > 10
    assert [text for text in said if postgres.password in text] == []
