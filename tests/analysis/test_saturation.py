import numpy as np
import optuna
import pytest
from written import write_run

from hpo_bench.analysis.saturation import at_ceiling
from hpo_bench.analysis.summary import summarise


def test_methods_at_the_best_value_of_their_seed_sit_at_the_ceiling():
    """A table's best point has another value with every seed."""
    best = {seed: 0.9 + 0.001 * seed for seed in range(10)}
    values = {
        "pso": {s: v if s < 7 else v - 0.01 for s, v in best.items()},
        "tpe": {s: v if s > 2 else v - 0.02 for s, v in best.items()},
        "random": {s: v if s == 4 else v - 0.03 for s, v in best.items()},
    }
    assert at_ceiling(values, maximise=True) == ["pso", "tpe"]
    losses = {name: {s: -v for s, v in runs.items()} for name, runs in values.items()}
    assert at_ceiling(losses, maximise=False) == ["pso", "tpe"]


@pytest.mark.parametrize("methods", [2, 5])
def test_where_no_runs_are_level_there_is_no_ceiling(methods):
    rng = np.random.default_rng(0)
    values = {str(n): dict(enumerate(rng.normal(size=20))) for n in range(methods)}
    assert at_ceiling(values, maximise=True) == []
    values["0"] = {seed: 9.0 + seed for seed in range(20)}
    assert at_ceiling(values, maximise=True) == []


def test_a_suite_says_that_it_is_saturated():
    storage = optuna.storages.InMemoryStorage()
    for seed in range(8):
        for method in ("pso", "tpe", "random"):
            found = 0.9 if method != "random" else 0.5 + 0.01 * seed
            write_run(storage, [found], method=method, seed=seed)
    summary = summarise(storage, "written")
    assert (summary.is_saturated, summary.at_ceiling) == (True, ["pso", "tpe"])


def test_nothing_found_is_no_ceiling():
    assert at_ceiling({}, maximise=True) == []
    assert at_ceiling({"a": {}}, maximise=True) == []
