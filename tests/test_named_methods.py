"""The methods that people know, by their names."""

import importlib.util

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from hpo_bench import methods, plugins, suite
from hpo_bench.conformance.problems import NUMBERS
from hpo_bench.errors import InputError, MissingExtraError
from hpo_bench.search import Outcome, Setup
from samplers import PSOSampler

SPACE = {
    "x": FloatDistribution(1e-3, 1, log=True),
    "n": IntDistribution(1, 30),
    "c": CategoricalDistribution(["a", "b"]),
    "one": IntDistribution(3, 3),
}
OWN = {"grid", "random", "pso", "bohb"}
HUB = """
import optuna

__all__ = ["MiddleSampler"]

class MiddleSampler(optuna.samplers.RandomSampler):
    def sample_independent(self, study, trial, name, distribution):
        return distribution.choices[0] if hasattr(distribution, "choices") else distribution.low
"""


def search(target, *, seed=0, study=None, space=SPACE, max_fidelity=3, **options):
    study = study or optuna.create_study(direction="maximize")
    return methods.build(
        "methods.m", Setup(study, space, seed, max_fidelity), target=target, options=options
    )


def proposed(made, n=4):
    """Ask so many times and tell values of a peak at x = 0.1, c = "b"; the second one fails."""
    found = []
    for number in range(n):
        job = made.ask()
        found.append(job.configuration)
        value = -abs(job.configuration["x"] - 0.1) + (job.configuration["c"] == "b")
        made.tell(job, Outcome(job.until, None if number == 1 else value))
    return found


@pytest.mark.parametrize("name", sorted({p.name for p in plugins.installed(plugins.METHODS)} - OWN))
def test_every_name_alone_in_a_suite_searches_by_its_seed(name):
    table = {"name": "s", "objective": {"name": "hpo_bench.conformance.problems:Bowl"}}
    made = suite.parse({**table, "budget": {"evaluations": 60}, "methods": {name: {}}})
    assert made.check() == []
    first, second = (proposed(search(name, seed=seed)) for seed in (1, 2))
    assert first != second
    assert all(configuration["one"] == 3 for configuration in first)


def test_smac_goes_on_with_what_the_study_holds():
    pytest.importorskip("smac")
    study = optuna.create_study(direction="maximize")
    begun = proposed(search("smac", study=study, n_startup_trials=6), n=7)
    gone_on = proposed(search("smac", study=study, n_startup_trials=6), n=9)
    assert all(configuration not in begun for configuration in gone_on)
    # The points of its start do not come again: it searches, and knows which choice is better.
    assert sum(configuration["c"] == "b" for configuration in gone_on) >= 6


def test_a_median_pruner_stops_what_is_worse_than_the_median():
    made = search("median-pruner", sampler="random", n_startup_trials=2)
    verdicts = []
    for value in (3.0, 2.0, 1.0):
        job = made.ask()
        job.trial.report(value, 1)
        verdicts.append(job.trial.should_prune())
        made.tell(job, Outcome(1 if verdicts[-1] else 3, value, pruned=verdicts[-1]))
    assert verdicts == [False, False, True]
    assert [t.state for t in job.trial.study.trials][-1] is TrialState.PRUNED
    with pytest.raises(InputError, match=r"sampler: 'bohb'.*a method that is a sampler"):
        search("median-pruner", sampler="bohb")
    with pytest.raises(InputError, match=r"sampler.options.n_trial: .*n_startup_trials"):
        search("median-pruner", sampler_options={"n_trial": 3})


@pytest.mark.parametrize(
    ("name", "package"),
    [("bohb", "ConfigSpace"), ("cma-es", "cmaes"), ("gp", "torch"), ("smac", "smac")],
)
def test_a_missing_package_is_named_with_its_extra(name, package, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else found(name)
    )
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*hpo-bench\[{name}\]"):
        search(name)


def test_a_sampler_of_the_hub_is_loaded_by_its_package(tmp_path, monkeypatch):
    optunahub = pytest.importorskip("optunahub")
    # What is in its cache is not downloaded.
    monkeypatch.setattr(optunahub._conf, "cache_home", lambda: str(tmp_path))
    package = tmp_path / "github.com/optuna/optunahub-registry/v1/package/samplers/middle"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(HUB)
    for name in ("hub:samplers/middle#v1", "hub:samplers/middle#v1:MiddleSampler"):
        assert {c["n"] for c in proposed(search(name))} == {1}
    for name, told in {
        "hub:samplers/middle#v1:Middle": "did you mean 'MiddleSampler'",
        "hub:../../samplers": "expected hub:PACKAGE, hub:PACKAGE#REF or hub:PACKAGE:CLASS",
    }.items():
        with pytest.raises(InputError, match=told):
            search(name)
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(optunahub, "load_module", lambda *_, **__: 1 / 0)
    with pytest.raises(InputError, match="OptunaHub cannot load it: ZeroDivisionError"):
        search("hub:samplers/other")


@pytest.mark.parametrize("key", ["method", "sampler", "pruner"])
def test_a_dotted_path_is_told_of_the_colon(key):
    path = "optuna.pruners.MedianPruner" if key == "pruner" else "optuna.samplers.TPESampler"
    module, _, name = path.rpartition(".")
    table = {"name": "s", "objective": {"name": "hpo_bench.conformance.problems:Bowl"}}
    spec = {"sampler": "tpe", key: path}
    if key == "method":
        spec = {"method": path}
    made = suite.parse({**table, "budget": {"evaluations": 60}, "methods": {"m": spec}})
    with pytest.raises(InputError, match=f"use a colon before the object: {module}:{name}"):
        made.check()


@pytest.mark.parametrize(
    ("name", "options", "startup"),
    [
        ("tpe", {}, 10),
        ("tpe", {"n_startup_trials": 4}, 4),
        ("tpe-multivariate", {}, 10),
        ("gp", {"n_startup_trials": 7}, 7),
        ("cma-es", {}, 1 + 7),  # Hansen's population of three dimensions: 4 + floor(3 ln 3)
        ("cma-es", {"popsize": 12}, 1 + 12),
        ("ga", {}, 50),
        ("median-pruner", {"sampler": "ga", "sampler_options": {"population_size": 20}}, 20),
        ("smac", {}, 10),
        ("pso", {"swarm_size": 8}, PSOSampler(swarm_size=8).n_startup_trials(NUMBERS)),
        ("bohb", {}, 4 + 1),
        ("qmc", {}, 0),
        ("random", {}, 0),
    ],
)
def test_a_budget_that_ends_within_the_random_start_is_told_of(name, options, startup):
    table = {"name": "s", "objective": {"name": "hpo_bench.conformance.problems:Bowl"}}
    assert search(name, space=NUMBERS, **options).n_startup == startup
    for evaluations, is_told in ((startup, startup > 0), (startup + 1, False)):
        budget = {"evaluations": max(evaluations, 1)}
        made = suite.parse({**table, "budget": budget, "methods": {name: {"options": options}}})
        assert any(f"first {startup} configurations" in told for told in made.check()) == is_told
