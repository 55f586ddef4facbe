# ruff: noqa: NPY002 (it is the legacy generator that HpBandSter uses)

import math
import warnings
from collections import Counter

import numpy as np
import optuna
import pytest
from bohb_driver import new_search, run
from driver import SPACE, evaluate, new_study, record, sequence, valley, work
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from hpo_bench.bridges.density import Density
from hpo_bench.bridges.hpbandster import CONFIG_ID
from hpo_bench.bridges.unit_cube import config_space, encode
from hpo_bench.errors import HpoBenchError
from hpo_bench.search import Outcome

pytest.importorskip("hpbandster")

PLANE = {"x": FloatDistribution(-1, 2), "y": FloatDistribution(1e-5, 1, log=True)}

CYCLE = 9 * 1 + 3 * 2 + 1 * 6 + 3 * 3 + 1 * 6 + 3 * 9
"""Epochs of one round of Hyperband's brackets for 1, 3, 9 when promotions continue."""


def slope(configuration, epoch):
    return (configuration["x"] - 1) ** 2 - math.log(configuration["y"]) / epoch


@pytest.fixture
def study():
    return new_study()


def states(study):
    return Counter(trial.state for trial in study.trials)


def picks(study):
    return Counter(trial.user_attrs["pick"] for trial in study.trials)


# The schedule


def test_brackets_and_rungs_are_hyperbands(study):
    jobs = run(study, 2 * CYCLE)
    brackets = {}
    for job in jobs:
        bracket = job.trial.user_attrs["bracket"]
        brackets.setdefault(bracket, Counter())[job.until] += 1
    assert brackets == {
        bracket: [{1: 9, 3: 3, 9: 1}, {3: 3, 9: 1}, {9: 3}][bracket % 3] for bracket in range(6)
    }


@pytest.mark.parametrize(("max_epochs", "first"), [(27, {1: 27, 3: 9, 9: 3, 27: 1}), (1, {1: 1})])
def test_the_first_bracket_of_other_ladders(study, max_epochs, first):
    search = new_search(study, max_epochs=max_epochs)
    counts = Counter()
    for job in work(search, study, 1000):
        if job.trial.user_attrs["bracket"] > 0:
            break
        counts[job.until] += 1
    assert counts == first


def test_a_promoted_configuration_is_the_same_trial_with_more_epochs(study):
    jobs = run(study, CYCLE)
    promoted = [job for job in jobs[:13] if job.until == 9]
    assert len(promoted) == 1
    history = [job for job in jobs[:13] if job.trial.number == promoted[0].trial.number]
    assert [job.until for job in history] == [1, 3, 9]
    assert len({tuple(job.configuration.items()) for job in history}) == 1
    trial = study.trials[promoted[0].trial.number]
    assert sorted(trial.intermediate_values) == list(range(1, 10))
    assert trial.params == promoted[0].configuration
    assert trial.distributions == SPACE


def test_the_best_third_is_promoted(study):
    run(study, CYCLE)
    entered = [trial for trial in study.trials if trial.user_attrs["bracket"] == 0]
    ranked = sorted(entered, key=lambda trial: trial.intermediate_values[1])
    assert all(trial.user_attrs["rung"] > 0 for trial in ranked[:3])
    assert all(trial.user_attrs["rung"] == 0 for trial in ranked[3:])


def test_several_jobs_may_be_out_and_are_told_in_any_order(study):
    search = new_search(study)
    out, seen = [], []
    for turn in range(40):
        while len(out) < 4:
            out.append(search.ask())
        job = out.pop([2, 0, 3, 1][turn % 4])
        search.tell(job, evaluate(job))
        seen.append((job.trial.number, job.until))
    assert len(set(seen)) == len(seen) == 40
    assert Counter(until for _, until in seen)[9] > 3
    search.close()
    assert TrialState.RUNNING not in states(study)


# The books


