"""The swarms by themselves: moves checked by hand, and the order of telling left without trace."""

import itertools

import numpy as np
import pytest

from samplers.pso._classic import ClassicSettings, ClassicSwarm
from samplers.pso._cube import Coding, Cube
from samplers.pso._design import initial_point
from samplers.pso._swarm import Evaluation, Move, Settings, Swarm


def cube(*levels, categorical=()):
    marks = [j in categorical for j in range(len(levels))]
    return Cube(np.array(levels, dtype=np.int64), np.array(marks))


def run(swarm, value, n):
    evaluations = []
    for number in range(n):
        move = swarm.ask(number, turn=number)
        evaluations.append(Evaluation(number, value(move.x), move))
        swarm.see(number, move)
        swarm.tell(evaluations[-1], number)
    return evaluations


def test_classic_follows_a_trace_computed_by_hand():
    """Algorithm 3 with S = 2 in one dimension, every line of it written out."""
    settings = ClassicSettings(swarm_size=2, inertia=0.5, phi_l=1.0, phi_g=2.0, epsilon=0.0)
    swarm = ClassicSwarm(cube(0), settings, seed=9)

    def accuracy_lost(x):
        return abs(x - 0.6)

    def draws(generation):
        rng = np.random.default_rng([9, generation, 0xA3])
        return rng.uniform(0, 1.0), rng.uniform(0, 2.0)

    # t = 0: given positions instead of random ones, velocities zero.
    for turn, x in enumerate([0.2, 0.9]):
        move = Move(np.array([x]), np.zeros(1), turn)
        swarm.see(turn, move)
        swarm.tell(Evaluation(turn, accuracy_lost(x), move), turn)
    # Losses 0.4 and 0.3: the best of the iteration is 0.9, and so is the best of all.
    u_l, u_g = draws(1)
    v = [u_l * (0.9 - 0.2) + u_g * (0.9 - 0.2), 0.0]
    x = [min(0.2 + v[0], 1.0), 0.9]
    assert_generation(swarm, 1, x, v, accuracy_lost)
    # t = 1: the best of this iteration, and the best of both, whichever they are.
    iteration_best = min(x, key=accuracy_lost)
    global_best = min([0.2, 0.9, *x], key=accuracy_lost)
    u_l, u_g = draws(2)
    v = [0.5 * v[k] + u_l * (iteration_best - x[k]) + u_g * (global_best - x[k]) for k in range(2)]
    x = [min(max(x[k] + v[k], 0.0), 1.0) for k in range(2)]
    assert_generation(swarm, 2, x, v, accuracy_lost)


def assert_generation(swarm, generation, x, v, value):
    moves = [swarm.ask(2 * generation + k, 2 * generation + k) for k in range(2)]
    assert [move.x[0] for move in moves] == pytest.approx(x)
    assert [move.v[0] for move in moves] == pytest.approx(v)
    for k, move in enumerate(moves):
        # What a particle of this generation has found does not reach the others before the next.
        again = swarm.ask(2 * generation + k, 2 * generation + k)
        assert np.array_equal(again.x, move.x)
        swarm.see(2 * generation + k, move)
        swarm.tell(Evaluation(2 * generation + k, value(move.x[0]), move), 2 * generation + k)


def test_classic_converges_when_the_whole_generation_slows_down():
    settings = ClassicSettings(swarm_size=2, inertia=0.5, phi_l=1.0, phi_g=2.0, epsilon=0.1)
    swarm = ClassicSwarm(cube(0), settings, seed=9)
    assert not swarm.has_converged(0)
    for turn in range(2):  # both at one place, at rest: the next velocities are zero
        move = Move(np.array([0.3]), np.zeros(1), turn)
        swarm.see(turn, move)
        swarm.tell(Evaluation(turn, 1.0, move), turn)
        assert swarm.has_converged(turn + 1) == (turn == 1)


def test_a_pure_move_in_one_dimension_is_the_equation():
    """v = w v + c1 u1 (p - x) + c2 u2 (g - x), stopped at v_max, with u from (seed, number)."""
    settings = Settings(2, 0.5, 1.6, 1.2, 0.9, 1)
    swarm = Swarm(cube(0), settings, seed=4)
    starts = [0.1, 0.2, 0.8, 0.75]
    for number, x in enumerate(starts):
        swarm.tell(Evaluation(number, abs(x - 0.5), Move(np.array([x]))))
    # The best starts are 0.75 (particle 0, the leader) and 0.8 or 0.2, of which 0.2 came first.
    rng = np.random.default_rng([4, 5])
    u1, u2 = rng.random((1, 1))[0, 0], rng.random((1, 1))[0, 0]
    move = swarm.ask(5, turn=5)
    assert move.particle == 1
    v = 1.6 * u1 * (0.2 - 0.2) + 1.2 * u2 * (0.75 - 0.2)
    assert move.v[0] == pytest.approx(min(v, 0.9))
    assert move.x[0] == pytest.approx(0.2 + min(v, 0.9))
    # It is told where its move led, and goes on from there.
    swarm.tell(Evaluation(5, 0.01, move))
    rng = np.random.default_rng([4, 7])
    after = swarm.ask(7, turn=7)
    assert after.incumbent == 5  # it leads now
    assert np.all(np.abs(after.v) <= 0.9)


