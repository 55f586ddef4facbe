"""The checks pass what keeps its promises, and see what does not."""

import itertools

import optuna
import pytest
from optuna.samplers import BaseSampler, RandomSampler

from hpo_bench import conformance
from hpo_bench.conformance import METHOD_CHECKS, OBJECTIVE_CHECKS, Method, ObjectiveType, Verdict
from hpo_bench.conformance.cost import costs
from hpo_bench.conformance.methods import restart_in_a_fresh_process, several_workers
from hpo_bench.conformance.problems import Bowl
from hpo_bench.errors import InputError
from hpo_bench.methods import SamplerSearch
from hpo_bench.objectives import Evaluation

QUICK = [check for check in METHOD_CHECKS if check is not restart_in_a_fresh_process]
METHODS = {
    "random": {},
    "pso": {},
    "grid": {"levels": 4},
    "bohb": {},
    "samplers:BOHBSampler": {},
    "optuna.samplers:TPESampler": {},
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_keep_their_promises(name):
    found = list(conformance.examine(QUICK, Method(name, METHODS[name])))
    assert [f for f in found if f.verdict is Verdict.FAILED] == []


class Independent(BaseSampler):
    """A random sampler to be broken."""

    def __init__(self, seed=0):
        self.random = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, name, distribution):
        return self.random.sample_independent(study, trial, name, distribution)


class Outside(Independent):
    def sample_independent(self, study, trial, name, distribution):
        value = super().sample_independent(study, trial, name, distribution)
        return value * 3 if isinstance(value, float) else value


class Unseeded(Independent):
    def __init__(self, seed=0):
        super().__init__(seed=None)


class Constant(Independent):
    def __init__(self):
        super().__init__(seed=0)


class NeedsABest(Independent):
    def sample_independent(self, study, trial, name, distribution):
        if trial.number > 3:
            assert study.best_trial is not None
        return super().sample_independent(study, trial, name, distribution)


class Unpicklable(Independent):
    def __init__(self, seed=0):
        super().__init__(seed)
        self.draw = lambda: 0.5


class OneWay(Independent):
    """Takes what it finds for the better the lower it is, whatever the study says."""

    def sample_independent(self, study, trial, name, distribution):
        done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        best = min(done, key=lambda t: t.value, default=None)
        if best is not None and trial.number % 2 and name in best.params:
            return best.params[name]
        return super().sample_independent(study, trial, name, distribution)


class Claims(Independent):
    state_in_storage = True


class Counts(Independent):
    """Counts in its process, and starts again with it."""

    def __init__(self):
        super().__init__()
        self.count = itertools.count()

    def sample_independent(self, study, trial, name, distribution):
        draws = RandomSampler(seed=next(self.count))
        return draws.sample_independent(study, trial, name, distribution)


@pytest.mark.parametrize(
    ("broken", "check", "verdict", "words"),
    [
        (Outside, "values in range", Verdict.FAILED, "expected a number from"),
        (Unseeded, "same seed same proposals", Verdict.FAILED, "proposal 1 differs"),
        (Constant, "other seed other proposals", Verdict.REMARK, "the same whatever the seed"),
        (NeedsABest, "every evaluation fails", Verdict.FAILED, "No trials are completed"),
        (Unpicklable, "pickled", Verdict.FAILED, "Unpicklable"),
        (OneWay, "direction", Verdict.REMARK, "does it heed the study's direction"),
    ],
)
def test_a_broken_sampler_is_seen(broken, check, verdict, words):
    found = {
        f.check: f for f in conformance.examine(QUICK, Method(f"{__name__}:{broken.__name__}"))
    }
    assert found[check].verdict is verdict
    assert words in found[check].detail
    others = {name for name, f in found.items() if f.verdict is Verdict.FAILED} - {check}
    assert others <= _entailed(broken)


def _entailed(broken):
    """What else must fail where this is broken."""
    if broken is Outside:
        return {check.__name__.replace("_", " ") for check in QUICK}
    # Several are asked for before any is told.
    return {"several workers", "several threads"} if broken is NeedsABest else set()


