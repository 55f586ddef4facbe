import optuna
import pytest
from written import write_again, write_default, write_run

from hpo_bench.analysis.stored import DEFAULT
from hpo_bench.analysis.summary import summarise


@pytest.fixture
def storage():
    return optuna.storages.InMemoryStorage()


def write(storage, *, seeds=7, tests=True, confirm=True, **options):
    """Runs that find 0.9 + seed/100 and are worth 0.04 less; the default has 0.7."""
    for seed in range(seeds):
        value = 0.9 + seed / 100
        for method, more in (("pso", 0.0), ("tpe", 0.01)):
            found = [0.5, value + more]
            told = {"tests": [0.4, value + more - 0.01]} if tests else {}
            write_run(storage, found, method=method, seed=seed, **told, **options)
            if confirm:
                again = [value + more - 0.05, value + more - 0.03]
                write_again(storage, again, method=method, seed=seed, tests=again, **options)
        write_default(storage, 0.7, seed=seed, test=0.6 if tests else None, **options)
    return summarise(storage, "written")


def test_the_gap_is_what_training_again_takes_back(storage):
    summary = write(storage)
    assert [method.name for method in summary.methods] == ["tpe", "pso"]
    for method, more in zip(summary.methods, (0.01, 0.0), strict=True):
        found = method.confirmed
        assert found.trainings == 14
        assert found.validation.mean.mean == pytest.approx(0.93 + more - 0.04)
        assert found.validation.gap.mean == pytest.approx(0.04)
        assert found.test.gap.mean == pytest.approx(0.03)
        # Of two values 0.02 apart: 0.01 * sqrt(2).
        assert found.validation.spread == pytest.approx(0.01 * 2**0.5)


def test_where_less_is_better_the_gap_is_turned_round(storage):
    for seed in range(6):
        write_run(storage, [0.5], seed=seed, direction="minimize", metric="loss")
        write_again(storage, [0.6], seed=seed, direction="minimize")
    (method,) = summarise(storage, "written").methods
    assert method.confirmed.validation.gap.mean == pytest.approx(0.1)
    assert method.confirmed.validation.spread is None
    assert method.confirmed.test is None


@pytest.mark.parametrize(
    ("tests", "confirm", "measure", "advantage"),
    [
        (True, True, "confirmed_test", 0.93 - 0.04 - 0.6),
        (True, False, "test", 0.93 - 0.01 - 0.6),
        (False, False, "validation", 0.93 - 0.7),
    ],
)
def test_runs_that_declare_no_endpoint_are_compared_by_the_fairest_measure(
    storage, tests, confirm, measure, advantage
):
    summary = write(storage, tests=tests, confirm=confirm, attributes={"endpoint": None})
    assert (summary.endpoint.measure, summary.endpoint.is_declared) == (measure, False)
    found = {(c.first, c.second): c for c in summary.against}
    assert found.keys() == {("pso", DEFAULT), ("tpe", DEFAULT)}
    assert found["pso", DEFAULT].gain.mean == pytest.approx(advantage)
    # Two methods beside one default are a family of two.
    pso = found["pso", DEFAULT]
    assert pso.p < pso.adjusted_p <= 2.5 * pso.p + 1e-3
    assert pso.verdict == "better"
    assert pso.gain.low > 0


def test_a_method_with_a_larger_budget_is_a_baseline_and_no_rival(storage):
    for seed in range(8):
        write_run(storage, [0.5, 0.8], method="pso", seed=seed)
        write_run(storage, [0.5, 0.7 + seed / 100], method="random", seed=seed)
        more = {"attributes": {"method": "random", "budget_factor": 2}}
        write_run(storage, [0.5, 0.95], method="random-2x", seed=seed, **more)
    summary = summarise(storage, "written")
    assert [(c.first, c.second) for c in summary.comparisons["validation"]] == [("pso", "random")]
    assert [(c.first, c.second) for c in summary.against] == [
        ("pso", "random-2x"),
        ("random", "random-2x"),
    ]
    assert all(c.verdict == "worse" for c in summary.against)
    # It is run, and need not be guessed from pairs of runs.
    assert summary.random_twice is None
    assert summary.default is None


def test_the_default_stands_in_the_summary(storage):
    summary = write(storage)
    assert summary.default.name == DEFAULT
    assert summary.default.validation.mean == pytest.approx(0.7)
    assert summary.default.test.n == 7
    assert len(summary.baseline_runs) == 7
    assert [(c.first, c.second) for c in summary.comparisons["validation"]] == [("tpe", "pso")]


def test_a_run_that_found_nothing_does_not_change_the_measure(storage):
    for seed in range(8):
        told = {"tests": [0.8], "attributes": {"endpoint": None}}
        write_run(storage, [0.9 if seed else None], method="pso", seed=seed, **told)
        write_default(storage, 0.85, seed=seed, test=0.85)
    summary = summarise(storage, "written")
    assert summary.endpoint.measure == "test"
    assert [found.verdict for found in summary.against] == ["worse"]
