"""What a method is made of, seen from a suite."""

import subprocess
import sys

import pytest

from hpo_bench import suite
from hpo_bench.methods import throwaway_setup

ASKING = """
import sys
import optuna
from hpo_bench import methods
from hpo_bench.search import Outcome, Setup

optuna.logging.set_verbosity(optuna.logging.WARNING)
space = {name: optuna.distributions.FloatDistribution(0, 1) for name in ("x", "y")}
study = optuna.create_study()
search = methods.build("m", Setup(study, space, 0, 1), target=sys.argv[1], options={})
search.prepare()
before = set(sys.modules)
for number in range(14):
    job = search.ask()
    search.tell(job, Outcome(1, float(number)))
assert len(study.trials) == 14
print(sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize("sampler", ["QMCSampler", "GPSampler", "TPESampler"])
def test_what_a_sampler_imports_is_imported_before_it_is_asked(sampler):
    arguments = [sys.executable, "-W", "ignore", "-c", ASKING, f"optuna.samplers:{sampler}"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("evaluations", "expected"),
    [
        (30, {}),  # ten are a third
        (
            18,
            {  # the default swarm spreads four points
                "classic": {"swarm_size": 6},
                "tpe": {"n_startup_trials": 6},
            },
        ),
        (
            5,
            {
                "pso": {"swarm_size": 2},
                "classic": {"swarm_size": 2},
                "tpe": {"n_startup_trials": 2},
            },
        ),
    ],
)
def test_no_method_spends_more_than_a_third_of_its_budget_on_its_first_points(
    evaluations, expected
):
    """Whatever takes an option for it; what a suite gives itself stays as it is."""
    table = {
        "name": "toy",
        "objective": {"name": "toy:Curve"},
        "space": {"x": {"low": -50, "high": 50}, "y": {"low": -50.0, "high": 50.0}},
        "starts": "fit",
        "budget": {"epochs": 3 * evaluations},
        "methods": {
            "random": {},
            "pso": {},
            "given": {"method": "pso", "options": {"swarm_size": 8}},
            "classic": {"sampler": "samplers:PSOSampler.classic", "options": {"epsilon": 0.1}},
            "tpe": {"sampler": "optuna.samplers:TPESampler"},
        },
    }
    made = suite.parse(table)
    own = suite.parse({**table, "starts": "own"})
    for name, spec in made.methods.items():
        fitted = {**spec.options, **expected.get(name, {})}
        assert made.definition(name)["method_options"] == fitted
        assert own.definition(name)["method_options"] == spec.options
        made.build_search(name, throwaway_setup(made.build_objective(0)))
