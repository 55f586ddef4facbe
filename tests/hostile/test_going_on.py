"""Who goes on with a suite in a hostile storage is told what is wrong, and loses nothing."""

import os
import sys
from contextlib import suppress

import pytest
from hostile import CANARY, SUITES, cells, change, hostile, make_storage, put
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from hpo_bench import suite
from hpo_bench.engines.base import attempt
from hpo_bench.errors import HpoBenchError
from hpo_bench.running.runs import runs_of
from hpo_bench.running.studies import check_unchanged
from hpo_bench.storage.opening import open_existing
from hpo_bench.storage.studies import glance

fuzzed = settings(
    max_examples=1000 if os.environ.get("HPO_BENCH_LONG") else 10,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    (folder / f"{CANARY}.py").write_text("def sing(**_): pass\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield make_storage(folder)


@fuzzed
@given(data=st.data())
def test_a_run_goes_on_or_says_why_not(sound, data):
    places = [c for c in cells(sound) if not c.of_all]
    columns = sorted({(cell.table, cell.column) for cell in places})
    chosen = data.draw(st.sampled_from(columns))
    cell = data.draw(st.sampled_from([c for c in places if (c.table, c.column) == chosen]))
    changed = sound.parent / "changed.db"
    put(sound, changed)
    concerned = change(changed, cell, data.draw(hostile(cell)))
    assume(concerned)
    for name in {str(study).partition("/")[0] for study in concerned} & SUITES.keys():
        made = suite.load(str(sound.parent / f"{name}.toml"), {"storage": f"sqlite:///{changed}"})
        storage = open_existing(made.storage, patience=0)
        for run in runs_of(made, sound.parent / "checkpoints"):
            with suppress(HpoBenchError):
                check_unchanged(run, glance(storage))
                assert attempt(run)[0] in ("end", "taken", "failure")
    assert CANARY not in sys.modules
