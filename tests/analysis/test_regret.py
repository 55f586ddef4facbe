import numpy as np
import optuna
import pytest
from recordings import toy_table, value
from written import write_default, write_run

from hpo_bench.analysis.regret import Scale, known_optimum, regrets, regrets_at, scale_of
from hpo_bench.analysis.summary import summarise
from hpo_bench.objectives.table import Table


@pytest.fixture
def storage():
    return optuna.storages.InMemoryStorage()


@pytest.mark.parametrize("sign", [1, -1])
def test_regret_is_0_at_the_best_and_1_at_the_default(storage, sign):
    direction = "maximize" if sign == 1 else "minimize"
    for seed in range(3):
        found = [sign * 0.5, sign * (0.7 + 0.1 * seed)]
        write_run(storage, found, seed=seed, direction=direction)
        write_default(storage, sign * 0.6, seed=seed, direction=direction)
    summary = summarise(storage, "written")
    scale = scale_of(summary)
    assert (scale.best_is, scale.reference_is) == ("best seen", "default")
    assert (scale.best, scale.reference) == pytest.approx((sign * 0.9, sign * 0.6))
    assert regrets(summary, scale)["random"] == pytest.approx([2 / 3, 1 / 3, 0])
    over = regrets_at(summary, scale, np.array([1.0, 2.0]))["random"]
    assert over[:, 0] == pytest.approx([4 / 3] * 3)
    assert over[:, 1] == pytest.approx([2 / 3, 1 / 3, 0])


def test_an_optimum_that_is_known_is_what_regret_is_measured_from(storage):
    write_run(storage, [0.5, 0.8], attributes={"optimum": 1.0})
    write_default(storage, 0.6)
    scale = scale_of(summarise(storage, "written"))
    assert (scale.best, scale.best_is) == (1.0, "optimum")
    assert scale.regret(np.array([0.8])) == pytest.approx([0.5])


def test_a_table_says_the_optimum_of_each_measure(tmp_path):
    table = Table(toy_table(tmp_path / "toy.csv"))
    best = [value(64, "tanh", 0.25, 2, seed, 3) for seed in (0, 1, 2)]
    assert table.optimum == pytest.approx(
        {
            "validation": best[2],
            "held_out": best[1],  # the mean of three that are evenly apart
            "test": best[2] - 0.1,
            "held_out_test": best[1] - 0.1,
        }
    )


def test_an_optimum_is_known_by_measure(storage):
    told = {"optimum": {"validation": 1.0, "held_out": 0.9}, "endpoint": "held-out"}
    write_run(storage, [0.5, 0.8], tests=[0.4, 0.7], attributes=told)
    summary = summarise(storage, "written")
    assert known_optimum(summary, "validation") == 1.0
    assert known_optimum(summary, "held_out") == 0.9
    assert known_optimum(summary, "test") is None


@pytest.mark.parametrize("told", ["1.0", True, None, [1.0], float("nan"), {"validation": "1"}])
def test_an_optimum_that_is_no_number_is_none(storage, told):
    write_run(storage, [0.5, 0.8], attributes={"optimum": told})
    write_default(storage, 0.6)
    assert scale_of(summarise(storage, "written")).best_is == "best seen"


def test_a_default_that_nothing_beats_is_no_reference(storage):
    write_run(storage, [0.2, 0.4, 0.8])
    write_default(storage, 0.9)
    scale = scale_of(summarise(storage, "written"))
    assert scale == Scale(0.8, "best seen", 0.4, "median evaluation")


def test_values_that_are_all_alike_have_no_scale(storage):
    write_run(storage, [0.5, 0.5])
    assert scale_of(summarise(storage, "written")) is None


def test_before_the_first_incumbent_regret_is_that_of_the_worst(storage):
    write_run(storage, [None, 0.8], method="late")
    write_run(storage, [0.2, 0.6], method="early")
    write_default(storage, 0.4)
    summary = summarise(storage, "written")
    found = regrets_at(summary, scale_of(summary), np.array([1.0, 2.0]))
    assert found["late"].tolist() == [pytest.approx([1.5, 0.0])]


def test_regret_of_the_test_is_of_what_validation_chose(storage):
    write_run(storage, [0.5, 0.9], tests=[0.8, 0.6])
    write_default(storage, 0.4, test=0.5)
    summary = summarise(storage, "written")
    found = regrets_at(summary, scale_of(summary, "test"), np.array([1.0, 2.0]), "test")
    assert found["random"].tolist() == [pytest.approx([-2.0, 0.0])]
