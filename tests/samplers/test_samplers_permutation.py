"""Shuffled orders: bijections of any size."""

from hypothesis import given
from hypothesis import strategies as st

from samplers._base.permutation import Permutation


@given(st.integers(1, 300), st.integers())
def test_a_permutation_gives_every_element_once_and_is_undone_by_its_inverse(size, key):
    shuffle = Permutation(size, key)
    order = [shuffle(i) for i in range(size)]
    assert sorted(order) == list(range(size))
    assert [shuffle.inverse(e) for e in order] == list(range(size))


@given(st.integers(1, 10**60), st.integers(), st.data())
def test_a_permutation_of_any_size_is_undone_by_its_inverse(size, key, data):
    place = data.draw(st.integers(0, size - 1))
    shuffle = Permutation(size, key)
    assert 0 <= shuffle(place) < size
    assert shuffle.inverse(shuffle(place)) == place


def test_the_beginning_of_a_shuffled_order_is_a_fair_sample():
    # Of 1,000 keys, each of 40 elements comes first 25 times on average.
    first = [Permutation(40, key)(0) for key in range(1000)]
    counts = [first.count(element) for element in range(40)]
    chi_square = sum((count - 25) ** 2 / 25 for count in counts)
    assert chi_square < 80  # 39 degrees of freedom: 1 in 10,000, and the keys are fixed
