"""What the particle swarm sampler promises, through Optuna's public interface."""

import pickle

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial, TrialState

from samplers import PSOSampler
from samplers.pso._space import Space

SPACE = {
    "float": FloatDistribution(-3, 2),
    "log": FloatDistribution(1e-5, 10, log=True),
    "step": FloatDistribution(0, 1, step=0.25),
    "int": IntDistribution(-4, 4),
    "int_log": IntDistribution(1, 1000, log=True),
    "choice": CategoricalDistribution(["a", None, 3]),
    "single": IntDistribution(2, 2),
}
FINITE = {"x": IntDistribution(1, 5), "y": CategoricalDistribution(["a", "b", "c"])}
MAKERS = [
    pytest.param(lambda **k: PSOSampler(seed=3, swarm_size=3, **k), id="default"),
    pytest.param(lambda **k: PSOSampler(seed=3, swarm_size=3, surrogate=None, **k), id="pure"),
    pytest.param(
        lambda **k: PSOSampler.classic(seed=3, swarm_size=3, epsilon=0, **k), id="classic"
    ),
]


def loss(params):
    numbers = [value for value in params.values() if isinstance(value, int | float)]
    return sum((value - 1) ** 2 for value in numbers) + 3 * (params.get("choice") != "a")


@pytest.mark.parametrize(
    ("sampler", "n"),
    [
        (PSOSampler(seed=3), round(6 + 2 * np.log(6)) // 2),  # one of the seven does not move
        (PSOSampler(seed=3, swarm_size=4), 4),
        (PSOSampler(seed=3, surrogate="rbf", swarm_size=4), 8),
        (PSOSampler.classic(seed=3, swarm_size=5), 5),
    ],
)
def test_it_says_how_many_trials_come_before_the_swarm_moves(sampler, n):
    assert sampler.n_startup_trials(SPACE) == n
    assert sampler.n_startup_trials({"single": SPACE["single"]}) == 0
    seen = []
    for sign in (1, -1):
        study = optuna.create_study(sampler=sampler)
        for _ in range(n + 5):
            trial = study.ask(SPACE)
            study.tell(trial, sign * loss(trial.params))
        seen.append([trial.params for trial in study.trials])
    assert seen[0][1:n] == seen[1][1:n]  # the first one has no space to know yet
    assert seen[0][n:] != seen[1][n:]


def evaluate(study, space, n):
    """Some trials, of which every seventh fails and every eleventh is pruned."""
    for _ in range(n):
        trial = study.ask(space)
        if trial.number % 7 == 6:
            study.tell(trial, state=TrialState.FAIL)
        elif trial.number % 11 == 10:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, loss(trial.params))
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("space", [SPACE, FINITE], ids=["mixed", "finite"])
def test_proposals_are_the_same_wherever_the_process_ends(sqlite, make, space):
    """Restarted before every trial in one study, and once at every cut in the others."""
    n = 20
    whole = evaluate(optuna.create_study(sampler=make()), space, n)
    optuna.create_study(study_name="s", storage=sqlite())
    for _ in range(n):
        restarted = optuna.load_study(study_name="s", storage=sqlite(), sampler=make())
        restarted = evaluate(restarted, space, 1)
    assert restarted == whole
    for cut in range(n):
        study = optuna.create_study(sampler=make())
        evaluate(study, space, cut)
        study.sampler = pickle.loads(pickle.dumps(make()))
        assert evaluate(study, space, n - cut) == whole


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("n_before", [0, 4, 12])
def test_another_process_goes_on_with_a_running_trial(make, n_before):
    study = optuna.create_study(sampler=make(search_space=SPACE))
    evaluate(study, SPACE, n_before)
    running, half = study.ask(SPACE), study.ask()
    half.suggest_float("float", -3, 2)
    evaluate(study, SPACE, 3)  # others go on meanwhile
    study.sampler = make(search_space=SPACE)
    for trial in (running, half):
        again = Trial(study, trial._trial_id)
        for name, distribution in SPACE.items():
            assert again._suggest(name, distribution) == trial._suggest(name, distribution)


@pytest.mark.parametrize("make", MAKERS)
def test_retries_of_stale_trials_repeat_the_move_and_take_no_turn(make):
    def moves(study, stale_at):
        for _ in range(14):
            trial = study.ask(SPACE)
            if trial.number == stale_at:
                study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
                frozen = study.trials[stale_at]
                optuna.storages.RetryHeartbeatStaleTrialCallback()(study, frozen)
                trial = study.ask(SPACE)
            study.tell(trial, loss(trial.params))
        return [trial.params for trial in study.get_trials(states=[TrialState.COMPLETE])]

    plain = moves(optuna.create_study(sampler=make(search_space=SPACE)), None)
    retried = moves(optuna.create_study(sampler=make(search_space=SPACE)), 4)
    # The draws that follow have other numbers, so they differ; the repeated one must not.
    assert retried[:5] == plain[:5]
    assert len(retried) == 14


