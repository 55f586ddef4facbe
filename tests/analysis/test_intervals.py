import numpy as np
import pytest
from scipy import stats

from hpo_bench.analysis.intervals import MIN_SEEDS, Estimate, band, estimate

VALUES = [0.86, 0.87, 0.85, 0.90, 0.84, 0.88, 0.91, 0.86]


def test_the_interval_is_scipys_bca():
    made = estimate(VALUES)
    expected = stats.bootstrap((np.array(VALUES),), np.mean, method="BCa", rng=0)
    assert (made.low, made.high) == tuple(expected.confidence_interval)
    assert made.mean == pytest.approx(np.mean(VALUES))
    assert made.n == 8


def test_the_interval_is_efrons_by_its_definition():
    """Bias correction from the resampled means, acceleration from the jackknife; skewed values."""
    values = np.random.default_rng(3).gamma(0.5, size=12)
    n = len(values)
    draws = np.random.default_rng(1).integers(n, size=(200_000, n))
    means = values[draws].mean(axis=1)
    correction = stats.norm.ppf(np.mean(means < values.mean()))
    jackknife = np.array([np.delete(values, i).mean() for i in range(n)])
    apart = jackknife.mean() - jackknife
    acceleration = np.sum(apart**3) / (6 * np.sum(apart**2) ** 1.5)
    ends = []
    for z in stats.norm.ppf([0.025, 0.975]):
        moved = correction + (correction + z) / (1 - acceleration * (correction + z))
        ends.append(np.quantile(means, stats.norm.cdf(moved)))
    made = estimate(values.tolist())
    width = ends[1] - ends[0]
    assert (made.low, made.high) == pytest.approx(ends, abs=0.03 * width)
    # It is not the percentile interval, which is off by more on the skewed side.
    assert abs(np.quantile(means, 0.975) - ends[1]) > 0.05 * width


def test_too_few_replicates_have_no_interval():
    assert estimate([0.5] * (MIN_SEEDS - 1)) == Estimate(0.5, None, None, 5)
    assert estimate([]) is None
    assert band(np.ones((MIN_SEEDS - 1, 3))) is None


def test_replicates_that_agree_leave_no_doubt():
    assert estimate([0.5] * 6) == Estimate(0.5, 0.5, 0.5, 6)
    almost = [0.1 + 0.2, 0.3, 0.3, 0.3, 0.3, 0.3]
    assert estimate(almost).low == estimate(almost).mean


def test_the_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(200, 20))
    hits = sum(made.low <= 0 <= made.high for made in map(estimate, samples.tolist()))
    assert 0.88 <= hits / 200 <= 0.98


def test_the_band_is_that_of_each_places_mean():
    rng = np.random.default_rng(0)
    replicates = rng.normal(size=(30, 2))
    low, high = band(replicates)
    for place in range(2):
        expected = stats.bootstrap(
            (replicates[:, place],), np.mean, method="percentile", rng=1
        ).confidence_interval
        np.testing.assert_allclose([low[place], high[place]], expected, atol=0.05)