@pytest.mark.parametrize(
    ("levels", "n_candidates", "surrogate", "n"),
    [
        ((0, 0, 5), 1, None, 14),
        ((0, 0, 5), 8, "rbf", 14),
        ((0, 0, 5), 8, "gp", 14),
        ((0, 0), 8, "rbf", 150),
    ],
)
def test_the_order_of_telling_leaves_no_trace(levels, n_candidates, surrogate, n):
    """With 150 moves in the plane the swarm has set out again."""

    def build():
        settings = Settings(3, 0.5, 1.6, 1.6, 0.25, n_candidates, surrogate)
        return Swarm(cube(*levels), settings, seed=1)

    told = run(build(), lambda x: float(np.sum((x - 0.3) ** 2)), n)
    assert (told[-1].move.since == (0, 0)) == (n == 14)
    for seed in range(5):
        swarm = build()
        for i in np.random.default_rng(seed).permutation(len(told)):
            swarm.tell(told[i])
        asked, expected = swarm.ask(n, n), build()
        for evaluation in told:
            expected.tell(evaluation)
        expected = expected.ask(n, n)
        assert np.array_equal(asked.x, expected.x)
        assert asked[2:] == expected[2:]


def test_positions_stay_in_the_cube_and_velocities_within_their_limit():
    swarm = Swarm(cube(0, 0), Settings(4, 0.9, 2.0, 2.0, 0.3, 1), seed=2)
    for _, _, move, *_ in run(swarm, lambda x: float(np.sum(x)), 80):  # the optimum is a corner
        assert np.all((move.x >= 0) & (move.x <= 1))
        assert move.v is None or np.all(np.abs(move.v) <= 0.3)


@pytest.mark.parametrize("surrogate", ["rbf", "gp"])
def test_values_of_any_scale_are_taken(surrogate):
    swarm = Swarm(cube(0, 0), Settings(3, 0.5, 1.6, 1.6, 0.25, 8, surrogate), seed=2)
    values = itertools.cycle([np.inf, -np.inf, 1e308, -1e308, 0.0])
    for _, _, move, *_ in run(swarm, lambda _: next(values), 30):
        assert np.all(np.isfinite(move.x))


@pytest.mark.parametrize(
    ("levels", "categorical"),
    [
        ((1,), ()),
        ((1, 1), (0,)),
        ((3,), (0,)),
        ((0, 4, 2), (2,)),
        ((2, 2), (0, 1)),
        ((0,) * 12, ()),
    ],
)
@pytest.mark.parametrize(("n_candidates", "surrogate"), [(1, None), (32, "rbf"), (32, "gp")])
def test_every_shape_of_space_is_searched(levels, categorical, n_candidates, surrogate):
    space = cube(*levels, categorical=categorical)
    swarm = Swarm(space, Settings(3, 0.5, 1.6, 1.6, 0.25, n_candidates, surrogate), seed=2)
    told = run(swarm, lambda x: float(np.sum((x - 0.2) ** 2)), 30)
    keys = [space.key(evaluation.move.x) for evaluation in told]
    assert all(np.all((e.move.x >= 0) & (e.move.x <= 1)) for e in told)
    if all(levels):
        assert len(set(keys)) == min(np.prod(levels), 30)


@pytest.mark.parametrize("n_choices", [3, 64, 65, 100_000])
def test_two_choices_are_at_distance_one_however_many_there_are(n_choices):
    space = cube(0, n_choices, categorical=(1,))
    points = space.snap(np.random.default_rng(1).random((20, 2)))
    points[10:15, 1] = points[0, 1]
    coding = Coding(space, points[:5])
    codes, those = coding(points), coding(points[:5])
    square = np.sum((codes[:, None] - those) ** 2, axis=2)
    moved = points[:, None, 0] - points[:5, 0]
    assert square == pytest.approx(moved**2 + (points[:, None, 1] != points[:5, 1]))


def test_a_long_list_of_choices_is_searched():
    swarm = Swarm(cube(0, 10**6, categorical=(1,)), Settings(4, 0.5, 1.6, 1.6, 0.25, 32), seed=2)
    told = run(swarm, lambda x: float(x[0] + int(x[1] * 10**6) % 5), 60)
    assert min(evaluation.value for evaluation in told) < 0.1


def test_uneven_cells_are_found_again():
    edges = {0: np.array([0.0, 0.7, 0.9, 1.0])}
    space = Cube(np.array([3]), np.array([False]), edges)
    x = np.array([[0.0], [0.69], [0.7], [0.95], [1.0]])
    assert space.cells(x)[:, 0].tolist() == [0, 0, 1, 2, 2]
    assert space.snap(x)[:, 0] == pytest.approx([0.35, 0.35, 0.8, 0.95, 0.95])


def test_the_initial_design_begins_at_the_centre_and_fills_the_cube():
    space = cube(0, 0, 0)
    points = np.array([initial_point(space, i, seed=5) for i in range(1, 65)])
    assert np.all(initial_point(space, 0, seed=5) == 0.5)
    for j, base in enumerate([2, 3, 5]):  # every interval of a base's width has its share
        counts = np.bincount((points[: base * 6, j] * base).astype(int), minlength=base)
        assert counts.max() - counts.min() <= 2
    assert not np.array_equal(points[0], initial_point(space, 1, seed=6))
