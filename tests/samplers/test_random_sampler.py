"""What the random sampler promises, through Optuna's public interface."""

import math
import pickle
from collections import Counter

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

from samplers import RandomSampler
from samplers.random import SampleExhausted
from samplers.random._draws import first_unseen, uniform

FINITE = {"x": IntDistribution(1, 5), "y": CategoricalDistribution(["a", "b"])}
SPACE = {
    "float": FloatDistribution(-3, 2),
    "log": FloatDistribution(1e-5, 10, log=True),
    "step": FloatDistribution(0, 1, step=0.25),
    "int": IntDistribution(-4, 4),
    "int_step": IntDistribution(0, 9, step=3),
    "int_log": IntDistribution(1, 1000, log=True),
    "choice": CategoricalDistribution(["a", None, 3]),
    "single": IntDistribution(2, 2),
}
SAMPLERS = [
    pytest.param(lambda: RandomSampler(seed=3), SPACE, id="continuous"),
    pytest.param(lambda: RandomSampler(seed=3), FINITE, id="finite"),
    pytest.param(lambda: RandomSampler(seed=3, search_space=FINITE), FINITE, id="known"),
    pytest.param(
        lambda: RandomSampler(seed=3, search_space=FINITE, proportion=1), FINITE, id="proportion"
    ),
]


def evaluate(study, space, n=1):
    for _ in range(n):
        study.tell(study.ask(space), 0.0)
    return [tuple(trial.params.values()) for trial in study.trials]


@pytest.mark.parametrize(("make", "space"), SAMPLERS)
def test_proposals_are_the_same_wherever_the_process_ends(sqlite, make, space):
    """Restarted before every trial in one study, and once at every cut in the others."""
    whole = evaluate(optuna.create_study(sampler=make()), space, 8)
    optuna.create_study(study_name="s", storage=sqlite())
    for _ in range(8):
        restarted = optuna.load_study(study_name="s", storage=sqlite(), sampler=make())
        restarted = evaluate(restarted, space)
    assert restarted == whole
    for cut in range(8):
        study = optuna.create_study(sampler=make())
        evaluate(study, space, cut)
        study.sampler = pickle.loads(pickle.dumps(make()))
        assert evaluate(study, space, 8 - cut) == whole


@pytest.mark.parametrize(("make", "space"), SAMPLERS)
def test_another_process_goes_on_with_a_running_trial(make, space):
    study = optuna.create_study(sampler=make())
    evaluate(study, space, 2)
    running = study.ask(space)
    half = study.ask()
    half.suggest_int("x", 1, 5) if "x" in space else half.suggest_float("float", -3, 2)
    evaluate(study, space, 2)  # others go on meanwhile
    study.sampler = pickle.loads(pickle.dumps(make()))
    for trial in (running, half):
        again = Trial(study, trial._trial_id)
        for name, distribution in space.items():
            assert again._suggest(name, distribution) == trial._suggest(name, distribution)


def test_a_seed_is_drawn_once_and_kept(sqlite):
    study = optuna.create_study(study_name="s", storage=sqlite(), sampler=RandomSampler())
    first = study.ask().suggest_float("x", 0, 1)
    study = optuna.load_study(study_name="s", storage=sqlite(), sampler=RandomSampler())
    seed = study._storage.get_study_system_attrs(study._study_id)["random:seed"]
    assert first == uniform(seed, 0, "x")
    assert study.ask().suggest_float("x", 0, 1) == uniform(seed, 1, "x")
    other = optuna.create_study(sampler=RandomSampler())
    assert other.ask().suggest_float("x", 0, 1) != first


@settings(max_examples=50)
@given(st.integers(), st.integers(0, 10**6))
def test_draws_lie_in_every_kind_of_distribution(seed, number):
    study = optuna.create_study(sampler=RandomSampler(seed=seed))
    trial = optuna.trial.create_trial(state=TrialState.RUNNING)
    trial.number = number
    for name, distribution in SPACE.items():
        value = study.sampler.sample_independent(study, trial, name, distribution)
        assert distribution._contains(distribution.to_internal_repr(value))
        assert type(value) in (int, float, str, type(None))


