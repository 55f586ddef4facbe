import optuna
import pytest
from written import write_again, write_run

from hpo_bench.analysis.summary import summarise


@pytest.fixture
def storage():
    return optuna.storages.InMemoryStorage()


@pytest.mark.parametrize(("direction", "worst"), [("maximize", 0.2), ("minimize", 0.95)])
def test_a_run_that_found_nothing_has_the_worst_value_of_any_evaluation(storage, direction, worst):
    for seed in range(6):
        write_run(storage, [0.2, 0.9], method="pso", seed=seed, direction=direction)
        found = [None, None] if seed < 2 else [0.9, 0.95]
        write_run(storage, found, method="tpe", seed=seed, direction=direction)
    summary = summarise(storage, "written")
    scores = summary.scores["validation"]
    assert [scores.values["tpe"][seed] for seed in (0, 1)] == [worst, worst]
    assert scores.nothing == {"pso": 0, "tpe": 2}
    (method,) = (m for m in summary.methods if m.name == "tpe")
    best = 0.95 if direction == "maximize" else 0.9
    assert method.validation.mean == pytest.approx((2 * worst + 4 * best) / 6)
    assert method.validation.n == 6
    (pair,) = summary.comparisons["validation"]
    assert pair.runs == (6, 6)
    assert [curve.runs for curve in summary.curves["epochs"]] == [6, 6]


def test_failing_is_a_way_to_be_worse(storage):
    """Runs that find the same where they find anything: what fails half of the time is worse."""
    for seed in range(12):
        write_run(storage, [0.5, 0.9 + 0.001 * seed], method="pso", seed=seed)
        found = [None, None] if seed % 2 else [0.5, 0.9 + 0.001 * seed]
        write_run(storage, found, method="tpe", seed=seed)
    (pair,) = summarise(storage, "written").comparisons["validation"]
    assert (pair.first, pair.second, pair.verdict) == ("pso", "tpe", "better")


def test_what_does_not_train_again_is_worst_and_what_was_not_trained_again_is_missing(storage):
    for seed in range(4):
        write_run(storage, [0.4, 0.9], seed=seed)
    write_again(storage, [0.8, 0.8], seed=0)
    write_again(storage, [None, None], seed=1)
    scores = summarise(storage, "written").scores["confirmed"]
    assert scores.values["random"] == {0: pytest.approx(0.8), 1: 0.4}
    assert scores.nothing == {"random": 1}