def test_trials_are_settled_when_they_are_decided(study):
    search = new_search(study)
    for job in work(search, study, 2 * CYCLE):
        number = job.trial.number
        done = [trial for trial in study.trials if trial.state.is_finished()]
        assert (study.trials[number].state == TrialState.COMPLETE) == (job.until == 9)
        for trial in done:
            assert trial.value == trial.intermediate_values[trial.last_step]
            assert trial.state == (
                TrialState.COMPLETE if trial.last_step == 9 else TrialState.PRUNED
            )
    assert states(study) == {TrialState.COMPLETE: 10, TrialState.PRUNED: 20}


def test_nothing_is_open_after_close(study):
    search = new_search(study)
    list(work(search, study, 11))
    search.ask()
    assert states(study)[TrialState.RUNNING] > 0
    search.close()
    assert TrialState.RUNNING not in states(study)
    assert states(study)[TrialState.COMPLETE] == 0


def test_close_completes_what_reached_the_largest_budget(study):
    search = new_search(study, min_epochs=9)
    job = search.ask()
    evaluate(job)
    search.close()
    assert study.trials[0].state == TrialState.COMPLETE


def test_a_study_of_somebody_else_is_left_alone(study):
    foreign = study.ask()
    run(study, 20)
    assert study.trials[foreign.number].state == TrialState.RUNNING


def test_maximising_mirrors_minimising(study):
    mirrored = new_study("maximize")
    jobs = run(study, 3 * CYCLE)
    mirror = run(mirrored, 3 * CYCLE, lambda *args: -valley(*args))
    assert list(sequence(jobs)) == list(sequence(mirror))
    assert [job.configuration for job in jobs] == [job.configuration for job in mirror]
    assert mirrored.best_value == -study.best_value


@pytest.mark.parametrize("result", [None, math.nan, math.inf, -math.inf])
def test_a_failed_evaluation_fails_its_trial_and_never_comes_back(study, result):
    def fails_on_a(configuration, epoch):
        failing = configuration["kind"] == "a" and epoch > 1
        return result if failing else valley(configuration, epoch)

    jobs = run(study, 3 * CYCLE, fails_on_a)
    assert len(set(sequence(jobs))) == len(jobs)
    assert states(study)[TrialState.FAIL] > 0
    for trial in study.trials:
        failed = trial.params["kind"] == "a" and trial.user_attrs["rung"] > 0
        assert trial.state != TrialState.COMPLETE or trial.params["kind"] != "a"
        assert not failed or trial.state == TrialState.FAIL


def test_a_rung_that_fails_as_a_whole_is_filled_anew(study):
    search = new_search(study)
    for _ in range(9):
        search.tell(search.ask(), Outcome(0, None))
    job = search.ask()
    assert (job.trial.number, job.until) == (9, 3)
    assert job.trial.user_attrs["rung"] == 1


def test_an_evaluation_that_a_pruner_stopped_is_out(study):
    search = new_search(study)
    stopped = search.ask()
    search.tell(stopped, Outcome(0, 0.0, pruned=True))
    assert study.trials[0].state == TrialState.PRUNED
    assert stopped.trial.number not in {job.trial.number for job in work(search, study, CYCLE)}


# The model


def test_the_share_of_model_picks_is_what_random_fraction_leaves(study):
    search = new_search(study, random_fraction=1 / 3)
    n_before = None
    for _ in work(search, study, 12 * CYCLE):
        if n_before is None and picks(study)["model"]:
            n_before = len(study.trials) - 1
    trials = study.trials[n_before:]
    share = sum(trial.user_attrs["pick"] == "model" for trial in trials) / len(trials)
    assert len(trials) > 150
    assert abs(share - 2 / 3) < 4 * math.sqrt(2 / 9 / len(trials))


@pytest.mark.parametrize(("random_fraction", "pick"), [(1, "random"), (0, "model")])
def test_the_extremes_of_random_fraction(study, random_fraction, pick):
    run(study, 3 * CYCLE, random_fraction=random_fraction)
    assert {trial.user_attrs["pick"] for trial in study.trials[15:]} == {pick}


def test_the_model_finds_what_random_does_not():
    modelled, random = new_study(), new_study()
    run(modelled, 5 * CYCLE, random_fraction=0.2)
    run(random, 5 * CYCLE, random_fraction=1)

    def mean(study):
        late = study.trials[-25:]
        return sum(valley(trial.params, 9) for trial in late) / len(late)

    assert mean(modelled) < mean(random) / 2