def test_draws_are_uniform_and_independent():
    draws = [uniform(7, number, name) for number in range(2000) for name in "ab"]
    counts = Counter(int(10 * u) for u in draws)
    assert sum((counts[i] - 400) ** 2 / 400 for i in range(10)) < 34  # 1 in 10,000
    a, b = draws[::2], draws[1::2]
    mean = sum((x - 0.5) * (y - 0.5) for x, y in zip(a, b, strict=True)) / 2000
    assert abs(mean) < 4 / 12 / math.sqrt(2000)


@pytest.mark.parametrize("known", [True, False])
def test_duplicates_are_avoided_while_points_are_unseen(known):
    space = FINITE if known else None
    study = optuna.create_study(sampler=RandomSampler(seed=1, search_space=space))
    seen = Counter(evaluate(study, FINITE, 10))
    assert len(seen) == 10
    assert len(evaluate(study, FINITE, 3)) == 13  # then anything goes


def test_points_outside_the_space_are_no_duplicates_in_it():
    """Trials of a wider space, or enqueued ones out of range, have seen nothing of this one."""
    space = {"x": FloatDistribution(0, 1, step=0.25)}
    study = optuna.create_study(sampler=RandomSampler(seed=1, search_space=space))
    evaluate(study, {"x": FloatDistribution(2, 9, step=0.5)}, 8)
    study.enqueue_trial({"x": math.inf})
    with pytest.warns(UserWarning, match="out of range"):
        evaluate(study, space)
    assert len(set(evaluate(study, space, 5)[9:])) == 5


def test_duplicates_are_drawn_when_asked_for():
    study = optuna.create_study(sampler=RandomSampler(seed=1, avoid_duplicates=False))
    assert len(set(evaluate(study, FINITE, 10))) < 10
    assert all(not trial.system_attrs for trial in study.trials)


def test_a_point_that_others_are_at_is_not_drawn():
    study = optuna.create_study(sampler=RandomSampler(seed=1, search_space=FINITE))
    trials = [study.ask(FINITE) for _ in range(10)]
    assert len({tuple(trial.params.values()) for trial in trials}) == 10


def test_spaces_that_differ_from_trial_to_trial_are_left_alone():
    def objective(trial):
        x = trial.suggest_int("x", 0, 2)
        return trial.suggest_int("y", 0, 1) if x == 0 else float(x)

    study = optuna.create_study(sampler=RandomSampler(seed=1))
    study.optimize(objective, n_trials=30)
    assert {trial.params["x"] for trial in study.trials} == {0, 1, 2}


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.data())
def test_first_unseen_finds_the_last_point(sizes, data):
    every = [[]]
    for size in sizes:
        every = [[*point, digit] for point in every for digit in range(size)]
    left = data.draw(st.sampled_from(every))
    stuck = data.draw(st.sampled_from(every))
    found = first_unseen(lambda _: stuck, sizes, lambda p: p != left, len(every) - 1)
    assert found == left


@pytest.mark.parametrize(("proportion", "expected"), [(1, 10), (0.5, 5), (0.31, 3), (0.001, 1)])
def test_a_proportion_is_drawn_without_replacement_and_ends(proportion, expected):
    def objective(trial):
        trial.suggest_int("x", 1, 5)
        trial.suggest_categorical("y", ["a", "b"])
        return 0.0

    study = optuna.create_study(
        sampler=RandomSampler(seed=5, search_space=FINITE, proportion=proportion)
    )
    assert study.sampler.n_points == expected
    study.optimize(objective)
    assert len({tuple(trial.params.values()) for trial in study.trials}) == expected
    assert len(study.trials) == expected
    assert study.sampler.is_exhausted(study)
    with pytest.raises(SampleExhausted, match=f"^all {expected} points") as caught:
        study.ask()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    study.optimize(objective)
    assert len(study.get_trials(states=[TrialState.COMPLETE])) == expected


