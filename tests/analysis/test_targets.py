import numpy as np
import pytest
from scipy import stats
from written import history

from hpo_bench.analysis import targets


def test_expected_running_time_counts_what_misses_have_spent():
    runs = [history([0.1, 0.1, 0.9, 0.9]), history([0.1] * 4 + [0.9]), history([0.1] * 10)]
    found = targets.reached(runs, 0.9)
    assert found.expected == (3 + 5 + 10) / 2
    assert (found.successes, found.runs) == (2, 3)


def test_a_target_that_is_never_reached_has_no_expected_running_time():
    found = targets.reached([history([0.1])] * 6, 0.9)
    assert found.expected is None
    assert found.expected_high is None
    # Six evaluations without a success: 2 s / q(0.975) of two degrees of freedom.
    assert found.expected_low == pytest.approx(12 / stats.chi2.ppf(0.975, 2))
    expected = stats.binomtest(0, 6).proportion_ci(0.95, method="wilson")
    assert (found.low, found.high) == (expected.low, expected.high)


def test_the_success_rate_has_wilsons_interval():
    """With no success in n it ends at z^2 / (n + z^2), by hand."""
    found = targets.reached([history([0.1])] * 6, 0.9)
    z = stats.norm.ppf(0.975)
    assert found.low == pytest.approx(0, abs=1e-12)
    assert found.high == pytest.approx(z**2 / (6 + z**2))
    found = targets.reached([history([0.9])] * 4 + [history([0.1])] * 4, 0.9)
    half = z / 2 * np.sqrt(1 / (8 + z**2))
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half))


def test_less_is_better_where_it_is_minimised():
    assert targets.cost_of(history([3.0, 1.0], maximise=False), 2.0) == 2
    assert targets.cost_of(history([3.0, 1.0], maximise=True), 2.0) == 1
    assert targets.cost_of(history([None, None]), 0.0) == np.inf


def test_the_distribution_is_the_share_of_runs_and_targets_reached():
    runs = [history([0.1, 0.5]), history([0.5, 0.9])]
    made = targets.distribution(runs, [0.5, 0.9], np.array([0.0, 1.0, 2.0]))
    # after one: the second run has one of two targets; after two: one and two of two
    assert made.share.tolist() == [0.0, 0.25, 0.75]
    assert made.low is None


def test_the_distribution_is_scipys_of_all_costs():
    rng = np.random.default_rng(2)
    runs = [history(rng.uniform(size=15).tolist(), seed=seed) for seed in range(8)]
    aims, x = [0.6, 0.9, 0.99], np.arange(16.0)
    costs = np.array([targets.cost_of(run, aim) for run in runs for aim in aims])
    assert np.isinf(costs).any()
    # Those that were never reached are censored at the end.
    sample = stats.CensoredData(
        costs[np.isfinite(costs)], right=[15.5] * int(np.isinf(costs).sum())
    )
    expected = stats.ecdf(sample).cdf.evaluate(x)
    np.testing.assert_allclose(targets.distribution(runs, aims, x).share, expected, atol=1e-12)


def test_the_band_is_around_the_distribution():
    rng = np.random.default_rng(0)
    runs = [history(rng.uniform(size=10).tolist(), seed=seed) for seed in range(10)]
    made = targets.distribution(runs, [0.5, 0.8, 0.95], np.arange(11.0))
    assert (made.low <= made.share).all()
    assert (made.share <= made.high).all()


@pytest.mark.parametrize("maximise", [True, False])
def test_targets_are_what_one_random_configuration_in_so_many_reaches(maximise):
    values = np.arange(1.0, 101.0)
    run = history(values.tolist(), maximise=maximise)
    found = targets.from_random([run, history([1000.0], method="pso", maximise=maximise)])
    assert list(found) == [2, 5, 10, 20, 50, 100]
    for many, target in found.items():
        share = np.mean(values >= target if maximise else values <= target)
        assert share == pytest.approx(1 / many, abs=0.011)
    spread = targets.spread_from_random([run])
    assert spread == sorted(set(spread))
    assert len(spread) > 30


@pytest.mark.parametrize("budget", [5, 20, 60])
@pytest.mark.parametrize("n", [3, 10])
def test_the_interval_of_the_expected_running_time_covers_that_of_random_draws(n, budget):
    rng = np.random.default_rng(0)
    times = rng.geometric(0.1, size=(1500, n))
    held = 0
    for runs in times:
        hits, spent = int((runs <= budget).sum()), float(np.minimum(runs, budget).sum())
        low, high = targets.expected_ends(spent, hits)
        held += low <= 10 <= (np.inf if high is None else high)
    assert held / 1500 >= 0.94


def test_few_evaluations_tell_few_targets():
    assert list(targets.from_random([history([0.1] * 12)])) == [2, 5, 10]
    assert targets.from_random([history([0.1], method="pso")]) == {}
    assert targets.spread_from_random([history([0.1])]) == []


def test_random_search_with_a_larger_budget_does_not_count_twice():
    run = history(np.arange(1.0, 101.0).tolist())
    larger = history([*range(1, 101), *[1000.0] * 100], attributes={"budget_factor": 2})
    assert targets.from_random([run, larger]) == targets.from_random([run])


def test_random_search_is_known_by_what_it_is():
    sampler = {"method": "optuna.samplers:RandomSampler"}
    assert targets.is_random(history([], method="baseline", attributes=sampler))
    assert not targets.is_random(history([], method="random", attributes={"method": "pso"}))
    sample = {"method": "random", "method_options": {"proportion": 0.5}}
    assert not targets.is_random(history([], method="random-grid", attributes=sample))


@pytest.mark.parametrize(
    ("target", "expected", "successes"),
    [(0.5, 2.0, 15), (0.9, 7.357142857142857, 14), (0.97, 31.0, 8)],
)
def test_expected_running_times_are_those_of_coco(target, expected, successes):
    """What `cocopp.toolsstats.sp` gives for the same runs."""
    rng = np.random.default_rng(0)
    runs = [history(rng.uniform(size=20).tolist()) for _ in range(15)]
    found = targets.reached(runs, target)
    assert found.expected == pytest.approx(expected, rel=1e-12)
    assert found.successes == successes
