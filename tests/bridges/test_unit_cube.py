import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpo_bench.bridges.unit_cube import (
    config_space,
    decode,
    dimensions,
    encode,
    from_unit,
    to_unit,
)

CHOICES = [None, True, 0, 2, -1.5, "relu", "", "0"]
unit = st.floats(0, 1)


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


@st.composite
def ranges(draw, low, high):
    ends = sorted([draw(floats(low, high)), draw(floats(low, high))])
    return ends[0], ends[1]


linear = ranges(-1e6, 1e6).map(lambda ends: FloatDistribution(*ends))
logarithmic = ranges(1e-16, 1e6).map(lambda ends: FloatDistribution(*ends, log=True))
stepped = st.builds(
    lambda low, step, n: FloatDistribution(low / 100, (low + step * n) / 100, step=step / 100),
    st.integers(-1000, 1000),
    st.integers(1, 200),
    st.integers(0, 50),
)
whole = st.builds(
    lambda low, step, n: IntDistribution(low, low + step * n, step=step),
    st.integers(-(10**6), 10**6),
    st.integers(1, 50),
    st.integers(0, 10**4),
)
whole_logarithmic = st.builds(
    lambda low, width: IntDistribution(low, low + width, log=True),
    st.integers(1, 10**4),
    st.integers(0, 10**5),
)
categorical = st.lists(st.sampled_from(CHOICES), min_size=1, unique_by=repr).map(
    CategoricalDistribution
)
distributions = st.one_of(linear, logarithmic, stepped, whole, whole_logarithmic, categorical)


def coordinate_of(dist, share: float) -> float:
    if isinstance(dist, CategoricalDistribution):
        return min(int(share * len(dist.choices)), len(dist.choices) - 1)
    return share


@given(distributions, unit)
def test_every_coordinate_is_a_legal_value_of_the_plain_type(dist, share):
    value = from_unit(dist, coordinate_of(dist, share))
    assert dist._contains(dist.to_internal_repr(value))
    if isinstance(dist, CategoricalDistribution):
        assert any(value is choice for choice in dist.choices)
    else:
        assert type(value) is (int if isinstance(dist, IntDistribution) else float)


@given(distributions, unit)
def test_a_value_comes_back_from_its_coordinate(dist, share):
    value = from_unit(dist, coordinate_of(dist, share))
    if dist.single():
        return
    back = from_unit(dist, to_unit(dist, value))
    if isinstance(dist, FloatDistribution) and dist.step is None:
        width = dist.high - dist.low
        assert math.isclose(back, value, rel_tol=1e-9, abs_tol=1e-9 * width)
    else:
        assert back == value


@given(st.one_of(stepped, whole, whole_logarithmic, categorical), unit)
def test_a_centred_point_stays_where_it_is(dist, share):
    centre = to_unit(dist, from_unit(dist, coordinate_of(dist, share)))
    assert dist.single() or to_unit(dist, from_unit(dist, centre)) == centre


@pytest.mark.parametrize(
    "dist",
    [IntDistribution(1, 9, step=2), FloatDistribution(0.0, 0.4, step=0.1)],
)
def test_stepped_values_own_equal_bins_and_print_as_written(dist):
    values = [from_unit(dist, (index + 0.5) / 1000) for index in range(1000)]
    shares = {value: values.count(value) for value in values}
    assert set(shares.values()) == {200}
    assert sorted(shares) in ([1, 3, 5, 7, 9], [0.0, 0.1, 0.2, 0.3, 0.4])


def test_both_ends_can_be_reached():
    for dist in (
        FloatDistribution(0.1, 0.3),
        FloatDistribution(1e-16, 1e-10, log=True),
        IntDistribution(4, 64, log=True),
    ):
        assert from_unit(dist, 0.0) == pytest.approx(dist.low, rel=1e-9, abs=0)
        assert from_unit(dist, 1.0) == pytest.approx(dist.high, rel=1e-9, abs=0)


SPACE = {
    "z": FloatDistribution(1e-16, 1e-10, log=True),
    "only": CategoricalDistribution(["x"]),
    "a": CategoricalDistribution([None, "x", 3]),
    "fixed": FloatDistribution(2.5, 2.5),
    "n": IntDistribution(0, 10, step=5),
}


def test_single_values_are_no_dimensions_but_part_of_the_configuration():
    assert dimensions(SPACE) == ["a", "n", "z"]
    configuration = decode(SPACE, {"a": 2, "n": 0.5, "z": 0.0})
    assert configuration == {"z": 1e-16, "only": "x", "a": 3, "fixed": 2.5, "n": 5}
    assert encode(SPACE, configuration) == {"a": 2, "n": 0.5, "z": 0.0}


def test_what_config_space_draws_are_legal_points():
    pytest.importorskip("ConfigSpace")
    cube = config_space(SPACE)
    cube.seed(0)
    for drawn in cube.sample_configuration(50):
        point = encode(SPACE, decode(SPACE, dict(drawn)))
        assert all(type(coordinate) in (int, float) for coordinate in point.values())