def test_enqueued_trials_and_retries_take_nothing_from_the_sample():
    study = optuna.create_study(sampler=RandomSampler(seed=5, search_space=FINITE, proportion=0.5))
    stale = study.ask(FINITE)
    study._storage.set_trial_state_values(stale._trial_id, TrialState.FAIL)
    optuna.storages.RetryHeartbeatStaleTrialCallback()(study, study.trials[0])
    study.enqueue_trial({"x": 4})
    while not study.sampler.is_exhausted(study):
        evaluate(study, FINITE)
    complete = study.get_trials(states=[TrialState.COMPLETE])
    drawn = {tuple(t.params.values()) for t in complete if "fixed_params" not in t.system_attrs}
    assert len(complete) == 6
    assert len(drawn) == 5


def test_the_retry_of_a_trial_that_never_drew_makes_up_for_its_turn():
    study = optuna.create_study(sampler=RandomSampler(seed=5, search_space=FINITE, proportion=1))
    silent = study._storage.create_new_trial(study._study_id)
    study._storage.set_trial_state_values(silent, TrialState.FAIL)
    optuna.storages.RetryHeartbeatStaleTrialCallback()(study, study.trials[0])
    while not study.sampler.is_exhausted(study):
        evaluate(study, FINITE)
    complete = study.get_trials(states=[TrialState.COMPLETE])
    assert len({tuple(trial.params.values()) for trial in complete}) == len(complete) == 10


@pytest.mark.parametrize("end", [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL])
def test_trials_of_other_samplers_take_nothing_from_the_sample(end):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(6):
        study.tell(study.ask(FINITE), 0.0 if end == TrialState.COMPLETE else None, state=end)
    study.sampler = RandomSampler(seed=5, search_space=FINITE, proportion=0.5)
    assert not study.sampler.is_exhausted(study)
    while not study.sampler.is_exhausted(study):
        evaluate(study, FINITE)
    alone = RandomSampler(seed=5, search_space=FINITE, proportion=0.5)
    points = evaluate(optuna.create_study(sampler=alone), FINITE, 5)
    assert [tuple(trial.params.values()) for trial in study.trials[6:]] == points


def test_every_point_is_as_likely_to_be_in_the_sample():
    counts = Counter()
    for seed in range(300):
        sampler = RandomSampler(seed=seed, search_space=FINITE, proportion=0.3)
        counts.update(evaluate(optuna.create_study(sampler=sampler), FINITE, 3))
    assert len(counts) == 10
    assert sum((n - 90) ** 2 / 90 for n in counts.values()) < 34  # 1 in 10,000, and seeds are fixed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"seed": 1.5}, "seed: 1.5 cannot be used; give an integer or None"),
        ({"search_space": {"x": [1]}}, "search_space['x']: [1] cannot be used"),
        ({"proportion": 0.5}, "search_space: None cannot be used; proportion needs a finite one"),
        ({"proportion": 0, "search_space": FINITE}, "proportion: 0 cannot be used"),
        ({"proportion": "half", "search_space": FINITE}, "proportion: 'half' cannot be used"),
        ({"proportion": 0.5, "search_space": SPACE}, "search_space['float']: FloatDistribution("),
    ],
)
def test_arguments_that_cannot_be_used_are_named(arguments, says):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        RandomSampler(**arguments)
    assert says in str(caught.value)


def test_a_sample_that_does_not_fit_the_objective_is_named():
    sampler = RandomSampler(seed=5, search_space=FINITE, proportion=0.5)
    study = optuna.create_study(sampler=sampler)
    with pytest.raises(ValueError, match="no parameter 'z' in the sample; it has x, y"):
        study.ask().suggest_int("z", 0, 1)
    with pytest.raises(ValueError, match=r"search_space\['x'\]: \d cannot be used"):
        study.ask().suggest_int("x", 10, 20)


def test_what_is_stored():
    """The keys that the README documents: what other versions of the sampler must read."""
    space = {"x": IntDistribution(4, 4)}
    study = optuna.create_study(sampler=RandomSampler(search_space=space, proportion=1))
    study.ask(space)
    assert study.trials[0].system_attrs == {"random:point": {"v": 1, "params": {"x": 4}}}
    attributes = study._storage.get_study_system_attrs(study._study_id)
    assert attributes.keys() == {"random:seed"}
