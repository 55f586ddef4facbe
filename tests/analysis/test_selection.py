import optuna
import pytest
from written import write_default, write_run

from hpo_bench.analysis.summary import summarise


@pytest.fixture
def storage():
    return optuna.storages.InMemoryStorage()


def test_overtuning_is_the_loss_against_the_best_earlier_incumbent(storage):
    # The second incumbent tests best, the third is chosen; the last evaluation is no incumbent.
    write_run(storage, [0.5, 0.6, 0.7, 0.1], seed=0, tests=[0.4, 0.8, 0.7, 0.99])
    # No loss: the last incumbent tests best.
    write_run(storage, [0.5, 0.6], seed=1, tests=[0.4, 0.6])
    write_run(storage, [0.5, None], seed=2, tests=[0.4, None])
    (method,) = summarise(storage, "written").methods
    assert method.overtuning.loss.mean == pytest.approx(0.1 / 3)
    assert (method.overtuning.runs, method.overtuning.loss.n) == (1, 3)
    # Selection bias is another thing: validation less test of the last.
    assert method.gap.mean == pytest.approx((0.0 + 0.0 + 0.1) / 3)


def test_without_a_test_there_is_no_overtuning(storage):
    write_run(storage, [0.5, 0.6])
    assert summarise(storage, "written").methods[0].overtuning is None


def test_the_test_curve_is_that_of_the_incumbents(storage):
    for seed in range(3):
        write_run(storage, [0.5, 0.7, 0.6], seed=seed, tests=[0.8, 0.4, 0.9])
    (curve,) = summarise(storage, "written").unseen_curves
    assert curve.x.tolist() == [1, 2, 3]
    assert curve.median.tolist() == [0.8, 0.4, 0.4]


def test_the_default_has_a_gap_that_no_choice_has_made(storage):
    for seed in range(3):
        write_run(storage, [0.7], seed=seed, tests=[0.6])
        write_default(storage, 0.5, seed=seed, test=0.48)
    assert summarise(storage, "written").default.gap.mean == pytest.approx(0.02)
