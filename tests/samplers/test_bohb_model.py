"""BOHB's model beside the one it is written after: HpBandSter's generator, fed the same draws."""

import importlib.util
import logging
import math
import warnings
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from samplers.bohb._model import Density, Model, Settings, complete

hpbandster = pytest.importorskip("hpbandster.core.dispatcher")
ConfigSpace = pytest.importorskip("ConfigSpace")
scipy_stats = pytest.importorskip("scipy.stats")

BUDGET = 9.0


class Reference:
    """HpBandSter's generator, loaded once more so that it draws from what a test hands it."""

    def __init__(self, levels, options, inactive=()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spec = importlib.util.find_spec("hpbandster.optimizers.config_generators.bohb")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            self.numpy = module.np = HandedNumPy()
            module.sps = SimpleNamespace(truncnorm=SimpleNamespace(rvs=self.numpy.random.between))
            self.space = ConfigSpace.ConfigurationSpace()
            for j, n in enumerate(levels):
                self.space.add(
                    ConfigSpace.CategoricalHyperparameter(f"h{j}", range(int(n)))
                    if n
                    else ConfigSpace.UniformFloatHyperparameter(f"h{j}", 0, 1)
                )
            for j in inactive:  # wherever the first choice is not 0
                parent, child = self.space["h0"], self.space[f"h{j}"]
                self.space.add(ConfigSpace.EqualsCondition(child, parent, 0))
            quiet = logging.getLogger("quiet")
            quiet.disabled = True
            self.generator = module.BOHB(self.space, logger=quiet, **options)

    def fit(self, points, losses, rng=None):
        """Tell all results, of which the last one makes the model."""
        impute = self.generator.impute_conditional_data

        def handed(array):
            if np.isnan(array).any():
                self.numpy.random.hand_completion(rng.random(array.shape))
            return impute(array)

        self.generator.impute_conditional_data = handed
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for i, (x, loss) in enumerate(zip(points, losses, strict=True)):
                known = {f"h{j}": v for j, v in enumerate(x.tolist()) if not math.isnan(v)}
                config = {n: int(v) if self.is_choice(n) else v for n, v in known.items()}
                job = hpbandster.Job((i,), config=config, budget=BUDGET)
                job.result = {"loss": loss} if math.isfinite(loss) else None
                self.generator.new_result(job, update_model=i == len(points) - 1)
        return self.generator.kde_models.get(BUDGET)

    def is_choice(self, name):
        return hasattr(self.space[name], "choices")

    def pick(self, u):
        """Give the pick for uniform numbers as `Model.candidates` takes them; None if random."""
        self.numpy.random.hand_candidates(u)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            config, info = self.generator.get_config(None)
        if not info["model_based_pick"]:
            return None
        return np.array([config[f"h{j}"] for j in range(len(config))], dtype=float)


class HandedNumPy(ModuleType):
    """NumPy whose random numbers are handed to it."""

    def __init__(self):
        super().__init__("numpy")
        self.random = HandedRandom()

    def copy(self, row):
        return self.random.next_row(np.copy(row))

    def __getattr__(self, name):
        return getattr(np, name)


class HandedRandom:
    """Answers HpBandSter's calls, in their order, by uniform numbers that lie ready in a table."""

    row, datum = -1, None

    def hand_candidates(self, u):
        self.u, self.row, self.column, self.datum = u, -1, 0, None
        self.d = (u.shape[1] - 1) // 2
        self.is_first = True

    def hand_completion(self, u):
        self.u, self.row, self.datum = u, -1, None

    def next_row(self, datum):
        self.row, self.datum = self.row + 1, datum
        return datum

    def missing(self):
        return self.u[self.row, int(np.argmax(np.isnan(self.datum)))]

    def choice(self, rows):
        return rows[int(self.missing() * len(rows))]

    def rand(self):
        if self.datum is not None:
            return self.missing()
        if self.is_first:  # whether to draw at random
            self.is_first = False
            return 1.0
        self.column += 1
        return self.u[self.row, self.column]

    def between(self, a, b, loc, scale):
        return scipy_stats.truncnorm.ppf(self.rand(), a, b, loc=loc, scale=scale)

    def randint(self, low, high=None):
        if self.datum is not None:
            return int(self.missing() * low)
        if high is not None:  # a good point, for the next candidate
            self.row, self.column = self.row + 1, 0
            return int(self.u[self.row, 0] * high)
        return int(self.u[self.row, self.column + self.d] * low)


def draw_points(rng, n, levels):
    """Points on a coarse grid, so that kernels meet their centres, with distinct losses."""
    u = rng.random((n, len(levels)))
    points = np.where(levels > 0, np.floor(u**2 * levels), np.round(u, 2))
    return points, rng.permutation(n).astype(float)


def assert_equal_models(model, reference):
    for ours, theirs in ((model.good, reference["good"]), (model.bad, reference["bad"])):
        np.testing.assert_array_equal(ours.points, theirs.data)
        np.testing.assert_allclose(ours.bandwidths, theirs.bw, rtol=1e-12)


def assert_equal_picks(model, reference, u):
    x = model.candidates(u)
    good, bad = (reference.generator.kde_models[BUDGET][kind] for kind in ("good", "bad"))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        theirs = [max(1e-32, bad.pdf(row)) / max(good.pdf(row), 1e-32) for row in x]
    np.testing.assert_allclose(model.acquisition(x), theirs, rtol=1e-9)
    best, pick = model.best(x), reference.pick(u)
    assert (best is None) == (pick is None)
    if best is not None:
        np.testing.assert_allclose(x[best], pick, rtol=0, atol=1e-9)
    return theirs


levels_of_spaces = st.lists(st.sampled_from([0, 0, 2, 3, 7]), min_size=1, max_size=5).map(np.array)


@settings(deadline=None, max_examples=60)
@given(
    levels_of_spaces,
    st.integers(0, 2**32),
    st.integers(0, 60),
    st.sampled_from([1, 15, 60, 85]),
    st.none() | st.integers(0, 5),
    st.sampled_from([1e-3, 0.2]),
    st.sampled_from([1, 3]),
)
def test_split_bandwidths_values_and_pick_are_hpbandsters(
    levels, seed, n_more, top_n_percent, more_points, min_bandwidth, bandwidth_factor
):
    rng = np.random.default_rng(seed)
    d = len(levels)
    chosen = Settings(
        None if more_points is None else d + 1 + more_points,
        top_n_percent,
        24,
        0.0,
        bandwidth_factor,
        min_bandwidth,
    )
    points, losses = draw_points(rng, chosen.points_needed(d) + n_more, levels)
    losses[losses == losses.max()] = math.inf  # it crashed
    reference = Reference(levels, vars(chosen))
    theirs = reference.fit(points, losses)
    model = Model(points, losses, levels, chosen, rng)
    assert_equal_models(model, theirs)
    assert_equal_picks(model, reference, rng.random((24, 1 + 2 * d)))


@pytest.mark.parametrize(
    ("good", "bad", "meets"),
    [
        ([0, 0, 0], [0, 1, 2], lambda values: 0 in values),  # a choice no good point has
        ([0, 1, 2], [0, 0, 0], lambda values: math.inf in values),  # one no bad point has
        ([1, 1, 1], [0, 0, 0], lambda values: np.isnan(values).any()),
    ],
)
def test_choices_that_a_set_lacks_are_treated_as_hpbandster_treats_them(good, bad, meets):
    levels, rng = np.array([4, 0]), np.random.default_rng(1)
    # With the least bandwidth no choice would be redrawn.
    chosen = Settings(num_samples=300, random_fraction=0, min_bandwidth=0.4)
    points = np.column_stack([good + bad, rng.random(6)])
    reference = Reference(levels, vars(chosen))
    reference.fit(points, np.arange(6.0))
    model = Model(points, np.arange(6.0), levels, chosen, rng)
    values = assert_equal_picks(model, reference, rng.random((300, 5)))
    assert meets(values)


def test_there_is_no_best_where_nothing_has_a_value():
    points = np.array([[0, 0.1], [0, 0.1], [0, 0.1], [0, 0.9], [0, 0.9], [0, 0.9]])
    rng = np.random.default_rng(0)
    model = Model(points, np.arange(6.0), np.array([2, 0]), Settings(), rng)
    # Another choice, and so far away that its kernel is infinity times nothing.
    far = np.array([[1, 0.9]])
    assert math.isnan(model.acquisition(far)[0])
    assert model.best(far) is None


def test_a_budget_has_a_model_when_hpbandsters_has():
    for d, top_n_percent, least in ((1, 15, None), (3, 15, None), (2, 60, 5), (3, 85, 4)):
        chosen = Settings(least, top_n_percent, random_fraction=0)
        points, losses = draw_points(np.random.default_rng(d), 60, np.zeros(d, int))
        for n in range(1, 60):
            theirs = Reference(np.zeros(d, int), vars(chosen)).fit(points[:n], losses[:n])
            assert (theirs is not None) == (n >= chosen.points_needed(d))


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 9), st.integers(1, 99), st.none() | st.integers(1, 30), st.integers(0, 900))
def test_more_points_always_make_a_model(d, top_n_percent, least, n_more):
    chosen = Settings(least, top_n_percent)
    needed = chosen.points_needed(d)
    assert min(chosen.split(needed - 1, d)) <= d < min(chosen.split(needed + n_more, d))