def test_the_retry_of_a_trial_that_never_moved_makes_up_for_its_turn():
    study = optuna.create_study(sampler=PSOSampler(seed=1, search_space=SPACE))
    silent = study.ask()
    study._storage.set_trial_state_values(silent._trial_id, TrialState.FAIL)
    optuna.storages.RetryHeartbeatStaleTrialCallback()(study, study.trials[0])
    trials = [study.ask(SPACE) for _ in range(3)]
    turns = [study.trials[t.number].system_attrs["pso:move"]["turn"] for t in trials]
    assert turns == [0, 1, 2]


def test_a_seed_is_drawn_once_and_kept(sqlite):
    optuna.create_study(study_name="s", storage=sqlite())
    seeds = set()
    for _ in range(2):
        study = optuna.load_study(study_name="s", storage=sqlite(), sampler=PSOSampler())
        study.tell(study.ask(FINITE), 0.0)
        study.ask(FINITE)
        seeds.add(study._storage.get_study_system_attrs(study._study_id)["pso:seed"])
    assert len(seeds) == 1


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_it_finds_the_optimum_in_both_directions(direction):
    sign = 1 if direction == "minimize" else -1
    study = optuna.create_study(direction=direction, sampler=PSOSampler(seed=1))
    study.optimize(
        lambda t: sign * sum((t.suggest_float(n, -5, 5) - 2) ** 2 for n in "abc"), n_trials=100
    )
    assert abs(study.best_value) < 1e-2


def test_a_categorical_is_learned():
    def objective(trial):
        choice = trial.suggest_categorical("choice", list("abcdefgh"))
        return (trial.suggest_float("x", -1, 1) - 0.3) ** 2 + abs("abcdefgh".index(choice) - 5)

    study = optuna.create_study(sampler=PSOSampler(seed=1))
    study.optimize(objective, n_trials=60)
    last = [trial.params["choice"] for trial in study.trials[-20:]]
    assert study.best_params["choice"] == "f"
    assert last.count("f") > 10


def test_a_finite_space_is_not_repeated_while_there_is_something_new():
    study = optuna.create_study(sampler=PSOSampler(seed=1, search_space=FINITE))
    evaluate(study, FINITE, 6)
    trials = [study.ask(FINITE) for _ in range(3)]  # nor what is running
    evaluate(study, FINITE, 2)
    points = [tuple(trial.params.values()) for trial in study.trials if trial.number != 6]
    assert len(set(points)) == len(points)
    for trial in trials:
        study.tell(trial, 0.0)
    evaluate(study, FINITE, 10)  # more than there are


@pytest.mark.parametrize("n_candidates", [1, 32])
def test_a_swarm_that_knows_its_neighbourhood_looks_elsewhere_and_repeats_nothing(n_candidates):
    def objective(trial):
        kind = trial.suggest_categorical("kind", list("abcdef"))
        return abs(trial.suggest_int("n", 1, 10) - 3) + 2 * "abcdef".index(kind)

    study = optuna.create_study(sampler=PSOSampler(seed=1, n_candidates=n_candidates))
    study.optimize(objective, n_trials=50)
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 50  # of 60


def test_an_enqueued_point_leads_the_swarm():
    def objective(trial):
        return sum((trial.suggest_float(name, -5, 5) - 3.21) ** 2 for name in "abcde")

    study = optuna.create_study(sampler=PSOSampler(seed=1))
    study.enqueue_trial(dict.fromkeys("abcde", 3.2))
    study.optimize(objective, n_trials=40)
    near = [t for t in study.trials[20:] if max(abs(v - 3.2) for v in t.params.values()) < 1]
    assert len(near) > 5


def test_running_failed_and_pruned_trials_hold_nobody_up():
    study = optuna.create_study(sampler=PSOSampler(seed=1, swarm_size=2))
    for _ in range(6):
        trial = study.ask(SPACE)
        study.tell(trial, loss(trial.params))
    waiting = [study.ask(SPACE) for _ in range(9)]  # more workers than particles
    assert len({tuple(t.params.values()) for t in waiting}) == 9
    for trial, state in zip(waiting, 3 * [TrialState.FAIL, TrialState.PRUNED, None], strict=True):
        study.tell(trial, loss(trial.params) if state is None else None, state)
    assert study.ask(SPACE).number == 15


