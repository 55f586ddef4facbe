"""What the grid sampler promises, through Optuna's public interface."""

import pickle
import tracemalloc
from collections import Counter
from datetime import datetime, timedelta

import optuna
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import PartialFixedSampler
from optuna.trial import Trial, TrialState, create_trial

from samplers import GridSampler
from samplers.grid import GridExhausted
from samplers.grid._lattice import Lattice
from samplers.grid._ledger import Ledger, Order

SPACE = {"x": [0, 1, 2], "y": ["a", "b"]}


def suggest(trial):
    return trial.suggest_int("x", 0, 9), trial.suggest_categorical("y", ["a", "b", "c"])


def objective(trial):
    return float(suggest(trial)[0])


def points(study, *states):
    return [tuple(t.params.values()) for t in study.get_trials(states=states or None)]


def fresh(study):
    """The same study as another process sees it."""
    sampler = pickle.loads(pickle.dumps(study.sampler))
    return optuna.load_study(study_name=study.study_name, storage=study._storage, sampler=sampler)


def continued(study, trial):
    """A RUNNING trial as another process goes on with it."""
    return Trial(fresh(study), trial._trial_id)


def test_optimize_evaluates_every_point_once_and_stops():
    study = optuna.create_study(sampler=GridSampler(SPACE))
    study.optimize(objective)
    assert sorted(points(study)) == [(x, y) for x in (0, 1, 2) for y in ("a", "b")]
    assert study.sampler.is_exhausted(study)
    study.optimize(objective)  # a finished study stays so
    assert len(study.get_trials(states=[TrialState.COMPLETE])) == 6


def test_ask_and_tell_ends_with_one_exception():
    study = optuna.create_study(sampler=GridSampler(SPACE))
    while not study.sampler.is_exhausted(study):
        trial = study.ask()
        study.tell(trial, objective(trial))
    assert len(study.trials) == 6
    with pytest.raises(GridExhausted, match="it is finished") as caught:
        study.ask()
    assert caught.value.running == 0
    assert study.trials[-1].state == TrialState.FAIL
    from_a_worker = pickle.loads(pickle.dumps(caught.value))
    assert (str(from_a_worker), from_a_worker.running) == (str(caught.value), 0)


def test_asking_while_the_last_points_run_says_so():
    study = optuna.create_study(sampler=GridSampler(SPACE))
    trials = [study.ask() for _ in range(6)]
    with pytest.raises(GridExhausted) as caught:
        study.ask()
    assert caught.value.running == 6
    assert not study.sampler.is_exhausted(study)
    study.tell(trials[2], state=TrialState.FAIL)
    again = study.ask()
    study.tell(again, objective(again))
    study.tell(trials[0], objective(trials[0]))
    assert len(set(points(study, TrialState.COMPLETE))) == 2


def test_order_is_lexicographic_or_shuffled_by_the_seed():
    orders = []
    for arguments in ({"shuffle": False}, {}, {"seed": 0}, {"seed": 1}):
        study = optuna.create_study(sampler=GridSampler(SPACE, **arguments))
        study.optimize(objective)
        orders.append(points(study))
    straight, default, zero, one = orders
    assert straight == sorted(straight)
    assert default == zero != one


@pytest.mark.parametrize("max_retries", [0, 2])
def test_a_failing_point_is_offered_again_up_to_max_retries_and_then_reported(max_retries):
    def fails_at_1a(trial):
        if suggest(trial) == (1, "a"):
            raise RuntimeError
        return 0.0

    study = optuna.create_study(sampler=GridSampler(SPACE, max_retries=max_retries))
    study.optimize(fails_at_1a, catch=RuntimeError)
    assert Counter(points(study, TrialState.FAIL)) == {(1, "a"): 1 + max_retries}
    assert len(points(study, TrialState.COMPLETE)) == 5
    assert study.sampler.is_exhausted(study)
    assert study.sampler.given_up(study) == [{"x": 1, "y": "a"}]


