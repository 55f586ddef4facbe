import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from hpo_bench.analysis.over_objectives import compare, holm, least_p, signed_rank


@pytest.mark.parametrize("seed", range(4))
def test_with_a_family_for_each_objective_it_is_wilcoxons_exact_test(seed):
    gains = np.random.default_rng(seed).normal(0.4, 1, 10)
    families = list(map(str, range(10)))
    assert signed_rank(gains, families) == pytest.approx(stats.wilcoxon(gains).pvalue)


def test_many_families_are_drawn_and_give_nearly_the_exact_p():
    gains = np.random.default_rng(0).normal(0.5, 1, 20)
    found = signed_rank(gains, list(map(str, range(20))))
    assert found == pytest.approx(stats.wilcoxon(gains).pvalue, abs=0.01)


def test_ten_tables_of_three_families_are_three_witnesses():
    families = ["hpobench"] * 4 + ["hpolib"] * 4 + ["nasbench201"] * 2
    assert signed_rank(np.arange(1.0, 11.0), families) == least_p(3) == 0.25


def test_objectives_without_a_difference_are_dropped():
    gains = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    assert signed_rank(gains, list("abcdef")) == least_p(5)
    assert signed_rank(np.zeros(3), list("abc")) == 1.0


@pytest.mark.parametrize("p", [[0.01, 0.04, 0.03], [0.2, 0.9, 0.001, 0.02, 0.02], [0.5], []])
def test_holm_is_that_of_statsmodels(p):
    expected = multipletests(p, method="holm")[1] if p else []
    np.testing.assert_allclose(holm(p), expected)


def test_methods_are_compared_over_objectives():
    rng = np.random.default_rng(0)
    table = np.stack(
        [rng.uniform(0, 0.1, 12), rng.uniform(0.2, 0.3, 12), rng.uniform(0.2, 0.3, 12)]
    )
    found = compare(["a", "b", "c"], table.T, list(map(str, range(12))))
    by = {(pair.first, pair.second): pair for pair in found}
    assert (by["a", "b"].wins, by["a", "b"].losses) == (12, 0)
    assert by["a", "b"].p == least_p(12)
    assert by["a", "b"].adjusted_p == pytest.approx(3 * least_p(12))
    assert [pair.differs for pair in found] == [True, True, False]


def test_other_methods_do_not_change_the_p_of_a_pair():
    """Nemenyi's test does: it ranks with the others (Benavoli et al. 2016)."""
    table = np.random.default_rng(1).uniform(size=(8, 5))
    families = list(map(str, range(8)))
    few = compare(["a", "b"], table[:, :2], families)
    many = compare(list("abcde"), table, families)
    assert few[0].p == many[0].p