def test_conditional_parameters_are_drawn_with_a_warning(caplog):
    def objective(trial):
        if trial.suggest_categorical("kind", ["a", "b"]) == "a":
            return trial.suggest_float("x", 0, 1)
        return trial.suggest_float("y", 0, 1)

    optuna.logging.enable_propagation()
    study = optuna.create_study(sampler=PSOSampler(seed=1))
    study.optimize(objective, n_trials=12)
    assert "is sampled independently" in caplog.text
    caplog.clear()
    study.sampler = PSOSampler(seed=1, warn_independent_sampling=False)
    study.optimize(objective, n_trials=12)
    optuna.logging.disable_propagation()
    assert "is sampled independently" not in caplog.text


def tree(trial):
    """Three branches; the best one has no continuum, so that all of it can be looked at."""
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    if kind == "a":
        return 1 + (trial.suggest_float("x", 0, 1) - 0.4) ** 2
    if kind == "b":
        return 0.5 + abs(trial.suggest_int("n", 1, 5) - 4)
    return (trial.suggest_float("y", 0, 1) - 0.7) ** 2 + 0.6 * (trial.suggest_int("m", 1, 3) != 2)


@pytest.mark.parametrize("surrogate", ["gp", "rbf"])
def test_a_tree_is_searched_in_all_its_branches_and_no_configuration_comes_again(surrogate, caplog):
    sampler = PSOSampler(seed=1, surrogate=surrogate)
    study = optuna.create_study(sampler=sampler)
    study.optimize(tree, n_trials=20)
    caplog.clear()
    optuna.logging.enable_propagation()
    study.optimize(tree, n_trials=40)
    optuna.logging.disable_propagation()
    assert "is sampled independently" not in caplog.text  # but for what was never seen
    assert study.best_value < 1e-3
    discrete = [tuple(t.params.items()) for t in study.trials if t.params["kind"] == "b"]
    assert len(set(discrete)) == len(discrete) >= 1


def test_trials_that_lack_parameters_of_the_given_space_count():
    space = {
        "kind": CategoricalDistribution(["a", "b", "c"]),
        "x": FloatDistribution(0, 1),
        "y": FloatDistribution(0, 1),
        "n": IntDistribution(1, 5),
        "m": IntDistribution(1, 3),
    }
    study = optuna.create_study(sampler=PSOSampler(seed=1, search_space=space))
    study.optimize(tree, n_trials=50)
    assert study.best_value < 1e-3


def test_a_range_that_changes_from_trial_to_trial_is_searched():
    def objective(trial):
        n = trial.suggest_int("n", 1, 5)
        x = trial.suggest_float("x", 0, 1 + n)
        assert 0 <= x <= 1 + n
        return (x - n) ** 2 + (n - 4) ** 2

    study = optuna.create_study(sampler=PSOSampler(seed=1))
    study.optimize(objective, n_trials=40)
    assert study.best_value < 0.01


def test_it_recommends_no_lucky_draw():
    rng = np.random.default_rng(2)
    space = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}

    def true(params):
        return (params["x"] - 0.3) ** 2 + (params["y"] - 0.6) ** 2

    regrets = []
    for seed in range(3):
        study = optuna.create_study(sampler=PSOSampler(seed=seed))
        for _ in range(50):
            trial = study.ask(space)
            study.tell(trial, true(trial.params) + 0.1 * rng.standard_normal())
        chosen = study.sampler.recommend(study)
        assert chosen == PSOSampler(seed=seed).recommend(study)
        assert chosen in [trial.params for trial in study.trials]
        regrets.append([true(chosen), true(study.best_params)])
    recommended, lucky = np.mean(regrets, axis=0)
    assert recommended < lucky


@pytest.mark.parametrize("make", MAKERS)
def test_without_noise_it_recommends_the_best_trial(make):
    study = optuna.create_study(sampler=make())
    with pytest.raises(ValueError, match="No trials are completed yet"):
        study.sampler.recommend(study)
    evaluate(study, FINITE, 9)
    assert study.sampler.recommend(study) == study.best_params


def test_partial_fixed_parameters_stay_and_the_others_move():
    study = optuna.create_study(sampler=PSOSampler(seed=1))
    evaluate(study, FINITE, 5)
    study.sampler = optuna.samplers.PartialFixedSampler({"x": 2}, study.sampler)
    evaluate(study, FINITE, 8)
    assert {trial.params["x"] for trial in study.trials[5:]} == {2}