def test_a_point_that_fails_once_is_evaluated_in_the_end():
    failed = set()

    def fails_first(trial):
        point = suggest(trial)
        if point not in failed:
            failed.add(point)
            return float("nan")  # which Optuna makes a failure
        return 0.0

    study = optuna.create_study(sampler=GridSampler(SPACE))
    study.optimize(fails_first)
    assert Counter(points(study, TrialState.COMPLETE)) == Counter(failed)
    assert study.sampler.given_up(study) == []


def test_a_pruned_point_is_evaluated():
    def prunes(trial):
        suggest(trial)
        raise optuna.TrialPruned

    study = optuna.create_study(sampler=GridSampler(SPACE))
    study.optimize(prunes)
    assert len(study.trials) == len(set(points(study, TrialState.PRUNED))) == 6


def test_extending_a_finished_grid_evaluates_only_the_new_points():
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, sampler=GridSampler(SPACE))
    study.optimize(objective)
    study.sampler = GridSampler({"y": ["c", "b", "a"], "x": [0, 3, 1, 2]})
    study.optimize(objective)
    assert sorted(points(study)) == sorted((x, y) for x in range(4) for y in "abc")
    assert study.sampler.is_exhausted(study)


@pytest.mark.parametrize("space", [SPACE, {"x": range(4), "y": ["c"]}])
def test_the_order_is_the_same_wherever_the_process_ends(sqlite, space):
    """Restarted before every trial in one study, and once at every cut in the others."""
    whole = optuna.create_study(sampler=GridSampler(space, seed=3))
    whole.optimize(objective)
    n = len(whole.trials)

    optuna.create_study(study_name="s", storage=sqlite())
    for _ in range(n):
        sampler = GridSampler(space, seed=3)
        restarted = optuna.load_study(study_name="s", storage=sqlite(), sampler=sampler)
        restarted.optimize(objective, n_trials=1)
    assert points(restarted) == points(whole)
    for cut in range(1, n):
        study = optuna.create_study(sampler=GridSampler(space, seed=3))
        study.optimize(objective, n_trials=cut)
        study.sampler = GridSampler(space, seed=3)
        study.optimize(objective)
        assert points(study) == points(whole)


def test_another_process_goes_on_with_a_running_trial():
    study = optuna.create_study(sampler=GridSampler(SPACE))
    untouched, half, whole = study.ask(), study.ask(), study.ask()
    half.suggest_int("x", 0, 9)
    expected = [suggest(whole)]
    assert [suggest(continued(study, whole))] == expected
    again = suggest(continued(study, half))
    assert again == suggest(half)
    assert suggest(continued(study, untouched)) == suggest(untouched)
    study.optimize(objective)
    for trial in (untouched, half, whole):
        study.tell(trial, 0.0)
    assert len(set(points(study, TrialState.COMPLETE))) == 6
    assert len(points(study, TrialState.COMPLETE)) == 6


def test_a_trial_that_died_before_its_claim_gets_its_place():
    study = optuna.create_study(sampler=GridSampler(SPACE))
    dead = study._storage.create_new_trial(study._study_id)
    study.optimize(objective)
    assert len(points(study, TrialState.COMPLETE)) == 5
    trial = Trial(fresh(study), dead)
    study.tell(trial, objective(trial))
    assert len(set(points(study, TrialState.COMPLETE))) == 6


def test_another_seed_goes_on_in_the_order_the_study_began_with(caplog):
    study = optuna.create_study(sampler=GridSampler(SPACE, seed=1))
    study.optimize(objective, n_trials=3)
    study.sampler = GridSampler(SPACE, seed=2)
    optuna.logging.enable_propagation()
    study.optimize(objective)
    optuna.logging.disable_propagation()
    assert "it goes on so" in caplog.text
    whole = optuna.create_study(sampler=GridSampler(SPACE, seed=1))
    whole.optimize(objective)
    assert points(study) == points(whole)


def test_retries_of_stale_trials_keep_their_point():
    """What `RetryHeartbeatStaleTrialCallback` puts in the queue is no point of its own."""
    retry = optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=2)
    study = optuna.create_study(sampler=GridSampler(SPACE))
    stale, silent = study.ask(), study.ask()
    suggest(stale)
    for trial in (stale, silent):
        study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        retry(study, study.trials[trial.number])
    study.optimize(objective)
    assert Counter(points(study, TrialState.COMPLETE)).most_common(1)[0][1] == 1
    assert len(points(study, TrialState.COMPLETE)) == 6


