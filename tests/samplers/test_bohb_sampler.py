"""What the BOHB sampler promises, through Optuna's public interface."""

import json
import math
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
from optuna.pruners import HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import Trial, TrialState, create_trial

from samplers import BOHBSampler
from samplers.bohb._space import Space

SPACE = {
    "float": FloatDistribution(-3, 2),
    "log": FloatDistribution(1e-5, 10, log=True),
    "step": FloatDistribution(0, 1, step=0.25),
    "int": IntDistribution(-4, 4),
    "int_log": IntDistribution(1, 1000, log=True),
    "choice": CategoricalDistribution(["a", None, 3]),
    "single": IntDistribution(2, 2),
}
SMALL = {"x": FloatDistribution(0, 1), "y": CategoricalDistribution(["a", "b", "c"])}
CONDITIONAL = {
    "kind": CategoricalDistribution(["a", "b"]),
    "x": FloatDistribution(0, 1),
    "y": IntDistribution(1, 9),
}
UNIT = {"x": FloatDistribution(0, 1)}
PRUNERS = {
    "none": NopPruner,
    "hyperband": lambda: HyperbandPruner(1, 9),
    "halving": lambda: SuccessiveHalvingPruner(min_resource=1, bootstrap_count=2),
}
COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


def study_of(sampler, pruner="none", storage=None, **arguments):
    # Hyperband's brackets hang on the name.
    return optuna.create_study(
        study_name="s", storage=storage, sampler=sampler, pruner=PRUNERS[pruner](), **arguments
    )


def loss(params):
    numbers = [value for value in params.values() if isinstance(value, int | float)]
    return sum((value - 1) ** 2 for value in numbers) + 3 * (params.get("choice") != "a")


def suggest(trial, space):
    if space is CONDITIONAL:
        kind = trial.suggest_categorical("kind", ["a", "b"])
        return trial.suggest_float("x", 0, 1) if kind == "a" else trial.suggest_int("y", 1, 9)
    return [trial._suggest(name, distribution) for name, distribution in space.items()]


def evaluate(study, space, n, sign=1):
    """Some trials, of which every seventh fails on its way."""
    for _ in range(n):
        trial = study.ask()
        suggest(trial, space)
        value, state = loss(trial.params), None
        for step in (1, 3, 9):
            trial.report(sign * (value + 1 / step), step)
            if trial.number % 7 == 6 and step == 3:
                state = FAIL
            elif trial.should_prune():
                state = PRUNED
            if state is not None:
                break
        study.tell(trial, None if state else sign * value, state)
    return [trial.params for trial in study.trials]


def picks(study):
    return [trial.system_attrs.get("bohb:pick") for trial in study.trials]


def pick(study, space=UNIT):
    number = study.ask(space).number
    return study.trials[number].system_attrs["bohb:pick"]


def add(study, x, state=COMPLETE, reports=(), value=None, **attributes):
    study.add_trial(
        create_trial(
            state=state,
            params={"x": x},
            distributions=UNIT,
            value=value,
            intermediate_values=dict(reports),
            system_attrs=attributes,
        )
    )


