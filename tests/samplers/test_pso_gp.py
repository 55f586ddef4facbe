"""The Gaussian process of the swarm, and what it is told of trials that lack something."""

import numpy as np
import pytest
from scipy.special import log_ndtr

from samplers.pso import _gp
from samplers.pso._archive import Archive
from samplers.pso._cube import Cube
from samplers.pso._model import Modeller, is_noisy, standardised


def points(n, d, seed=0):
    return np.random.default_rng(seed).random((n, d))


def test_the_gradient_is_that_of_the_evidence():
    x, values = points(20, 3), np.random.default_rng(1).standard_normal(20)
    squares = np.stack([np.subtract.outer(x[:, j], x[:, j]) ** 2 for j in range(3)])
    theta = np.array([-0.3, 0.2, 0.1, 0.3, -2.0])
    _, gradient = _gp._evidence(theta, squares, values)
    for k, step in enumerate(1e-5 * np.eye(5)):
        up, down = (_gp._evidence(theta + s, squares, values)[0] for s in (step, -step))
        assert gradient[k] == pytest.approx((up - down) / 2e-5, rel=1e-5)


def test_a_coordinate_that_matters_gets_the_shorter_length():
    x = points(40, 2)
    values = standardised(np.sin(6 * x[:, 0]))
    lengths = _gp.fit(x, np.arange(2), values).log_lengths
    assert lengths[0] < lengths[1] - 1


def test_it_goes_through_what_it_knows_and_is_sure_there_alone():
    x, owners = points(30, 2), np.arange(2)
    values = standardised(np.sum((x - 0.3) ** 2, axis=1))
    process = _gp.GaussianProcess(x, owners, values, _gp.fit(x, owners, values))
    mean, deviation = process.predict(x)
    assert mean == pytest.approx(values, abs=0.05)
    _, away = process.predict(x + 5)
    assert away.min() > 10 * deviation.max()
    _, after = process.believing(x[:1] + 5).predict(x[:1] + 5)
    assert after[0] < 0.1 * away[0]


@pytest.mark.parametrize("z", [-35.0, -8.0, -4.01, -3.99, 0.0, 3.0])
def test_expected_improvement_keeps_its_digits_where_there_is_hardly_any(z):
    # The reference loses digits far out, where its two terms cancel.
    density = -0.5 * z * z - 0.5 * np.log(2 * np.pi)
    ratio = z * np.exp(log_ndtr(z) - density)
    [found] = _gp.log_expected_improvement(np.array([-z]), np.ones(1), 0.0)
    assert found == pytest.approx(density + np.log1p(ratio), abs=1e-11 + 1e-15 * z**6)


@pytest.mark.parametrize(("error", "noisy"), [(0.0, False), (0.5, True)])
def test_noise_is_found_where_there_is_some(error, noisy):
    archive, rng = Archive(Cube(np.zeros(2, dtype=int), np.zeros(2, dtype=bool))), points(60, 3)
    for number, (a, b, u) in enumerate(rng):
        value = (a - 0.3) ** 2 + b + error * (u - 0.5)
        archive.remember(number, np.array([a, b]), value, None, {})
    assert is_noisy(Modeller(Cube(np.zeros(2, int), np.zeros(2, bool))).fitted(archive, 0)) == noisy


def test_pruned_trials_are_placed_among_the_others_by_their_last_report():
    archive = Archive(Cube(np.zeros(1, dtype=int), np.zeros(1, dtype=bool)))
    x = np.array([0.5])
    archive.remember(0, x, None, None, {1: 7.0})
    assert archive.values.tolist() == [np.inf]  # nobody has gone on from there
    archive.remember(1, x, 1.0, None, {1: 4.0, 2: 2.0})
    archive.remember(2, x, 3.0, None, {1: 8.0, 2: 5.0})
    archive.remember(3, x, None, None, {1: 9.0})
    archive.remember(4, x, None, None, {1: 3.0, 2: 3.5})
    archive.remember(5, x, None, None, {})
    assert archive.values.tolist() == [2.5, 1.0, 3.0, np.inf, 2.0, np.inf]


def test_which_coordinates_a_point_has_is_learnt_two_levels_deep():
    cube = Cube(np.array([3, 0, 2, 0]), np.array([True, False, True, False]))
    archive = Archive(cube)
    for number, x in enumerate(points(40, 4)):
        kind, mode = cube.cells(x)[[0, 2]]
        active = np.array([True, kind == 1, kind == 2, kind == 2 and mode == 1])
        archive.remember(number, x, 0.0, active, {})
    x = np.array([[0.1, 0.9, 0.9, 0.9], [0.5, 0.9, 0.9, 0.9], [0.9, 0.9, 0.1, 0.9], [0.9] * 4])
    has = archive.canonical(x)[:, [1, 3]] == 0.9
    assert has.tolist() == [[False, False], [True, False], [False, False], [False, True]]