incomplete = st.lists(
    st.lists(st.none() | st.integers(0, 1), min_size=3, max_size=3), min_size=1, max_size=8
).map(lambda rows: np.array(rows, dtype=float))


@settings(deadline=None, max_examples=200)
@given(incomplete, st.integers(0, 2**32))
def test_what_is_missing_is_completed_as_hpbandster_does(points, seed):
    # Where only the first coordinate is missing it forgets to.
    alone = np.isnan(points[:, 0]) & ~np.isnan(points[:, 1:]).any(axis=1)
    assume(not alone.any())
    levels, u = np.array([2, 0, 3]), np.random.default_rng(seed).random(points.shape)
    reference = Reference(levels, {})
    reference.numpy.random.hand_completion(u)
    theirs = reference.generator.impute_conditional_data(points)
    np.testing.assert_array_equal(complete(points, levels, u), theirs)


@settings(deadline=None, max_examples=200)
@given(incomplete, st.integers(0, 2**32))
def test_completing_leaves_nothing_missing_and_nothing_changed(points, seed):
    filled = complete(points, np.array([2, 0, 3]), np.random.default_rng(seed).random(points.shape))
    assert not np.isnan(filled).any()
    np.testing.assert_array_equal(filled[~np.isnan(points)], points[~np.isnan(points)])