@pytest.mark.parametrize(
    ("broken", "words"), [(Claims, "its state_in_storage is True"), (Counts, "a second time")]
)
def test_a_sampler_that_does_not_survive_its_process_is_seen(broken, words):
    with pytest.raises(AssertionError, match=words):
        restart_in_a_fresh_process(Method(f"{__name__}:{broken.__name__}"))


def test_a_finite_search_keeps_its_promises():
    found = list(conformance.examine(QUICK, Method("grid", {"levels": 1})))
    assert [f for f in found if f.verdict is Verdict.FAILED] == []
    details = {f.check: f.detail for f in found}
    assert details["several workers"] == "does not apply: it ends after 3 configurations"


def test_a_search_that_ends_early_is_killed_before_its_end():
    assert restart_in_a_fresh_process(Method("grid", {"levels": 1})) is None


def test_a_search_of_one_configuration_has_nothing_to_resume():
    one = Method("grid", {"levels": 1, "values": {"c": ["a"]}})
    expected = "does not apply: it ends after 1 configuration"
    assert restart_in_a_fresh_process(one) == several_workers(one) == expected


class Waits(SamplerSearch):
    """Proposes nothing while one of its proposals is out."""

    def __init__(self, setup):
        super().__init__(setup, RandomSampler(setup.seed), None)

    def ask(self):
        trials = self._study.get_trials(deepcopy=False)
        is_out = any(trial.state is optuna.trial.TrialState.RUNNING for trial in trials)
        return None if is_out else super().ask()


def test_a_search_that_waits_for_every_result_is_no_finite_one():
    with pytest.raises(AssertionError, match="it has nothing more to propose"):
        several_workers(Method(f"{__name__}:Waits"))


def test_costs_are_measured_up_to_the_limit():
    at_20, at_40 = costs(Method("random"), sizes=(20, 40))
    assert at_20.milliseconds > 0
    assert at_40.reference > 0
    assert costs(Method("grid", {"levels": 2}), sizes=(1000,))[0].milliseconds is None


class Leaky(Bowl):
    """What it gives depends on what it gave before."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def start(self, configuration):
        self.count += 1
        return _Step(self.count)


class Forgetful(Bowl):
    def start(self, configuration):
        return _Step(1.0)

    def restore(self, configuration, checkpoint):
        restored = _Step(0.0)
        restored.fidelity = 1
        return restored


class TwoAtOnce(Bowl):
    def start(self, configuration):
        return _Step(1.0, pace=2)


class Changing(Bowl):
    count = itertools.count()

    def describe(self):
        return {"made": next(self.count)}


class _Step(Evaluation):
    def __init__(self, value, pace=1):
        self.value = value
        self.pace = pace

    def advance(self):
        self.fidelity += self.pace
        return self.value

    def checkpoint(self):
        return b"-"


@pytest.mark.parametrize(
    ("broken", "check", "words"),
    [
        (Leaky, "any order", "in the other"),
        (Forgetful, "resumable", "undisturbed"),
        (TwoAtOnce, "fidelity", "advance led to 2; expected 1"),
        (Changing, "described", "a resumed run would be refused"),
    ],
)
def test_a_broken_objective_is_seen(broken, check, words):
    (function,) = [c for c in OBJECTIVE_CHECKS if c.__name__.replace("_", " ") == check]
    tested = ObjectiveType(f"{__name__}:{broken.__name__}")
    (finding,) = conformance.examine([function], tested)
    assert finding.verdict is Verdict.FAILED
    assert words in finding.detail


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("psoo", "did you mean 'pso'"),
        ("math:pi", "expected a class or a function"),
        ("pathlib:Path", "expected a sampler, or an objective"),
    ],
)
def test_what_is_neither_is_told(target, words):
    with pytest.raises(InputError, match=words):
        conformance.candidate(target, {})


def test_methods_and_objectives_are_told_apart():
    for name in ("pso", "bohb", "optuna.samplers:TPESampler", "hpo_bench.methods:grid"):
        options = {"levels": 3} if name.endswith("grid") else {}
        assert isinstance(conformance.candidate(name, options), Method)
    assert isinstance(conformance.candidate("toy:Curve", {}), ObjectiveType)
