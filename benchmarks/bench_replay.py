"""Time 100 replayed evaluations: look-ups alone, in a study in memory, and as a run into SQLite.

A run lasts from the construction of the objective to the last record in the database. It is
compared with the same run with one transaction per step.
"""

import itertools

import optuna
import pytest

from hpo_bench import suite
from hpo_bench.objectives import build
from hpo_bench.objectives.table.replay import Replay
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run
from hpo_bench.storage.opening import open_storage
from samplers import RandomSampler

EVALUATIONS = 100
TABLES = {
    "hpobench": {"dataset": "car"},
    "hpolib": {"dataset": "naval_propulsion"},
    "nasbench201": {"dataset": "cifar10"},
}
METHODS = {
    "random": {},
    "pso": {},
    "bohb": {},
    "tpe": {"sampler": "optuna.samplers:TPESampler"},
}


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.mark.parametrize("table", TABLES)
def bench_lookups(benchmark, table):
    objective = build(table, None, 0, {**TABLES[table], "clock": "simulated"})
    sampler = RandomSampler(seed=0, search_space=objective.search_space)
    study = optuna.create_study(sampler=sampler)
    drawn = [study.ask(objective.search_space).params for _ in range(EVALUATIONS)]
    benchmark.group = "lookups alone"
    benchmark.extra_info |= {"sampler": "none", "table": table}
    values = benchmark(lambda: [objective.evaluate(configuration) for configuration in drawn])
    assert len(values) == EVALUATIONS


@pytest.mark.parametrize("table", TABLES)
def bench_in_memory(benchmark, table):
    objective = build(table, None, 0, {**TABLES[table], "clock": "simulated"})
    objective.prepare()

    def study():
        sampler = RandomSampler(seed=0, search_space=objective.search_space)
        made = optuna.create_study(sampler=sampler, direction=objective.directions[0])
        return (made,), {}

    benchmark.group = "a study in memory"
    benchmark.extra_info |= {"sampler": "random", "table": table}
    benchmark.pedantic(
        lambda made: made.optimize(objective, n_trials=EVALUATIONS), setup=study, rounds=9
    )


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("method", METHODS)
def bench_run_into_sqlite(benchmark, method, table, tmp_path):
    benchmark.group = "a run into SQLite"
    _bench_run(benchmark, method, table, tmp_path)


@pytest.mark.parametrize("method", ["random"])
def bench_run_written_as_it_goes(benchmark, method, tmp_path, monkeypatch):
    monkeypatch.setattr(Replay, "is_instant", False)
    benchmark.group = "a run written as it goes"
    _bench_run(benchmark, method, "hpobench", tmp_path)


def _bench_run(benchmark, method, table, tmp_path):
    numbers = itertools.count()
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    open_storage(url)

    def run():
        one = suite.parse(
            {
                "name": f"run-{next(numbers)}",
                "objective": {"name": table, "options": {**TABLES[table], "clock": "simulated"}},
                "budget": {"evaluations": EVALUATIONS},
                "seeds": [0],
                "methods": {method: METHODS[method]},
                "storage": url,
            }
        )
        return (Run(one, method, 0, tmp_path / "checkpoints"),), {}

    benchmark.extra_info |= {"sampler": method, "table": table}
    status = benchmark.pedantic(execute, setup=run, rounds=7, warmup_rounds=1)
    assert status.evaluations == EVALUATIONS
