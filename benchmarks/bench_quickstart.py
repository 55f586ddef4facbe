"""Time a whole run of each method of the quickstart suite, and record its best value.

tox run -e bench                            # stores a JSON under .benchmarks
tox run -e bench -- --benchmark-compare     # with the previous results
"""

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hpo_bench import suite
from hpo_bench.analysis.results import collect
from hpo_bench.methods import throwaway_setup
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run
from hpo_bench.storage.opening import open_storage

QUICKSTART = suite.load("quickstart", {"methods.bohb.options.strict": True})


@pytest.mark.parametrize("method", QUICKSTART.methods)
def bench_run(benchmark: BenchmarkFixture, method: str, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'bench.db'}"
    chosen = QUICKSTART.model_copy(update={"storage": storage})
    # Images and libraries load once per process. No method is charged for them.
    objective = chosen.build_objective(seed=0)
    objective.prepare()
    chosen.build_search(method, throwaway_setup(objective)).prepare()
    run = Run(chosen, method, 0, tmp_path / "checkpoints")

    benchmark.group = "quickstart, seed 0"
    benchmark.pedantic(execute, args=(run,), rounds=1)

    (found,) = collect(open_storage(storage), chosen.name).runs
    assert found.finished is not None
    benchmark.extra_info.update(
        method=method,
        validation_accuracy=found.validation,
        test_accuracy=found.test,
        evaluations=found.evaluations,
        epochs=found.epochs,
        train_seconds=found.train_seconds,
        sampler_seconds=found.sampler_seconds,
        picks=found.picks,
    )
