"""PostgreSQL as the storage: what a run is does not depend on where it is kept."""

import pytest
from several import METHODS, told

from hpo_bench.analysis.results import collect
from hpo_bench.runs import Run, execute
from hpo_bench.storage import open_existing


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