def test_a_stale_trial_that_nobody_retries_is_offered_again():
    study = optuna.create_study(sampler=GridSampler(SPACE))
    stale = study.ask()
    study._storage.set_trial_state_values(stale._trial_id, TrialState.FAIL)
    study.optimize(objective)
    assert len(set(points(study, TrialState.COMPLETE))) == 6


def test_a_stale_trial_is_left_to_its_retry_for_seconds_whatever_its_clock_said():
    """A worker in a container has UTC, and its host the time of its own zone."""
    order = Order(Lattice({"x": [0]}), shuffle=False, seed=0)
    ledger = Ledger(order, max_retries=3, grace=2.0)
    x = {"x": IntDistribution(0, 9)}
    stale = create_trial(state=TrialState.FAIL, params={"x": 0}, distributions=x)
    stale.number, stale.datetime_complete = 0, datetime.now() + timedelta(hours=2)
    asking = create_trial(state=TrialState.RUNNING)
    asking.number = 1
    ledger.update([stale, asking])
    assert ledger.choose(1) == (None, False)
    assert 0 < ledger.seconds_to_wait(1) < 3


def test_enqueued_points_count_and_take_no_place():
    study = optuna.create_study(sampler=GridSampler(SPACE))
    study.enqueue_trial({"x": 1, "y": "b"})
    study.enqueue_trial({"x": 7, "y": "c"})  # not on the grid
    study.enqueue_trial({"x": 8})  # the rest is drawn
    study.optimize(objective)
    done = Counter(points(study, TrialState.COMPLETE))
    assert done.most_common(1)[0][1] == 1
    assert len(done) == 8
    assert study.sampler.is_exhausted(study)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("n_enqueued", range(7))
def test_the_rest_of_a_grid_follows_what_was_enqueued(shuffle, n_enqueued):
    """Whichever homes of later trials the enqueued points are."""
    every = [{"x": x, "y": y} for x in (2, 1, 0) for y in ("a", "b")]
    study = optuna.create_study(sampler=GridSampler(SPACE, shuffle=shuffle))
    for point in every[:n_enqueued]:
        study.enqueue_trial(point)
    study.optimize(objective)
    assert len(study.trials) == len(set(points(study, TrialState.COMPLETE))) == 6


@pytest.mark.parametrize("added", [[3], [3, 4, 5, 6], [-1]])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_extension_evaluates_just_what_is_new(shuffle, added):
    study = optuna.create_study(sampler=GridSampler({"x": range(3)}, shuffle=shuffle))
    study.optimize(lambda trial: trial.suggest_int("x", -9, 9))
    study.sampler = GridSampler({"x": sorted([0, 1, 2, *added])}, shuffle=shuffle)
    study.optimize(lambda trial: trial.suggest_int("x", -9, 9))
    assert sorted(t.params["x"] for t in study.trials) == sorted([0, 1, 2, *added])


def test_partial_fixed_sampler_takes_part():
    study = optuna.create_study(sampler=PartialFixedSampler({"x": 5}, GridSampler(SPACE)))
    study.optimize(objective)
    assert {x for x, _ in points(study)} == {5}
    assert len(study.trials) == 6


@pytest.mark.parametrize("pruner", [optuna.pruners.HyperbandPruner(1, 9), None])
def test_threads_and_hyperband_brackets_share_one_grid(pruner):
    space = {"x": range(10), "y": ["a", "b", "c"]}
    study = optuna.create_study(sampler=GridSampler(space), pruner=pruner)
    study.optimize(objective, n_jobs=4)
    assert Counter(points(study, TrialState.COMPLETE)).most_common(1)[0][1] == 1
    assert len(points(study, TrialState.COMPLETE)) == 30


