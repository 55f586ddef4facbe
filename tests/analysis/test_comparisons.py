import baycomp
import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from hpo_bench.analysis import comparisons
from hpo_bench.analysis.comparisons import BETTER, NO_DIFFERENCE, WORSE
from hpo_bench.analysis.intervals import TOO_FEW

# Darwin's plants, as in Wilcoxon's test by scipy's documentation: W+ is 96, W- is 24.
PLANTS = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75], dtype=float)


def test_wilcoxon_is_scipys_and_drops_pairs_without_a_difference():
    assert comparisons.wilcoxon(PLANTS) == 0.041259765625
    assert comparisons.wilcoxon(np.zeros(8)) == 1.0
    with_zeros = np.concatenate([PLANTS, [0.0]])
    assert comparisons.wilcoxon(with_zeros) == stats.wilcoxon(with_zeros).pvalue


def test_the_effect_is_the_difference_of_the_ranks_shares():
    assert comparisons.effect_size(PLANTS) == pytest.approx((96 - 24) / 120)
    assert comparisons.effect_size(-PLANTS) == pytest.approx(-0.6)
    assert comparisons.effect_size(np.array([0.1, 0.2, 0.0])) == 1.0
    assert comparisons.effect_size(np.zeros(3)) == 0.0


@pytest.mark.parametrize("p", [[0.01, 0.04, 0.03], [0.2, 0.9, 0.001, 0.02, 0.02], [0.5], []])
def test_holm_is_that_of_statsmodels(p):
    expected = multipletests(p, method="holm")[1] if p else []
    np.testing.assert_allclose(comparisons.holm(p), expected)


def test_holm_by_hand():
    np.testing.assert_allclose(comparisons.holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])


def test_the_bayesian_test_is_baycomps():
    gain = np.random.default_rng(0).normal(0.004, 0.01, 20)
    found = comparisons.bayesian(gain, 0.01)
    expected = baycomp.SignedRankTest.probs(gain, np.zeros(20), 0.01, random_state=1)
    # baycomp's left is the probability that its first argument is higher.
    np.testing.assert_allclose([found.better, found.equivalent, found.worse], expected, atol=0.01)
    assert comparisons.bayesian(np.full(20, 0.05), 0.01).better > 0.99
    assert comparisons.bayesian(np.full(20, -0.05), 0.01).worse > 0.99
    assert comparisons.bayesian(np.full(20, 0.001), 0.01).equivalent > 0.99


def test_few_pairs_have_no_posterior():
    assert comparisons.compare("a", "b", np.full(5, 0.1), rope=0.01).rope is None
    assert comparisons.compare("a", "b", np.full(6, 0.1), rope=0.01).rope.better > 0.9


def test_gains_are_paired_by_seed_and_above_zero_where_the_first_is_better():
    first, second = {0: 0.9, 1: 0.8, 7: 0.1}, {1: 0.7, 0: 0.6, 3: 0.2}
    np.testing.assert_allclose(comparisons.gains(first, second, maximise=True), [0.3, 0.1])
    np.testing.assert_allclose(comparisons.gains(first, second, maximise=False), [-0.3, -0.1])


def test_verdicts():
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.01, 12)
    assert comparisons.compare("a", "b", noise + 0.02).verdict == BETTER
    assert comparisons.compare("a", "b", noise - 0.02).verdict == WORSE
    assert comparisons.compare("a", "b", noise).verdict == NO_DIFFERENCE
    assert comparisons.compare("a", "b", np.zeros(12)).verdict == NO_DIFFERENCE
    assert comparisons.compare("a", "b", noise[:5] + 1).verdict == TOO_FEW


def test_more_comparisons_ask_for_more_seeds():
    methods = {name: {s: i + 0.01 * s for s in range(6)} for i, name in enumerate("abc")}
    verdicts = {c.verdict for c in comparisons.all_pairs(methods, maximise=True)}
    assert verdicts == {TOO_FEW}  # of three comparisons, the least adjusted p is 3/32
    methods = {name: {s: i + 0.01 * s for s in range(7)} for i, name in enumerate("abc")}
    assert {c.verdict for c in comparisons.all_pairs(methods, maximise=True)} == {WORSE}
    assert {c.verdict for c in comparisons.all_pairs(methods, maximise=False)} == {BETTER}


def test_methods_without_a_common_seed_are_not_compared():
    assert comparisons.all_pairs({"a": {0: 1.0}, "b": {1: 1.0}, "c": {}}, maximise=True) == []


def test_differences_that_are_none_are_seldom_found():
    """At most one family of three comparisons in twenty, but for luck."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(200):
        methods = {name: dict(enumerate(rng.normal(size=10))) for name in "abc"}
        found = comparisons.all_pairs(methods, maximise=True)
        alarms += any(c.verdict in (BETTER, WORSE) for c in found)
    assert alarms <= 18


def test_a_pair_is_judged_by_its_own_seeds():
    """The few pairs of one comparison can reach 0.05 beside others that are smaller still."""
    many, few = np.linspace(1, 2, 30), np.linspace(1, 2, 6)
    pairs = [*[comparisons.compare("a", "b", many)] * 4, comparisons.compare("a", "b", few)]
    made = comparisons.adjusted(pairs)
    assert made[-1].adjusted_p == pytest.approx(2**-5)
    assert made[-1].verdict == BETTER


def test_what_is_no_number_decides_nothing():
    found = comparisons.compare("a", "b", np.array([np.nan, *np.linspace(1, 2, 9)]))
    assert found.verdict == NO_DIFFERENCE
