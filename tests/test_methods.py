"""What a method is made of, seen from a suite."""

import subprocess
import sys

import pytest

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