@pytest.mark.parametrize(
    ("distribution", "levels", "expected"),
    [
        (IntDistribution(2, 5), None, [2, 3, 4, 5]),
        (IntDistribution(2, 9, step=3), None, [2, 5, 8]),
        (IntDistribution(0, 10), 3, [0, 5, 10]),
        (IntDistribution(1, 3), 5, [1, 2, 3]),
        (IntDistribution(1, 100, log=True), 3, [1, 10, 100]),
        (IntDistribution(1, 4, log=True), 4, [1, 2, 3, 4]),
        (FloatDistribution(0, 1, step=0.25), None, [0, 0.25, 0.5, 0.75, 1]),
        (FloatDistribution(0, 1, step=0.25), 2, [0, 1]),
        (FloatDistribution(0, 1), 3, [0, 0.5, 1]),
        (FloatDistribution(0, 1), 1, [0.5]),
        (FloatDistribution(1e-4, 1, log=True), {"x": 3}, [1e-4, 1e-2, 1]),
        (FloatDistribution(2, 2), None, [2]),
        (CategoricalDistribution([None, True, "a", 2.5]), 7, [None, True, "a", 2.5]),
    ],
)
def test_grids_from_distributions(distribution, levels, expected):
    sampler = GridSampler({"x": distribution}, levels=levels, shuffle=False)
    study = optuna.create_study(sampler=sampler)
    while not sampler.is_exhausted(study):
        study.tell(study.ask({"x": distribution}), 0.0)
    found = [t.params["x"] for t in study.trials]
    assert sampler.n_points == len(expected)
    if isinstance(distribution, FloatDistribution):
        assert found == pytest.approx(expected)
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"search_space": {"x": FloatDistribution(0, 1)}}, "levels={'x': 5}"),
        ({"search_space": {"x": 3}}, "search_space['x']: 3 cannot be used; give a sequence"),
        ({"search_space": {"x": "abc"}}, "search_space['x']: 'abc' cannot be used"),
        ({"search_space": SPACE, "levels": 0}, "levels: 0 cannot be used; give an integer >= 1"),
        ({"search_space": SPACE, "levels": {"x": 1.5}}, "levels['x']: 1.5 cannot be used"),
        ({"search_space": SPACE, "levels": {"x": 2}}, "levels['x']: 2 cannot be used; [0, 1, 2]"),
        ({"search_space": SPACE, "levels": {"z": 2}}, "levels['z']: there is no such parameter"),
        ({"search_space": SPACE, "max_retries": -1}, "max_retries: -1 cannot be used"),
        ({"search_space": SPACE, "seed": None}, "seed: None cannot be used; give an integer"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(arguments, says):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        GridSampler(**arguments)
    assert says in str(caught.value)


def test_values_that_the_objective_does_not_allow_are_named():
    study = optuna.create_study(sampler=GridSampler({"x": [20], "y": ["a"]}))
    with pytest.raises(ValueError, match=r"search_space\['x'\]: 20 cannot be used"):
        suggest(study.ask())
    study = optuna.create_study(sampler=GridSampler({"x": [2]}))
    with pytest.raises(ValueError, match="no parameter 'y' in the grid; it has x"):
        suggest(study.ask())


def test_several_objectives_are_rejected_as_optuna_does():
    study = optuna.create_study(directions=["minimize"] * 2, sampler=GridSampler(SPACE))
    with pytest.raises(ValueError, match="multi-objective optimization, GridSampler cannot"):
        suggest(study.ask())


def test_a_grid_that_no_memory_holds_costs_nothing():
    tracemalloc.start()
    sampler = GridSampler({f"x{i}": range(10**6) for i in range(30)})
    study = optuna.create_study(sampler=sampler)
    trials = [study.ask({f"x{i}": IntDistribution(0, 10**6) for i in range(30)}) for _ in range(5)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sampler.n_points == 10**180
    assert len({tuple(t.params.values()) for t in trials}) == 5
    assert peak < 5e6


def test_what_is_stored():
    """The keys that the README documents: what other versions of the sampler must read."""
    study = optuna.create_study(sampler=GridSampler(SPACE, shuffle=False, seed=4))
    study.tell(study.ask(), state=TrialState.FAIL)
    attributes = study._storage.get_study_system_attrs(study._study_id)
    assert attributes == {"grid:order": {"v": 1, "shuffle": False, "seed": 4}}
    assert study.trials[0].system_attrs == {
        "grid:claim": {"v": 1, "point": {"x": 0, "y": "a"}},
        "grid:told": True,
    }