@pytest.mark.parametrize("seed", range(5))
def test_a_conditional_space_has_hpbandsters_model(seed):
    levels, chosen = np.array([3, 0, 2, 0]), Settings(num_samples=64, random_fraction=0)
    rng = np.random.default_rng(seed)
    points, losses = draw_points(rng, 40, levels)
    points[np.ix_(points[:, 0] != 0, [2, 3])] = np.nan
    reference = Reference(levels, vars(chosen), inactive=(2, 3))
    theirs = reference.fit(points, losses, np.random.default_rng([seed, 1]))
    model = Model(points, losses, levels, chosen, np.random.default_rng([seed, 1]))
    assert_equal_models(model, theirs)
    x = model.candidates(rng.random((64, 9)))
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(model.good(x), theirs["good"].pdf(x), rtol=1e-9)
        np.testing.assert_allclose(model.bad(x), theirs["bad"].pdf(x), rtol=1e-9)


@settings(deadline=None, max_examples=100)
@given(levels_of_spaces, st.integers(0, 2**32), st.sampled_from([1e-6, 1e-3, 1.0]))
def test_candidates_are_legal(levels, seed, min_bandwidth):
    rng = np.random.default_rng(seed)
    d = len(levels)
    chosen = Settings(min_bandwidth=min_bandwidth)
    points, losses = draw_points(rng, 2 * d + 2, levels)
    u = rng.choice([0.0, 0.5, 1 - 2**-53], (50, 1 + 2 * d))
    x = Model(points, losses, levels, chosen, rng).candidates(u)
    numbers, choices = x[:, levels == 0], x[:, levels > 0]
    assert np.all((numbers >= 0) & (numbers <= 1))
    assert np.all(np.isin(choices, range(7)) & (choices < levels[levels > 0]))


def test_a_density_of_numbers_and_seen_choices_is_one_in_all():
    points = np.array([[0.4, 0], [0.5, 1], [0.6, 1], [0.5, 2]])
    density = Density(points, np.array([0, 5]), 1e-3)
    grid = np.linspace(-2, 3, 2001)
    mass = [density(np.column_stack([grid, np.full(2001, c)])).sum() * 5 / 2000 for c in range(3)]
    assert sum(mass) == pytest.approx(1)


def test_equal_losses_are_ranked_in_the_order_of_the_trials():
    points = np.linspace(0, 1, 40)[:, None]
    model = Model(points, np.full(40, math.inf), np.array([0]), Settings(), np.random.default_rng())
    np.testing.assert_array_equal(model.good.points, points[:6])
    np.testing.assert_array_equal(model.bad.points, points[6:])