@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize(
    ("space", "known"),
    [
        pytest.param(SPACE, None, id="mixed"),
        pytest.param(SMALL, SMALL, id="known"),
        pytest.param(CONDITIONAL, CONDITIONAL, id="conditional"),
    ],
)
def test_proposals_are_the_same_wherever_the_process_ends(sqlite, pruner, space, known):
    """Restarted before every trial in one study, and once in the others: early, midway, late."""

    def sampler():
        return BOHBSampler(seed=3, search_space=known, random_fraction=0.2)

    n = 24
    whole = study_of(sampler(), pruner)
    expected = evaluate(whole, space, n)
    assert "model" in [kept["pick"] for kept in picks(whole) if kept]
    study_of(None, storage=sqlite())
    for _ in range(n):
        restarted = optuna.load_study(
            study_name="s", storage=sqlite(), sampler=sampler(), pruner=PRUNERS[pruner]()
        )
        evaluate(restarted, space, 1)
    assert [trial.params for trial in restarted.trials] == expected
    assert picks(restarted) == picks(whole)
    for cut in (1, n // 2, n - 1):
        study = study_of(pickle.loads(pickle.dumps(sampler())), pruner)
        study.add_trials(whole.trials[:cut])
        assert evaluate(study, space, n - cut) == expected


@pytest.mark.parametrize("n_before", [0, 4, 20])
def test_another_process_goes_on_with_a_running_trial(n_before):
    study = study_of(BOHBSampler(seed=3, search_space=SPACE))
    evaluate(study, SPACE, n_before)
    running, half = study.ask(SPACE), study.ask()
    half.suggest_float("float", -3, 2)
    evaluate(study, SPACE, 3)  # others go on meanwhile
    study.sampler = BOHBSampler(seed=3, search_space=SPACE)
    for trial in (running, half):
        again = Trial(study, trial._trial_id)
        for name, distribution in SPACE.items():
            assert again._suggest(name, distribution) == trial._suggest(name, distribution)


def test_the_retry_of_a_stale_trial_repeats_its_point_and_it_is_no_failure():
    study = study_of(BOHBSampler(seed=3, search_space=UNIT, random_fraction=0))
    for value in range(3):
        study.tell(study.ask(UNIT), value)
    silent = study.ask()
    x = silent.suggest_float("x", 0, 1)
    study._storage.set_trial_state_values(silent._trial_id, FAIL)
    assert pick(study)["budget"] == "whole"  # for all that is known, it has failed
    optuna.storages.RetryHeartbeatStaleTrialCallback()(study, study.trials[3])
    retried = study.ask(UNIT)
    assert retried.params == {"x": x}
    assert pick(study)["pick"] == "random"  # three results, where a model needs four
    study.tell(retried, 3)
    assert pick(study)["budget"] == "whole"


def test_the_retry_keeps_a_point_that_was_drawn_and_not_suggested_whole():
    study = study_of(BOHBSampler(seed=3, search_space=SMALL))
    silent = study.ask()
    silent.suggest_float("x", 0, 1)
    study._storage.set_trial_state_values(silent._trial_id, FAIL)
    optuna.storages.RetryHeartbeatStaleTrialCallback()(study, study.trials[0])
    evaluate(study, SMALL, 1)
    assert picks(study)[1] == picks(study)[0]


def test_a_draw_that_the_model_leaves_to_chance_is_told(caplog, monkeypatch):
    study = study_of(BOHBSampler(seed=1, search_space=UNIT, random_fraction=0))
    for i in range(4):
        add(study, i / 10, value=i)
    monkeypatch.setattr("samplers.bohb._model.Model.best", lambda _self, _x: None)
    optuna.logging.enable_propagation()
    assert pick(study)["pick"] == "fallback"
    optuna.logging.disable_propagation()
    assert "drawn at random, since the model of budget whole gives none" in caplog.text


def test_a_seed_is_drawn_once_and_kept(sqlite):
    optuna.create_study(study_name="s", storage=sqlite())
    seeds = set()
    for _ in range(2):
        study = optuna.load_study(study_name="s", storage=sqlite(), sampler=BOHBSampler())
        study.tell(study.ask(SMALL), 0.0)
        study.ask(SMALL)
        seeds.add(study._storage.get_study_system_attrs(study._study_id)["bohb:seed"])
    assert len(seeds) == 1


@pytest.mark.parametrize("pruner", PRUNERS)
def test_maximising_mirrors_minimising(pruner):
    down = study_of(BOHBSampler(seed=1), pruner, direction="minimize")
    up = study_of(BOHBSampler(seed=1), pruner, direction="maximize")
    assert evaluate(down, SPACE, 30) == evaluate(up, SPACE, 30, sign=-1)


@pytest.mark.parametrize("random_fraction", [0, 1 / 3, 1])
def test_the_random_fraction_is_kept(random_fraction):
    study = study_of(BOHBSampler(seed=1, search_space=SMALL, random_fraction=random_fraction))
    for _ in range(300):
        trial = study.ask(SMALL)
        study.tell(trial, trial.params["x"])
    kinds = [kept["pick"] for kept in picks(study)]
    assert kinds[:6] == ["random"] * 6
    share = kinds[6:].count("model") / len(kinds[6:])
    assert share == pytest.approx(1 - random_fraction, abs=0.08 if 0 < random_fraction < 1 else 0)


class TestBudgets:
    """Which results count where; in one dimension four make a model."""

    @pytest.fixture
    def study(self):
        return study_of(BOHBSampler(seed=1, search_space=UNIT, random_fraction=0))

    def test_values_of_complete_trials(self, study):
        for i in range(3):
            add(study, i / 10, value=i)
        assert pick(study)["pick"] == "random"
        add(study, 0.9, value=9)
        picked = pick(study)
        assert (picked["pick"], picked["budget"]) == ("model", "whole")

    def test_the_largest_step_with_enough_reports(self, study):
        for i in range(4):
            add(study, i / 10, PRUNED, {1: i, 2: i, 3: i} if i else {1: i, 2: i})
        assert pick(study)["budget"] == 2
        add(study, 0.5, PRUNED, {1: 5, 2: 5, 3: 5})
        assert pick(study)["budget"] == 3

    def test_a_first_step_of_zero(self, study):
        for i in range(4):
            add(study, i / 10, PRUNED, {0: i})
        assert pick(study)["budget"] == 0

    def test_reports_of_running_and_of_failed_trials(self, study):
        for _ in range(3):
            trial = study.ask(UNIT)
            trial.report(trial.params["x"], 5)
        add(study, 0.5, FAIL, {5: 1.0})
        assert pick(study)["budget"] == 5

    def test_reports_in_every_bracket(self):
        sampler = BOHBSampler(seed=1, search_space=UNIT, random_fraction=0)
        study = study_of(sampler, "hyperband")
        for i in range(4):  # too few in each of three brackets
            add(study, i / 10, PRUNED, {1: i})
        assert pick(study)["budget"] == 1

    @pytest.mark.parametrize(("last", "budget"), [(9, "whole"), (8, 8)])
    def test_trials_that_are_pruned_at_the_very_end(self, study, last, budget):
        for i in range(2):
            add(study, i / 10, COMPLETE, dict.fromkeys(range(1, 10), i), value=i)
            add(study, i / 7, PRUNED, dict.fromkeys(range(1, last + 1), i))
        assert pick(study)["budget"] == budget

    def test_trials_that_end_early_by_themselves(self, study):
        for i in range(4):
            add(study, i / 10, COMPLETE, {1: i, 2 + i: i}, value=i)
        assert pick(study)["budget"] == "whole"

    @pytest.mark.parametrize("how", ["fail", "nan", "minus infinity"])
    def test_what_failed_is_the_worst(self, study, how):
        def objective(trial):
            trial.suggest_float("x", 0, 1)
            if how == "fail":
                raise ArithmeticError
            return math.nan if how == "nan" else -math.inf

        for x in (0.1, 0.12):
            add(study, x, value=10)
        for x in (0.9, 0.92):
            study.enqueue_trial({"x": x})
        study.optimize(objective, n_trials=2, catch=ArithmeticError)
        near = [pick(study)["x"][0] < 0.5 for _ in range(20)]
        assert all(near)

    def test_trials_outside_of_the_space(self, study):
        wide = {"x": FloatDistribution(0, 9)}
        for i in range(8):
            study.add_trial(create_trial(params={"x": 1.5 + i}, distributions=wide, value=i))
            study.add_trial(create_trial(value=i))
        assert pick(study)["pick"] == "random"


def test_an_enqueued_point_counts():
    def objective(trial):
        return sum((trial.suggest_float(name, -5, 5) - 3.21) ** 2 for name in "abc")

    study = study_of(BOHBSampler(seed=1))
    for shift in (-0.1, 0, 0.1, 0.2):
        study.enqueue_trial(dict.fromkeys("abc", 3.2 + shift))
    study.enqueue_trial({"a": 3.0})  # the rest of it is drawn
    study.optimize(objective, n_trials=40)
    near = [t for t in study.trials[20:] if max(abs(v - 3.2) for v in t.params.values()) < 1.5]
    assert study.trials[4].params["a"] == 3.0
    assert len(near) > 5


def test_pruning_and_the_model_are_better_than_pruning_alone():
    def objective(trial):
        distance = sum((trial.suggest_float(name, -5, 5) - 2) ** 2 for name in "abc")
        distance += 5 * (trial.suggest_categorical("kind", list("pqrs")) != "r")
        for step in range(1, 28):
            trial.report(distance + 20 / step, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return distance

    def mean_best(make):
        bests = []
        for seed in range(6):
            study = optuna.create_study(
                study_name=f"s{seed}", sampler=make(seed=seed), pruner=HyperbandPruner(1, 27)
            )
            study.optimize(objective, n_trials=80)
            bests.append(study.best_value)
        return np.mean(bests)

    assert mean_best(BOHBSampler) < 0.6 * mean_best(optuna.samplers.RandomSampler)


def test_conditional_parameters_are_drawn_with_a_warning_unless_the_space_is_known(caplog):
    optuna.logging.enable_propagation()
    evaluate(study_of(BOHBSampler(seed=1)), CONDITIONAL, 12)
    assert "is sampled independently" in caplog.text
    caplog.clear()
    quiet = BOHBSampler(seed=1, warn_independent_sampling=False)
    evaluate(study_of(quiet), CONDITIONAL, 12)
    known = study_of(BOHBSampler(seed=1, search_space=CONDITIONAL))
    evaluate(known, CONDITIONAL, 40)
    optuna.logging.disable_propagation()
    assert "is sampled independently" not in caplog.text
    assert [kept["pick"] for kept in picks(known)].count("model") > 10


def test_partial_fixed_parameters_stay_and_the_others_are_modelled():
    study = study_of(BOHBSampler(seed=1))
    evaluate(study, SMALL, 8)
    study.sampler = optuna.samplers.PartialFixedSampler({"y": "b"}, study.sampler)
    evaluate(study, SMALL, 12)
    assert {trial.params["y"] for trial in study.trials[8:]} == {"b"}
    assert {len(kept["x"]) for kept in picks(study)[8:]} == {1}


@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize("n_jobs", [2, 4])
def test_threads(pruner, n_jobs):
    def objective(trial):
        value = (trial.suggest_float("x", -1, 1) - 0.5) ** 2
        for step in range(1, 10):
            trial.report(value + 1 / step, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    study = study_of(BOHBSampler(seed=1), pruner)
    study.optimize(objective, n_trials=60, n_jobs=n_jobs)
    assert len(study.trials) == 60
    assert study.best_value < 0.05


def test_workers_that_ask_at_once_get_different_points():
    study = study_of(BOHBSampler(seed=1, search_space=SPACE))
    evaluate(study, SPACE, 20)
    waiting = [study.ask(SPACE) for _ in range(8)]
    assert len({tuple(trial.params.values()) for trial in waiting}) == 8


def test_one_object_serves_two_studies():
    sampler = BOHBSampler(seed=1)
    alone = evaluate(study_of(BOHBSampler(seed=1)), SMALL, 15)
    one, two = study_of(sampler), study_of(sampler)
    for _ in range(15):
        evaluate(one, SMALL, 1)
        evaluate(two, SPACE, 1)
    assert [trial.params for trial in one.trials] == alone


def test_what_is_stored():
    """The keys that the README documents: what other versions of the sampler must read."""
    study = study_of(BOHBSampler(seed=1, search_space=SMALL, random_fraction=0))
    evaluate(study, SMALL, 9)
    first, last = picks(study)[0], picks(study)[8]
    assert list(first) == list(last) == ["v", "space", "pick", "budget", "x"]
    assert (first["v"], first["pick"], first["budget"]) == (1, "random", None)
    assert (last["pick"], last["budget"], len(last["x"])) == ("model", "whole", 2)
    assert json.loads(json.dumps(last, allow_nan=False)) == last


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
        st.sampled_from([0.1, 0.25, 3.0]),
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
    st.just(FloatDistribution(-1.7e308, 1.7e308)),
)


@settings(max_examples=300)
@given(distributions, st.floats(0, 1, exclude_max=True))
def test_every_draw_is_a_legal_value_and_comes_back_to_it(distribution, u):
    space = Space({"x": distribution})
    value = space.decode(space.random(np.array([u])))["x"]
    assert distribution._contains(distribution.to_internal_repr(value))
    again = space.decode(space.encode({"x": value}))["x"]
    assert again == pytest.approx(value) if isinstance(value, float) else again == value


@pytest.mark.parametrize(
    "distribution",
    [IntDistribution(3, 7), IntDistribution(0, 8, step=2), FloatDistribution(0, 1, step=0.25)],
)
def test_whole_and_stepped_numbers_own_bins_of_equal_width(distribution):
    space = Space({"x": distribution})
    values = [space.decode(np.array([(i + 0.5) / 100]))["x"] for i in range(100)]
    assert [values.count(value) for value in sorted(set(values))] == [20] * 5
    assert [space.encode({"x": v})[0] for v in values[::20]] == pytest.approx(
        [0.1, 0.3, 0.5, 0.7, 0.9]
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"seed": "1"}, "seed: '1' cannot be used; give an integer or None"),
        ({"search_space": {"x": 3}}, "search_space['x']: 3 cannot be used"),
        ({"min_points_in_model": 0}, "min_points_in_model: 0 cannot be used; give an integer >= 1"),
        ({"top_n_percent": 100}, "top_n_percent: 100 cannot be used; give an integer from 1 to 99"),
        ({"top_n_percent": 15.0}, "top_n_percent: 15.0 cannot be used"),
        ({"num_samples": 0}, "num_samples: 0 cannot be used; give an integer >= 1"),
        ({"num_samples": True}, "num_samples: True cannot be used"),
        ({"random_fraction": 1.1}, "random_fraction: 1.1 cannot be used; give a number in [0, 1]"),
        ({"random_fraction": math.nan}, "random_fraction: nan cannot be used"),
        ({"bandwidth_factor": 0}, "bandwidth_factor: 0 cannot be used; give a number > 0"),
        ({"bandwidth_factor": math.inf}, "bandwidth_factor: inf cannot be used"),
        ({"min_bandwidth": 0}, "min_bandwidth: 0 cannot be used; give a number in (0, 1]"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(arguments, says):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        BOHBSampler(**arguments)
    assert says in str(caught.value)


def test_several_objectives_are_rejected():
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=BOHBSampler())
    with pytest.raises(ValueError, match="BOHBSampler"):
        study.ask(SMALL)
