import numpy as np
import pytest
from scipy import stats

from hpo_bench.analysis.intervals import MIN_SEEDS, Estimate, band, ends, estimate

SYMMETRIC = [0.84, 0.85, 0.86, 0.87, 0.88, 0.89, 0.90]


def test_the_interval_of_symmetric_values_is_students():
    made = estimate(SYMMETRIC)
    expected = stats.t.interval(0.95, 6, np.mean(SYMMETRIC), stats.sem(SYMMETRIC))
    assert (made.low, made.high) == pytest.approx(expected)
    assert made.mean == pytest.approx(0.87)
    assert made.n == 7


def test_the_interval_of_skewed_values_is_widened_by_halls_transformation():
    """Hall's end solves x + g x^2/3 + g^2 x^3/27 + g/6 = t, where x = (mean - end) / error."""
    values = np.array([0.1, 0.12, 0.15, 0.2, 0.3, 0.9, 2.4])
    made = estimate(values.tolist())
    n, error = len(values), stats.sem(values)
    g = stats.skew(values, bias=False) / np.sqrt(n)
    t = stats.t.ppf(0.975, n - 1)
    x = (made.mean - made.high) / error
    assert x + g * x**2 / 3 + g**2 * x**3 / 27 + g / 6 == pytest.approx(-t)
    # The other end is Student's, which is the outer one there.
    assert made.low == pytest.approx(made.mean - t * error)


def test_the_interval_turns_round_with_the_values():
    values = np.random.default_rng(0).lognormal(size=9)
    there, back = estimate(values.tolist()), estimate((-values).tolist())
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_three_replicates_have_an_interval_and_two_have_none():
    assert MIN_SEEDS == 3
    assert estimate([0.5, 0.6, 0.7]).low < 0.5
    assert estimate([0.5, 0.6]) == Estimate(0.55, None, None, 2)
    assert estimate([]) is None
    assert band(np.ones((2, 3))) is None


def test_replicates_that_agree_leave_no_doubt():
    assert estimate([0.5] * 6) == Estimate(0.5, 0.5, 0.5, 6)
    almost = [0.1 + 0.2, 0.3, 0.3, 0.3, 0.3, 0.3]
    assert estimate(almost).low == estimate(almost).mean


@pytest.mark.parametrize("n", [3, 5, 6, 10, 30])
@pytest.mark.parametrize(
    ("draw", "mean", "least"),
    [
        (lambda rng, shape: rng.normal(size=shape), 0.0, 0.945),
        # The best of 18: what a search finds.
        (lambda rng, shape: rng.beta(8, 3, size=(*shape, 18)).max(axis=-1), 0.919338, 0.945),
        (lambda rng, shape: rng.lognormal(0, 0.5, shape), np.exp(0.125), 0.935),
        (lambda rng, shape: rng.lognormal(0, 1, shape), np.exp(0.5), 0.87),
    ],
)
def test_the_interval_covers_as_often_as_it_says(n, draw, mean, least):
    low, high = ends(draw(np.random.default_rng(0), (n, 4000)))
    assert least <= np.mean((low <= mean) & (mean <= high)) <= 0.985


def test_the_band_is_the_interval_of_each_place():
    replicates = np.random.default_rng(0).lognormal(size=(12, 3))
    low, high = band(replicates)
    for place in range(3):
        made = estimate(replicates[:, place].tolist())
        assert (low[place], high[place]) == pytest.approx((made.low, made.high))
