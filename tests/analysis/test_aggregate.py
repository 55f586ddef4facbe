import numpy as np
import pytest
from scipy import stats
from written import history

from hpo_bench.analysis import aggregate, over_budget
from hpo_bench.analysis.families import family, weights
from hpo_bench.analysis.improvement import improvement


def test_with_equal_weights_the_middle_is_the_trimmed_mean():
    values = np.random.default_rng(0).lognormal(size=(3, 40))
    found = aggregate.iqm(values, np.full(40, 1 / 40))
    assert found == pytest.approx(stats.trim_mean(values, 0.25, axis=1))


def test_a_value_of_twice_the_weight_counts_as_two():
    values = np.array([3.0, 1.0, 9.0, 4.0, 2.0])
    weight = np.array([2.0, 1.0, 1.0, 1.0, 3.0]) / 8
    repeated = np.array([3.0, 3.0, 1.0, 9.0, 4.0, 2.0, 2.0, 2.0])
    assert aggregate.iqm(values, weight) == pytest.approx(stats.trim_mean(repeated, 0.25))


def test_every_family_has_the_same_weight():
    found = weights(["hpobench"] * 4 + ["hpolib"] * 4 + ["nasbench201"] * 2)
    assert found == pytest.approx([1 / 12] * 8 + [1 / 6] * 2)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"objective": "hpobench", "objective_options": {"dataset": "kc1"}}, "hpobench"),
        ({"objective": "table", "objective_options": {"table": "mine.csv"}}, "table mine.csv"),
        ({"objective": "bbob", "objective_options": {"function": 3}}, "bbob 3"),
        ({"objective": "table", "objective_options": "broken"}, "table"),
        ({}, "suite"),
    ],
)
def test_relatives_are_told_by_their_objective(attributes, expected):
    assert family("suite", [history([0.5], attributes=attributes)]) == expected


def test_the_interval_of_the_middle_covers_it():
    """Of runs drawn again on the same two objectives."""
    rng = np.random.default_rng(0)
    weight = weights(["a", "b"])
    truth = aggregate.iqm(
        np.concatenate([rng.normal(0, 1, 200_000), rng.normal(3, 2, 200_000)]),
        np.full(400_000, 1 / 400_000),
    )
    held = 0
    for _ in range(200):
        made = aggregate.mean_of_middle([rng.normal(0, 1, 15), rng.normal(3, 2, 15)], weight)
        held += made.low <= truth <= made.high
    assert held / 200 >= 0.88


def test_improvement_is_averaged_over_families():
    ours = [np.array([0.0, 0.1]), np.array([0.0, 0.1]), np.array([0.9, 0.8])]
    theirs = [np.array([0.5, 0.6]), np.array([0.5, 0.6]), np.array([0.5, 0.6])]
    made = aggregate.improvement_over(ours, theirs, weights(["a", "a", "b"]))
    assert made.mean == pytest.approx(0.5)
    assert made.low is None  # two runs of each are too few
    swapped = aggregate.improvement_over(theirs, ours, weights(["a", "a", "b"]))
    assert swapped.mean == pytest.approx(1 - made.mean)


def test_the_bootstrap_of_improvement_holds_it():
    rng = np.random.default_rng(1)
    ours, theirs = [rng.normal(0, 1, 20)], [rng.normal(1, 1, 20)]
    made = aggregate.improvement_over(ours, theirs, np.ones(1))
    assert made.mean == pytest.approx(improvement(theirs[0], ours[0]))
    assert made.low < made.mean < made.high
    assert made.low > 0.5


def test_a_profile_is_the_share_of_runs_with_so_little_regret():
    strata = [np.array([0.0, 0.2, 0.4]), np.array([1.0, 1.0, 0.1])]
    made = aggregate.profile("pso", strata, np.array([0.5, 0.5]), np.array([0.0, 0.3, 1.0]))
    assert made.share == pytest.approx([1 / 6, 0.5, 1.0])
    assert (made.low <= made.share).all()
    assert (made.share <= made.high).all()


def test_the_order_can_flip_over_the_budget():
    rng = np.random.default_rng(0)
    x = np.array([1.0, 10.0])
    found = [
        {
            "early": np.array([[0.3, 0.3]]) + rng.normal(0, 0.01, (6, 2)),
            "late": np.array([[1.0, 0.0]]) + rng.normal(0, 0.01, (6, 2)),
        }
        for _ in range(3)
    ]
    early, late = over_budget.lines(found, ["early", "late"], np.full(3, 1 / 3), x)
    assert early.rank.tolist() == pytest.approx([1.0, 2.0])
    assert late.rank.tolist() == pytest.approx([2.0, 1.0])
    assert early.rank_high[0] == pytest.approx(1.0)
    assert early.regret == pytest.approx([0.3, 0.3], abs=0.02)
    for line in (early, late):
        assert (line.regret_low <= line.regret).all()
        assert (line.regret <= line.regret_high).all()


@pytest.mark.parametrize("end", [1.0, 3.0, 36.0, 59.5])
def test_the_budgets_that_a_table_names_are_among_the_places(end):
    places = over_budget.budgets(end)
    assert (places[0], places[-1]) == (1.0, end)
    assert {b for b in over_budget.BUDGETS if b <= end} <= set(places.tolist())


def test_methods_that_are_level_share_their_rank():
    found = [{"a": np.zeros((3, 1)), "b": np.zeros((3, 1))}]
    lines = over_budget.lines(found, ["a", "b"], np.ones(1), np.array([1.0]))
    assert [line.rank[0] for line in lines] == [1.5, 1.5]