@pytest.fixture
def global_random_state():
    state = np.random.get_state()
    yield
    np.random.set_state(state)


@pytest.mark.filterwarnings("ignore")
def test_picks_are_those_of_the_untouched_generator(study, global_random_state):
    """On the same results, from the same random state, but for the last digits."""
    from hpbandster.core.dispatcher import Job
    from hpbandster.optimizers.config_generators.bohb import BOHB

    jobs = run(study, 4 * CYCLE, space=PLANE, function=slope, num_samples=64)
    cube = config_space(PLANE)
    stock = BOHB(cube)
    drawn, n_models = set(), 0
    for job in jobs:
        trial, point = study.trials[job.trial.number], encode(PLANE, job.configuration)
        if trial.number not in drawn:
            drawn.add(trial.number)
            words = np.random.SeedSequence((0, *trial.system_attrs[CONFIG_ID])).generate_state(5)
            np.random.seed(words[:4])
            cube.seed(int(words[4]))
            expected, info = stock.get_config(budget=None)
            assert point == pytest.approx(expected, abs=1e-9)
            assert trial.user_attrs["pick"] == ("model" if info["model_based_pick"] else "random")
            n_models += info["model_based_pick"]
        told = Job(None, config=point, budget=job.until)
        told.result = {"loss": trial.intermediate_values[job.until]}
        stock.new_result(told)
    assert n_models > 30


# Never silent


@pytest.fixture
def broken_model(monkeypatch):
    def broken(*args):
        raise FloatingPointError("the density broke")

    monkeypatch.setattr(Density, "pdf", broken)


def test_a_fallback_is_recorded_on_its_trial_and_logged(study, broken_model, caplog):
    run(study, 3 * CYCLE, strict=False)
    assert picks(study)["model"] == 0
    assert picks(study)["fallback"] > 10
    assert picks(study)["random"] > 15
    assert caplog.text.count("the density broke") == picks(study)["fallback"]


def test_a_fallback_is_an_error_in_strict_mode(study, broken_model):
    with pytest.raises(HpoBenchError, match="the density broke"):
        run(study, 3 * CYCLE, strict=True)
    assert picks(study)["fallback"] == 0


def test_a_sample_without_a_density_is_a_fallback(study, monkeypatch):
    monkeypatch.setattr(Density, "pdf", lambda *args: math.nan)
    with pytest.raises(HpoBenchError, match="samples failed"):
        run(study, 3 * CYCLE, strict=True)


def test_no_warning_gets_out(study):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(study, 2 * CYCLE)


# Randomness


def test_the_global_generator_is_neither_moved_nor_heard(study):
    run(study, 2 * CYCLE)
    np.random.seed(12345)
    before = np.random.get_state()[1:3]
    other = new_study()
    run(other, 2 * CYCLE)
    after = np.random.get_state()[1:3]
    assert np.array_equal(before[0], after[0])
    assert before[1] == after[1]
    assert record(study) == record(other)


def test_searches_side_by_side_do_not_disturb_each_other(study):
    alone = new_study()
    run(alone, 2 * CYCLE)
    other = new_study()
    pair = zip(
        work(new_search(study), study, 2 * CYCLE),
        work(new_search(other, seed=1), other, 2 * CYCLE),
        strict=False,
    )
    list(pair)
    assert [t.params for t in study.trials] == [t.params for t in alone.trials][: len(study.trials)]
    assert study.trials[0].params != other.trials[0].params


def test_values_are_plain_python(study):
    for job in run(study, 2 * CYCLE):
        assert {name: type(value) for name, value in job.configuration.items()} == {
            "rate": float,
            "kind": type(job.configuration["kind"]),
            "fixed": int,
        }
        assert any(job.configuration["kind"] is choice for choice in SPACE["kind"].choices)
        assert type(job.until) is int


def test_the_sampler_of_the_study_plays_no_part():
    class Untouchable(optuna.samplers.BaseSampler):
        def infer_relative_search_space(self, study, trial):
            raise AssertionError

        sample_relative = sample_independent = infer_relative_search_space

    study = optuna.create_study(sampler=Untouchable())
    run(study, 20)
