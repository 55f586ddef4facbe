"""Ranges of every size: what a sampler gives lies in the distribution as Optuna sees it."""

import decimal
import logging
import math
import sys
import warnings

import optuna
import pytest
from hypothesis import assume, example, given, reject, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from samplers import BOHBSampler, GridSampler, PSOSampler, RandomSampler
from samplers._base.values import level_of, n_levels, value_at

MAX = sys.float_info.max
SAMPLERS = {
    "grid": lambda space: GridSampler(
        space, levels={n: 4 for n, d in space.items() if is_range(d)}
    ),
    "random": lambda space: RandomSampler(seed=1),
    "random-known": lambda space: RandomSampler(seed=1, search_space=space),
    "pso": lambda space: PSOSampler(seed=1, swarm_size=2, n_candidates=4),
    "pso-classic": lambda space: PSOSampler.classic(seed=1, swarm_size=2, epsilon=0),
    "bohb": lambda space: BOHBSampler(seed=1, random_fraction=0),
}
# Values that Optuna refuses, and more levels than an integer of 64 bits has.
HARD = [
    IntDistribution(0, 2**63 - 1),
    IntDistribution(0, 2**64 - 1),
    IntDistribution(-(2**63), 2**64, step=3),
    IntDistribution(1, 2**63 - 1, log=True),
    IntDistribution(2**60, 2**60 + 1000),
    IntDistribution(2**60, 2**60 + 1000, log=True),
    IntDistribution(2**52, 2**52 + 3, log=True),
    IntDistribution(2**53 + 1, 2**53 + 9),
    FloatDistribution(0, 100, step=1e-18),
    FloatDistribution(1.7e9, 1.7e9 + 10, step=0.1),
    FloatDistribution(1000, 1000.01, step=1e-6),
    FloatDistribution(0, 1e7, step=0.1),
    FloatDistribution(-1e9, 1e9, step=0.1),
    FloatDistribution(1000, 1000.001, step=1e-10),
    FloatDistribution(-MAX, MAX),
    FloatDistribution(5e-324, MAX, log=True),
    FloatDistribution(0, 1.5e-323, step=5e-324),
    FloatDistribution(0, 5e-324),
    FloatDistribution(1e300, math.nextafter(1e300, math.inf), log=True),
    FloatDistribution(-1e308, 1e308, step=1e308),
]


def is_range(distribution):
    return isinstance(distribution, IntDistribution | FloatDistribution)


def has(distribution, value):
    return distribution._contains(distribution.to_internal_repr(value))


@st.composite
def integers(draw):
    low = draw(st.one_of(st.integers(-9, 9), st.integers(-(2**65), 2**65)))
    width = draw(st.one_of(st.integers(0, 9), st.integers(0, 2**66)))
    step = draw(st.one_of(st.just(1), st.integers(1, max(width, 1))))
    return IntDistribution(low, low + width // step * step, step=step)


@st.composite
def stepped(draw):
    finite = st.floats(allow_nan=False, allow_infinity=False)
    low = draw(st.one_of(st.integers(-9, 9).map(float), finite))
    step = draw(st.one_of(st.sampled_from([0.1, 0.25, 1e-6]), st.floats(5e-324, MAX)))
    high = low + draw(st.one_of(st.integers(0, 99), st.integers(0, 2**80))) * step
    assume(math.isfinite(high))
    try:
        return FloatDistribution(low, high, step=step)
    except decimal.InvalidOperation:  # Optuna counts the steps with 28 digits
        reject()


def continua(log):
    floats = st.floats(5e-324 if log else None, MAX, allow_nan=False, allow_infinity=False)
    return st.tuples(floats, floats).map(lambda ends: FloatDistribution(*sorted(ends), log=log))


whole_logs = st.tuples(st.integers(1, 2**66), st.integers(1, 2**66)).map(
    lambda ends: IntDistribution(*sorted(ends), log=True)
)
choices = st.integers(1, 5).map(lambda n: CategoricalDistribution(list(range(n))))
distributions = st.one_of(
    integers(),
    stepped(),
    continua(True),
    continua(False),
    whole_logs,
    choices,
    st.sampled_from(HARD),
)


def search(make, space, n):
    """Some trials, told values, with everything that a user would see made an error."""
    seen = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: seen.append(record.getMessage())
    root = logging.getLogger("optuna")
    root.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            study = optuna.create_study(sampler=make(space))
            for _ in range(n):
                trial = study.ask(space)
                for name, distribution in space.items():
                    assert has(distribution, trial.params[name]), (distribution, trial.params)
                study.tell(trial, float(trial.number % 5))
    except RuntimeError as error:
        assert "no point of the grid" in str(error)  # noqa: PT017 - a small grid ends
    finally:
        root.removeHandler(handler)
    assert seen == []


@pytest.mark.filterwarnings("ignore:The distribution is specified by")
@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("distribution", HARD, ids=str)
def test_hard_ranges_are_searched(name, distribution):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search(SAMPLERS[name], {"x": distribution}, 12)


@pytest.mark.filterwarnings("ignore:The distribution is specified by")
@pytest.mark.parametrize("name", SAMPLERS)
@settings(max_examples=40, deadline=None)
@given(st.lists(distributions, min_size=1, max_size=3))
def test_every_range_is_searched(name, every):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for distribution in every:
        if is_range(distribution):  # a range of integers far from zero may have none that is kept
            assume(has(distribution, distribution.low))
    search(SAMPLERS[name], {f"p{i}": d for i, d in enumerate(every)}, 10)


@pytest.mark.filterwarnings("ignore:The distribution is specified by")
@settings(max_examples=200, deadline=None)
@given(st.one_of(integers(), stepped(), choices))
@example(FloatDistribution(1.7e9, 1.7e9 + 10, step=0.1))
@example(FloatDistribution(1000, 1000.01, step=1e-6))
@example(IntDistribution(2**60, 2**60 + 1000))
@example(FloatDistribution(0, 1, step=0.1))
def test_levels_are_the_values_that_optuna_accepts(distribution):
    n = n_levels(distribution)
    places = {0, 1, n // 3, n // 2, n - 2, n - 1} if n > 300 else range(n)
    values = [value_at(distribution, place) for place in sorted(places) if 0 <= place < n]
    assert all(has(distribution, value) for value in values)
    assert values == sorted(set(values))
    assert [level_of(distribution, value) for value in values] == [
        p for p in sorted(places) if 0 <= p < n
    ]


@pytest.mark.parametrize("name", ["random", "pso", "pso-classic", "bohb"])
def test_a_narrow_range_far_from_zero_is_searched_all_over(name):
    """The logarithms of its ends are one double."""
    space = {"x": IntDistribution(2**52, 2**52 + 3, log=True), "y": FloatDistribution(0, 1)}
    study = optuna.create_study(sampler=SAMPLERS[name](space))
    for _ in range(40):
        study.tell(study.ask(space), 0.0)
    assert len({trial.params["x"] for trial in study.trials}) >= 3