@pytest.mark.parametrize(
    "pruner", [optuna.pruners.HyperbandPruner(1, 9), optuna.pruners.NopPruner()]
)
def test_threads_and_pruners(pruner):
    def objective(trial):
        value = (trial.suggest_float("x", -1, 1) - 0.5) ** 2
        for step in range(1, 10):
            trial.report(value + 1 / step, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    study = optuna.create_study(sampler=PSOSampler(seed=1), pruner=pruner)
    study.optimize(objective, n_trials=60, n_jobs=4)
    assert len(study.trials) == 60
    assert study.best_value < 0.05


def test_one_object_serves_two_studies():
    sampler = PSOSampler(seed=1)
    alone = evaluate(optuna.create_study(sampler=PSOSampler(seed=1)), FINITE, 9)
    one, two = (optuna.create_study(sampler=sampler) for _ in range(2))
    for _ in range(9):
        evaluate(one, FINITE, 1)
        evaluate(two, SPACE, 1)
    assert [trial.params for trial in one.trials] == alone


distributions = st.one_of(
    st.builds(
        lambda low, width, log: FloatDistribution(low, low + width, log=log),
        st.floats(1e-6, 1e3),
        st.floats(0, 1e6),
        st.booleans(),
    ),
    st.builds(
        lambda low, n, step: FloatDistribution(low, low + n * step, step=step),
        st.integers(-9, 9),
        st.integers(0, 20),
        st.sampled_from([0.25, 0.5, 3.0]),
    ),
    st.builds(
        lambda low, n, step: IntDistribution(low, low + n * step, step=step),
        st.integers(-(10**6), 10**6),
        st.integers(0, 10**6),
        st.integers(1, 7),
    ),
    st.builds(
        lambda low, width: IntDistribution(low, low + width, log=True),
        st.integers(1, 100),
        st.integers(0, 10**4),
    ),
    st.builds(lambda n: CategoricalDistribution(list(range(n))), st.integers(1, 9)),
)


@settings(max_examples=200)
@given(distributions, st.floats(0, 1))
def test_every_position_is_a_legal_value_and_comes_back_to_it(distribution, x):
    space = Space({"x": distribution})
    value = space.decode(np.array([x]))["x"]
    assert distribution._contains(distribution.to_internal_repr(value))
    position = space.encode({"x": value})
    again = space.decode(position)["x"]
    assert again == pytest.approx(value) if isinstance(value, float) else again == value


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"seed": "1"}, "seed: '1' cannot be used; give an integer or None"),
        ({"search_space": {"x": 3}}, "search_space['x']: 3 cannot be used"),
        ({"swarm_size": 1}, "swarm_size: 1 cannot be used; give an integer >= 2"),
        ({"inertia": 1}, "inertia: 1 cannot be used; give a number in [0, 1)"),
        ({"cognitive": -1}, "cognitive: -1 cannot be used; give a number >= 0"),
        ({"social": float("nan")}, "social: nan cannot be used"),
        ({"max_velocity": 0}, "max_velocity: 0 cannot be used; give a number in (0, 1]"),
        ({"surrogate": "tree"}, "surrogate: 'tree' cannot be used; give 'gp', 'rbf', or None"),
        ({"n_candidates": 0}, "n_candidates: 0 cannot be used; give an integer >= 1"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(arguments, says):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        PSOSampler(**arguments)
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["phi_l", "phi_g", "epsilon"])
def test_classic_arguments_that_cannot_be_used_are_named(name):
    with pytest.raises(ValueError, match=f"{name}: -1 cannot be used; give a number >= 0"):
        PSOSampler.classic(**{name: -1})


def test_classic_ends_when_it_has_converged():
    def objective(trial):
        return sum((trial.suggest_float(name, -5, 5) - 1) ** 2 for name in "ab")

    study = optuna.create_study(sampler=PSOSampler.classic(seed=2, inertia=0.4, epsilon=0.01))
    study.optimize(objective, n_trials=2000)
    assert len(study.trials) < 2000
    assert len(study.trials) % 10 == 0
    assert study.sampler.is_exhausted(study)
    fresh = PSOSampler.classic(seed=2, inertia=0.4, epsilon=0.01)
    assert fresh.is_exhausted(study)
    asked = optuna.create_study(sampler=fresh)
    while not fresh.is_exhausted(asked):
        trial = asked.ask()
        asked.tell(trial, objective(trial))
    assert len(asked.trials) == len(study.trials)


def test_classic_with_many_workers_ends_when_a_generation_has_converged():
    sampler = PSOSampler.classic(seed=2, swarm_size=4, inertia=0.4, epsilon=0.05)
    study = optuna.create_study(sampler=sampler)
    running = []
    while not sampler.is_exhausted(study):
        running.append(study.ask({"x": FloatDistribution(-1, 1)}))
        if len(running) == 3:
            trial = running.pop(0)
            study.tell(trial, trial.params["x"] ** 2)
        assert len(study.trials) < 500


