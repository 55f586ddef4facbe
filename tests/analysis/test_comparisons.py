import numpy as np
import pytest

from hpo_bench.analysis import comparisons
from hpo_bench.analysis.comparisons import BETTER, EQUIVALENT, NO_DIFFERENCE, WORSE
from hpo_bench.analysis.improvement import improvement
from hpo_bench.analysis.intervals import TOO_FEW


def drawn(shifts, *, seeds=12, spread=0.01):
    rng = np.random.default_rng(1)
    return {
        name: dict(enumerate((shift + spread * rng.normal(size=seeds)).tolist()))
        for name, shift in shifts.items()
    }


def verdicts(groups, **told):
    made = comparisons.all_pairs(groups, maximise=told.pop("maximise", True), **told)
    return {(c.first, c.second): c.verdict for c in made}


def test_verdicts_are_of_the_first_whatever_the_direction():
    groups = drawn({"a": 0.8, "b": 0.9, "c": 0.8})
    expected = {("a", "b"): WORSE, ("a", "c"): NO_DIFFERENCE, ("b", "c"): BETTER}
    assert verdicts(groups) == expected
    turned = {("a", "b"): BETTER, ("a", "c"): NO_DIFFERENCE, ("b", "c"): WORSE}
    assert verdicts(groups, maximise=False) == turned


def test_three_runs_are_judged_and_two_are_too_few():
    groups = drawn({"a": 0.0, "b": 0.0, "c": 9.0}, seeds=3)
    groups["d"] = {0: 0.0, 1: 0.0}
    found = verdicts(groups)
    assert found["a", "b"] == NO_DIFFERENCE
    assert found["a", "c"] == WORSE
    assert {found[pair] for pair in found if "d" in pair} == {TOO_FEW}
    (few,) = (
        c
        for c in comparisons.all_pairs(groups, maximise=True)
        if c.first == "a" and c.second == "d"
    )
    assert (few.gain.low, few.p, few.adjusted_p, few.equivalent_within) == (None,) * 4
    assert few.gain.mean == pytest.approx(np.mean(list(groups["a"].values())))


def test_too_few_runs_of_one_method_cost_the_others_nothing():
    groups = drawn({"a": 0.0, "b": 0.01})
    alone = comparisons.all_pairs(groups, maximise=True)
    beside = comparisons.all_pairs({**groups, "c": {0: 0.5}}, maximise=True)
    assert alone[0] == beside[0]


def test_methods_need_no_seed_in_common_but_a_value():
    groups = {"a": {0: 1.0, 1: 1.1, 2: 0.9}, "b": {7: 1.0, 8: 1.2, 9: 1.1}, "c": {}}
    assert list(verdicts(groups)) == [("a", "b")]


def test_the_order_of_seeds_changes_nothing():
    groups = drawn({"a": 0.0, "b": 0.01})
    turned = {**groups, "b": dict(zip(groups["b"], reversed(groups["b"].values()), strict=True))}
    first, second = (comparisons.all_pairs(g, maximise=True)[0] for g in (groups, turned))
    assert first.p == pytest.approx(second.p)


def test_a_pair_is_equivalent_where_the_interval_is_within_the_region():
    groups = drawn({"a": 0.0, "b": 0.0}, seeds=30)
    (found,) = comparisons.all_pairs(groups, maximise=True)
    assert found.equivalent_within == max(-found.gain.low, found.gain.high)
    pair = ("a", "b")
    assert verdicts(groups)[pair] == NO_DIFFERENCE
    assert verdicts(groups, rope=found.equivalent_within)[pair] == EQUIVALENT
    assert verdicts(groups, rope=0.99 * found.equivalent_within)[pair] == NO_DIFFERENCE


def test_a_difference_that_is_shown_is_said_although_it_does_not_matter():
    groups = drawn({"a": 0.0, "b": 1.0})
    assert verdicts(groups, rope=10.0)["a", "b"] == WORSE


def test_against_a_baseline_only_its_pairs_count():
    groups = drawn({"a": 0.012, "b": 0.0, "c": 0.0, "d": 0.0, "e": 0.0, "base": 0.0})
    every = comparisons.all_pairs(groups, maximise=True)
    few = comparisons.compare(groups, [(n, "base") for n in "abcde"], maximise=True)
    (one,) = (c for c in every if (c.first, c.second) == ("a", "base"))
    assert few[0].p == one.p
    assert few[0].adjusted_p < one.adjusted_p


def test_paired_advantages_are_judged_together():
    rng = np.random.default_rng(0)
    samples = [rng.normal(size=10), 5 + rng.normal(size=10), [1.0, 1.0]]
    names = ("new", "old")
    made = comparisons.judge(samples, [(names, (place, None)) for place in range(3)])
    assert [c.verdict for c in made] == [NO_DIFFERENCE, BETTER, TOO_FEW]
    assert [c.runs for c in made] == [(10, 10), (10, 10), (2, 2)]


def test_a_difference_beyond_a_float_decides_nothing_and_costs_the_others_nothing():
    rng = np.random.default_rng(0)
    samples = [rng.normal(5, 1, 8), [np.inf, 1.0, 2.0, 3.0]]
    names = ("new", "old")
    alone = comparisons.judge(samples[:1], [(names, (0, None))])
    beside = comparisons.judge(samples, [(names, (place, None)) for place in range(2)])
    assert beside[0] == alone[0]
    assert beside[1].verdict == NO_DIFFERENCE
    assert np.isnan(beside[1].gain.low)


def test_the_probability_of_improvement_counts_pairs_of_runs():
    assert improvement([1, 2, 3], [2, 2]) == pytest.approx((2 + 2 * 0.5) / 6)
    assert improvement([1.0], [1.0]) == 0.5
