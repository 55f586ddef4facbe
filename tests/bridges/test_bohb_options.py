import subprocess
import sys

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from hpo_bench.bridges.hpbandster import bohb
from hpo_bench.bridges.options import ladder
from hpo_bench.errors import InputError
from hpo_bench.search import Setup

SPACE = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1), "z": IntDistribution(1, 1)}


def build(max_fidelity=9, space=SPACE, **options):
    return bohb(Setup(optuna.create_study(), space, 0, max_fidelity), **options)


@pytest.mark.parametrize(
    ("min_epochs", "max_epochs", "eta", "max_fidelity", "rungs"),
    [
        (None, None, 3, 9, [1, 3, 9]),
        (None, None, 3, 12, [4, 12]),
        (None, None, 2, 12, [3, 6, 12]),
        (None, None, 3, 1, [1]),
        (None, 27, 3, 81, [1, 3, 9, 27]),
        (3, 27, 3, 81, [3, 9, 27]),
        (10, 10, 3, 10, [10]),
        (1, 243, 3, 243, [1, 3, 9, 27, 81, 243]),
    ],
)
def test_ladder(min_epochs, max_epochs, eta, max_fidelity, rungs):
    assert ladder(min_epochs, max_epochs, eta, max_fidelity) == rungs


@pytest.mark.parametrize(
    ("min_epochs", "max_epochs", "eta", "max_fidelity", "nearest"),
    [
        (None, None, 3, 10, "max_epochs = 9 (1, 3, 9)"),
        (None, 26, 3, 81, "max_epochs = 27 (1, 3, 9, 27)"),
        (None, 26, 3, 26, "max_epochs = 9 (1, 3, 9)"),
        (2, 9, 3, 9, "max_epochs = 6 (2, 6)"),
        (1, 243, 2, 243, "max_epochs = 128 (1, 2, 4, 8, 16, 32, 64, 128)"),
    ],
)
def test_budgets_that_are_no_ladder_name_the_nearest(
    min_epochs, max_epochs, eta, max_fidelity, nearest
):
    with pytest.raises(InputError) as error:
        ladder(min_epochs, max_epochs, eta, max_fidelity)
    assert str(error.value).startswith(f"max_epochs: {max_epochs or max_fidelity} cannot be used")
    assert str(error.value).endswith(nearest)


@pytest.mark.parametrize(
    ("field", "value", "right"),
    [
        ("eta", 1, "a whole number, 2 or more"),
        ("eta", 2.5, "a whole number, 2 or more"),
        ("max_epochs", 27, "from 1 to 9"),
        ("max_epochs", 0, "from 1 to 9"),
        ("min_epochs", 0, "from 1 to 9"),
        ("min_epochs", "1", "from 1 to 9"),
        ("min_points_in_model", 2, "3 or more"),
        ("top_n_percent", 100, "from 1 to 99"),
        ("num_samples", 0, "1 or more"),
        ("num_samples", True, "1 or more"),
        ("random_fraction", 1.5, "0 or more, at most 1"),
        ("random_fraction", "half", "0 or more, at most 1"),
        ("bandwidth_factor", 0, "above 0"),
        ("bandwidth_factor", float("nan"), "above 0"),
        ("min_bandwidth", 0.0, "above 0, at most 1"),
        ("strict", "yes", "true or false"),
    ],
)
def test_an_option_out_of_range_is_named_with_what_is_right(field, value, right):
    pytest.importorskip("hpbandster")
    with pytest.raises(InputError) as error:
        build(**{field: value})
    assert str(error.value).startswith(f"{field}: {value!r} cannot be used")
    assert str(error.value).endswith(right)


def test_a_space_in_which_nothing_varies_is_refused():
    pytest.importorskip("hpbandster")
    with pytest.raises(InputError, match=r"space.*varies"):
        build(space={"z": IntDistribution(1, 1)})


def test_checking_a_suite_imports_nothing_heavy():
    pytest.importorskip("hpbandster")
    program = """
import sys, optuna
from optuna.distributions import FloatDistribution
from hpo_bench.bridges.hpbandster import bohb
from hpo_bench.search import Setup
search = bohb(Setup(optuna.create_study(), {"x": FloatDistribution(0, 1)}, 0, 9))
search.close()
heavy = {"hpbandster", "ConfigSpace", "Pyro4", "statsmodels"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
