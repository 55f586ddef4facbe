"""A short chaos; the long one is `tox run -e chaos`."""

import pytest
from chaos import chaos


@pytest.mark.parametrize("storage", [pytest.param("sqlite", marks=pytest.mark.long), "postgresql"])
def test_chaos_loses_nothing_and_does_nothing_twice(request, tmp_path, storage):
    server = None if storage == "sqlite" else request.getfixturevalue("postgres")
    (outcome,) = chaos(tmp_path, [3], configurations=16, workers=2, server=server, max_faults=4)
    assert outcome.faults.total() > 0
    assert outcome.is_good, outcome
    assert outcome.found == outcome.expected == 16
