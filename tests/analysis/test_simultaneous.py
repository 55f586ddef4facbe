from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from hpo_bench.analysis.simultaneous import ALPHA, differences


def pairs_of(k):
    return list(combinations(range(k), 2))


def test_one_difference_is_welchs():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.3, 1, 12), rng.normal(0, 2, 20)
    (found,) = differences([a, b], [(0, 1)])
    expected = stats.ttest_ind(a, b, equal_var=False)
    assert found.mean == pytest.approx(a.mean() - b.mean())
    assert found.p == pytest.approx(expected.pvalue, rel=1e-3)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=0.03)


def test_paired_differences_are_students():
    gains = np.random.default_rng(1).normal(0.5, 1, 9)
    (found,) = differences([gains], [(0, None)])
    assert found.p == pytest.approx(stats.ttest_1samp(gains, 0).pvalue, rel=1e-3)


def test_of_alike_spreads_and_many_runs_the_reach_is_tukeys():
    rng = np.random.default_rng(2)
    samples = rng.normal(size=(5, 200))
    found = differences(samples, pairs_of(5))
    tukey = stats.studentized_range.ppf(0.95, 5, 5 * 199) / np.sqrt(2)
    for one, (i, j) in zip(found, pairs_of(5), strict=True):
        error = np.hypot(stats.sem(samples[i]), stats.sem(samples[j]))
        assert (one.high - one.low) / 2 / error == pytest.approx(tukey, rel=0.02)


@pytest.mark.parametrize("family", [pairs_of(6), [(n, 0) for n in range(1, 6)], [(2, None)]])
@pytest.mark.parametrize("sizes", [[3] * 6, [10] * 6, [3, 4, 6, 10, 20, 30]])
def test_a_verdict_and_its_interval_never_contradict(family, sizes):
    rng = np.random.default_rng(3)
    shown = 0
    for _ in range(40):
        samples = [
            rng.normal(m, s, n) for m, s, n in zip(range(6), (1, 2, 1, 4, 1, 1), sizes, strict=True)
        ]
        for one in differences(samples, family, draws=999):
            assert (one.adjusted_p <= ALPHA) == (one.low > 0 or one.high < 0)
            assert one.adjusted_p >= one.p
            shown += one.adjusted_p <= ALPHA
    assert shown


DISTRIBUTIONS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "spreads": lambda rng, shape: np.geomspace(1, 8, shape[0])[:, None] * rng.normal(size=shape),
    "ceiling": lambda rng, shape: rng.choice(
        [0, -1, -2, -5.0], p=[0.7, 0.15, 0.1, 0.05], size=shape
    ),
    "two values": lambda rng, shape: rng.choice([0.0, 1.0], size=shape),
    "losses": lambda rng, shape: rng.lognormal(size=shape),
}


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("draw", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_differences_that_are_none_are_seldom_shown(draw, n):
    """In at most one family of twenty: more than 33 of 400 come by chance in one of 500."""
    rng = np.random.default_rng(4)
    alarms = 0
    for _ in range(400):
        found = differences(draw(rng, (6, n)), pairs_of(6), draws=499)
        alarms += any(one.adjusted_p <= ALPHA for one in found)
    assert alarms <= 33


def test_ten_methods_with_ten_runs_can_be_told_apart():
    samples = np.random.default_rng(5).normal(size=(10, 10))
    samples[0] += 3
    found = differences(samples, pairs_of(10))
    assert all(one.low > 0 for one in found[:9])


def test_values_that_do_not_vary_decide_nothing_when_they_are_few():
    (few,) = differences([[1.0] * 3, [0.9] * 3], [(0, 1)])
    assert few.low < 0 < few.high
    (many,) = differences([[1.0] * 10, [0.9] * 10], [(0, 1)])
    assert many.low > 0
    (same,) = differences([[1.0] * 10, [1.0] * 10], [(0, 1)])
    assert (same.mean, same.low, same.high, same.adjusted_p) == (0, 0, 0, 1)


def test_several_pairs_that_do_not_vary_are_several():
    """Alone, five equal values beside five others are enough; among fifteen pairs they are not."""
    (alone,) = differences([[1.0] * 5, [0.9] * 5], [(0, 1)])
    assert alone.adjusted_p <= ALPHA
    together = differences([[float(n)] * 5 for n in range(6)], pairs_of(6))
    assert together[0].adjusted_p > ALPHA


def test_rounding_is_no_difference():
    (found,) = differences([[0.1 + 0.2, 0.3, 0.3], [0.3, 0.3, 0.3]], [(0, 1)])
    assert (found.mean, found.adjusted_p) == (0, 1)


@pytest.mark.parametrize("factor", [2.0**1000, 2.0**-1000])
def test_huge_and_tiny_values_give_the_same_verdict(factor):
    samples = np.random.default_rng(8).normal(np.array([[0.0], [0.0], [5.0]]), 1.0, (3, 6))
    plain, scaled = differences(samples, pairs_of(3)), differences(samples * factor, pairs_of(3))
    for one, other in zip(plain, scaled, strict=True):
        assert (other.p, other.adjusted_p) == (one.p, one.adjusted_p)
        assert other.low == pytest.approx(one.low * factor)


def test_a_constant_beside_values_that_vary_costs_nothing():
    """The default of a deterministic objective: one sample's t test against a number."""
    values = np.random.default_rng(6).normal(1, 1, 12)
    (found,) = differences([values, [0.2] * 12], [(0, 1)])
    assert found.p == pytest.approx(stats.ttest_1samp(values, 0.2).pvalue, rel=0.05)


def test_the_same_values_give_the_same_answer():
    samples = np.random.default_rng(7).normal(size=(3, 8))
    assert differences(samples, pairs_of(3)) == differences(samples, pairs_of(3))
