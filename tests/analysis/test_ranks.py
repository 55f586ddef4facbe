import numpy as np
import pytest
from scipy import stats

from hpo_bench.analysis import ranks
from hpo_bench.analysis.ranks import critical_difference
from hpo_bench.errors import HpoBenchError

SCORES = {
    "one": {"a": 0.9, "b": 0.8, "c": 0.7},
    "two": {"a": 0.9, "b": 0.9, "c": 0.1},
    "loss": {"a": 3.0, "b": 1.0, "c": 2.0, "d": 9.0},
}


def rank(scores, *, maximise, families=None):
    """By default, every objective is a family of its own."""
    alone = {name: name for name in scores}
    return ranks.rank(scores, maximise=maximise, families=families or alone)


MAXIMISE = {"one": True, "two": True, "loss": False}


def test_the_critical_difference_is_that_of_demsars_example():
    assert critical_difference(4, 14) == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), abs=5e-4)
    assert critical_difference(10, 20) == pytest.approx(3.164 * np.sqrt(10 * 11 / 120), abs=1e-3)


def test_friedman_by_hand():
    """Without ties: 12 / (n k (k + 1)) * sum of squared rank sums - 3 n (k + 1)."""
    placed = [(1, 2, 3), (1, 3, 2), (1, 2, 3), (2, 1, 3)]
    scores = {
        str(n): dict(zip("abc", map(float, row), strict=True)) for n, row in enumerate(placed)
    }
    sums = [5, 8, 11]
    statistic = 12 / (4 * 3 * 4) * sum(s**2 for s in sums) - 3 * 4 * 4
    assert statistic == pytest.approx(4.5)
    found = rank(scores, maximise=dict.fromkeys(scores, False))
    assert found.mean_ranks == [s / 4 for s in sums]
    assert found.p == pytest.approx(stats.chi2.sf(statistic, 2))
    assert found.differing == []


def test_pairs_that_differ_are_those_of_scikit_posthocs():
    """`posthoc_nemenyi_friedman` 0.17.1 gives p = 0.0003 (a, d), 0.0028 (b, d), 0.0926 (a, c)."""
    table = np.array(
        [
            *[[0.9, 0.8, 0.7, 0.5]] * 4,
            *[[0.8, 0.9, 0.6, 0.5]] * 3,
            *[[0.9, 0.7, 0.8, 0.4]] * 1,
        ]
    )
    scores = {str(n): dict(zip("abcd", row, strict=True)) for n, row in enumerate(table)}
    found = rank(scores, maximise=dict.fromkeys(scores, True))
    assert found.differing == [("a", "d"), ("b", "d")]


def test_mean_ranks_by_hand():
    found = rank(SCORES, maximise=MAXIMISE)
    # a: 1, 1.5, 3; b: 2, 1.5, 1; c: 3, 3, 2; d was not run on every objective
    assert found.methods == ["b", "a", "c"]
    assert found.mean_ranks == pytest.approx([1.5, 5.5 / 3, 8 / 3])
    expected = stats.friedmanchisquare([1, 1.5, 3], [2, 1.5, 1], [3, 3, 2])
    assert found.p == pytest.approx(expected.pvalue)


def test_one_objective_has_no_ranks():
    with pytest.raises(HpoBenchError, match="ranks need several objectives, and here is one"):
        rank({"one": SCORES["one"]}, maximise=MAXIMISE)


def test_one_method_has_no_ranks():
    with pytest.raises(HpoBenchError, match="two methods that were run on every objective"):
        rank({"one": {"a": 1.0}, "two": {"a": 1.0, "b": 2.0}}, maximise=MAXIMISE)


def test_two_methods_have_ranks_and_no_friedman_test():
    two = {name: {m: scores[m] for m in "ab"} for name, scores in SCORES.items()}
    assert rank(two, maximise=MAXIMISE).p is None


def test_a_family_of_objectives_is_one_block():
    """Four tables that agree weigh as one that does not."""
    scores = {str(n): {"a": 1.0, "b": 2.0, "c": 3.0} for n in range(4)}
    scores["other"] = {"a": 3.0, "b": 1.0, "c": 2.0}
    families = {name: "other" if name == "other" else "tables" for name in scores}
    found = rank(scores, maximise=dict.fromkeys(scores, False), families=families)
    placed = dict(zip(found.methods, found.mean_ranks, strict=True))
    assert placed == {"a": 2.0, "b": 1.5, "c": 2.5}
    assert (found.objectives, found.families) == (5, 2)
    assert found.critical_difference == critical_difference(3, 2)
    assert found.p == pytest.approx(stats.friedmanchisquare([1, 3], [2, 1], [3, 2]).pvalue)


def test_a_single_family_says_nothing_of_other_objectives():
    scores = {str(n): {"a": 1.0, "b": 2.0, "c": 3.0} for n in range(9)}
    families = dict.fromkeys(scores, "tables")
    found = rank(scores, maximise=dict.fromkeys(scores, False), families=families)
    assert found.mean_ranks == [1.0, 2.0, 3.0]
    assert (found.p, found.critical_difference, found.differing) == (None, None, [])
