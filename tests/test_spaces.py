import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpo_bench.errors import InputError
from hpo_bench.spaces import Parameter, distribution, resolve, to_table

PARAMETERS = {
    "width": Parameter(6, IntDistribution(1, 100)),
    "rate": Parameter(0.1, FloatDistribution(0.0, 1.0)),
    "kind": Parameter("a", CategoricalDistribution(["a", "b"])),
}


def test_what_is_not_given_stays_at_its_default():
    space, fixed = resolve(PARAMETERS, {"width": {"low": 4, "high": 64, "log": True}})
    assert space == {"width": IntDistribution(4, 64, log=True)}
    assert fixed == {"rate": 0.1, "kind": "a"}


def test_the_objective_says_which_type_a_range_has():
    space, _ = resolve(PARAMETERS, {"rate": {"low": 0, "high": 1}})
    assert space == {"rate": FloatDistribution(0.0, 1.0)}


def test_fixed_values_distributions_and_choices():
    space, fixed = resolve(
        PARAMETERS, {"width": 5, "rate": FloatDistribution(0, 0.5), "kind": {"choices": ["b"]}}
    )
    assert fixed == {"width": 5}
    assert space["kind"] == CategoricalDistribution(["b"])


@pytest.mark.parametrize(
    ("given_value", "message"),
    [
        ({"widht": 3}, "did you mean 'width'"),
        ({"width": 0}, "space.width: 0 cannot be used; expected a whole number from 1 to 100"),
        ({"width": 2.5}, "expected a whole number"),
        ({"width": True}, "expected a whole number"),
        ({"rate": "high"}, "expected a number from 0.0 to 1.0"),
        ({"kind": "c"}, "expected one of ['a', 'b']"),
        ({"kind": {"choices": ["a", "c"]}}, "expected one of ['a', 'b']"),
        ({"kind": {"low": 1, "high": 2}}, "expected choices = ['a', 'b']"),
        ({"width": {"low": 1, "high": 200}}, "expected a whole number from 1 to 100"),
        ({"width": {"low": 1.5, "high": 2}}, "expected whole numbers"),
        ({"width": {"low": 5, "high": 2}}, "low must not be greater than high"),
        ({"width": {"low": 5}}, "a range needs low and high"),
        ({"width": {"low": 1, "high": 2, "stp": 1}}, "did you mean 'step'"),
        ({"width": {"low": "a", "high": 2}}, "space.width.low: 'a' cannot be used"),
        ({"rate": {"low": 0, "high": 1, "log": True}}, "space.rate"),
        ({"width": [2, 16]}, "a range is written { low = 2, high = 16 }"),
        (
            {"width": {"low": 1, "high": 9, "step": 3}},
            "the step must divide the range: expected e.g. high = 7",
        ),
        ({"rate": {"low": 0, "high": 1, "log": 1}}, "expected true or false"),
        ({"kind": {"choices": []}}, "with one at least"),
        ({"kind": {"choices": ["a"], "low": 1}}, "expected choices = [...] alone"),
    ],
)
def test_errors_name_field_value_and_what_is_right(given_value, message):
    with pytest.raises(InputError) as caught:
        resolve(PARAMETERS, given_value)
    assert message in str(caught.value)


@given(
    low=st.integers(1, 50),
    width=st.integers(0, 50),
    step=st.integers(1, 7),
    log=st.booleans(),
)
def test_whole_ranges_survive_the_way_to_a_table_and_back(low, width, step, log):
    step = 1 if log else step
    dist = IntDistribution(low, low + width // step * step, log=log, step=step)
    assert distribution("x", to_table(dist)) == dist


@given(low=st.floats(0.001, 10), width=st.floats(0, 10), log=st.booleans())
def test_float_ranges_survive_the_way_to_a_table_and_back(low, width, log):
    dist = FloatDistribution(low, low + width, log=log)
    assert distribution("x", to_table(dist)) == dist


@given(st.lists(st.one_of(st.integers(), st.text(), st.booleans()), min_size=1, unique_by=repr))
def test_choices_survive_the_way_to_a_table_and_back(choices):
    dist = CategoricalDistribution(choices)
    assert distribution("x", to_table(dist)) == dist
