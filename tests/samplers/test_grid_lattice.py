"""The arithmetic of grids: bijections, for spaces of any shape and size."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samplers.grid._lattice import Lattice

values = st.lists(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats(allow_nan=False)),
    min_size=1,
    max_size=4,
    unique_by=lambda v: (isinstance(v, bool), v),
)
ranges = st.builds(range, st.integers(-5, 5), st.integers(6, 9), st.integers(1, 3))
axes = st.dictionaries(st.text(max_size=3), st.one_of(values, ranges), min_size=1, max_size=4)


@given(axes)
def test_points_are_the_product_of_the_axes_in_lexicographic_order(axes):
    lattice = Lattice(axes)
    points = [lattice.point(i) for i in range(lattice.size)]
    assert [tuple(p.values()) for p in points] == list(product(*axes.values()))
    assert [lattice.index(p) for p in points] == list(range(lattice.size))


def test_values_of_other_types_are_told_apart():
    lattice = Lattice({"x": [1, True, "1", None]})
    assert [lattice.index({"x": v}) for v in (1, 1.0, True, "1", None, 2, b"1")] == [
        0, 0, 1, 2, 3, None, None,
    ]  # fmt: skip
    assert lattice.index({}) is None
    assert Lattice({"x": range(0, 10, 2)}).index({"x": 4.0}) == 2
    assert Lattice({"x": range(0, 10, 2)}).index({"x": 5}) is None


@pytest.mark.parametrize(
    ("axes", "says"),
    [
        ({}, "at least one parameter"),
        ({"x": []}, "search_space['x']: [] cannot be used; give at least one value"),
        ({"x": [1, 2, 1.0]}, "1.0 stands twice"),
        ({"x": [(1, 2)]}, "(1, 2) cannot be used; give values of type"),
        ({"x": [float("nan")]}, "nan cannot be used"),
    ],
)
def test_axes_that_cannot_be_used_are_named(axes, says):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Lattice(axes)
    assert says in str(caught.value)