def test_classic_counts_a_generation_that_an_enqueued_point_out_of_range_held_up():
    space = {"x": FloatDistribution(-1, 1)}
    study = optuna.create_study(
        sampler=PSOSampler.classic(seed=2, swarm_size=3, search_space=space)
    )
    study.enqueue_trial({"x": 99.0})
    with pytest.warns(UserWarning, match="out of range"):
        outside, *generation = [study.ask(space) for _ in range(4)]
    for trial in generation:
        study.tell(trial, trial.params["x"] ** 2)
    study.tell(outside, 0.0)
    assert study.trials[outside.number].state == TrialState.COMPLETE
    assert not study.sampler.is_exhausted(study)


def test_the_default_never_ends_by_itself():
    study = optuna.create_study(sampler=PSOSampler(seed=1))
    evaluate(study, FINITE, 3)
    assert not study.sampler.is_exhausted(study)


def test_what_is_stored():
    """The keys that the README documents: what other versions of the sampler must read."""
    study = optuna.create_study(sampler=PSOSampler(seed=1, search_space=FINITE, swarm_size=2))
    evaluate(study, FINITE, 6)
    first, last = study.trials[0].system_attrs["pso:move"], study.trials[5].system_attrs["pso:move"]
    fields = ["v", "space", "turn", "x", "dx", "particle", "incumbent", "radius", "since"]
    assert list(first) == list(last) == fields
    assert (first["v"], first["turn"], first["dx"], first["particle"]) == (1, 0, None, None)
    assert (last["turn"], last["particle"], len(last["x"]), len(last["dx"])) == (5, 1, 2, 2)


def test_a_swarm_that_is_done_sets_out_again_and_is_continued_the_same():
    space = {name: FloatDistribution(0, 1) for name in "xy"}

    def sampler():
        return PSOSampler(seed=3, search_space=space, swarm_size=3)

    def study_of(restarted):
        study = optuna.create_study(sampler=sampler())
        for number in range(120):
            if restarted and number % 7 == 0:
                study.sampler = sampler()
            trial = study.ask(space)
            study.tell(trial, sum((x - 0.3) ** 2 for x in trial.params.values()))
        return study

    whole, pieces = study_of(restarted=False), study_of(restarted=True)
    assert [t.params for t in whole.trials] == [t.params for t in pieces.trials]
    flights = [trial.system_attrs["pso:move"]["since"] for trial in whole.trials]
    assert flights == sorted(flights)
    assert flights[0] == [0, 0]
    assert flights[-1] != [0, 0]
    for number, turn in flights:
        assert (number, turn) == (0, 0) or flights[number] == [number, turn]


def test_points_that_others_choose_lead_the_flock_that_flies():
    space = {"x": FloatDistribution(0, 1)}
    study = optuna.create_study(sampler=PSOSampler(seed=3, search_space=space, n_candidates=1))
    for _ in range(100):
        trial = study.ask(space)
        study.tell(trial, (trial.params["x"] - 0.2) ** 2)
    assert study.trials[-1].system_attrs["pso:move"]["since"] != [0, 0]
    study.enqueue_trial({"x": 0.77})
    study.tell(study.ask(space), -1.0)
    after = []
    for _ in range(40):
        trial = study.ask(space)
        after.append(trial.params["x"])
        study.tell(trial, abs(trial.params["x"] - 0.77))
    assert sum(abs(x - 0.77) < 0.1 for x in after) > 10


def test_trials_taken_over_from_another_study_are_starting_points_and_no_moves():
    """They bring the attributes that another swarm gave them, whose flights are not this one's."""
    space = {name: FloatDistribution(0, 1) for name in "xy"}

    def fly(study, n):
        for _ in range(n):
            trial = study.ask(space)
            study.tell(trial, sum((x - 0.3) ** 2 for x in trial.params.values()))
        return study.trials[-n:]

    before = fly(optuna.create_study(sampler=PSOSampler(seed=3, swarm_size=3)), 150)
    assert before[-1].system_attrs["pso:move"]["since"] != [0, 0]
    study = optuna.create_study(sampler=PSOSampler(seed=4, swarm_size=3))
    study.add_trials(before[-10:])
    moves = [trial.system_attrs["pso:move"] for trial in fly(study, 12)]
    assert moves[0]["since"] == [0, 0]
    assert [move["particle"] for move in moves[:3]] == [1, 2, 0]  # turns 10 to 12, of 6 starts
