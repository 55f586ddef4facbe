import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from written import history

from hpo_bench.analysis import curves


def test_a_curve_is_the_median_and_the_quartiles_of_the_incumbents():
    runs = [history([v, v + 0.1]) for v in (0.1, 0.2, 0.3, 0.4, 0.5)]
    made = curves.curve(runs, "evaluations")
    assert made.x.tolist() == [1, 2]
    np.testing.assert_allclose(made.median, [0.3, 0.4])
    np.testing.assert_allclose(made.lower, [0.2, 0.3])
    np.testing.assert_allclose(made.upper, [0.4, 0.5])
    assert made.runs == 5


def test_a_curve_begins_where_every_run_has_an_incumbent_and_ends_with_the_last():
    made = curves.curve([history([None, 0.2, 0.4]), history([0.3])], "evaluations")
    assert made.x.tolist() == [2, 3]
    np.testing.assert_allclose(made.median, [0.25, 0.35])


def test_runs_without_an_incumbent_are_left_out():
    assert curves.curve([history([None]), history([0.3])], "epochs").runs == 1
    assert curves.curve([history([None])], "epochs") is None
    assert curves.curve([history([])], "wall_seconds") is None


def test_long_curves_are_thinned_and_keep_their_ends():
    made = curves.curve([history(np.linspace(0, 1, 2000).tolist())], "evaluations")
    assert len(made.x) == curves.MAX_POINTS
    assert (made.x[0], made.x[-1]) == (1, 2000)


def test_the_area_is_that_under_the_steps():
    run = history([0.2, 0.6, 0.4, 1.0])
    # 0.2 from 1 to 2, 0.6 from 2 to 4
    assert curves.mean_incumbent(run, "evaluations", 1, 4) == pytest.approx((0.2 + 1.2) / 3)
    assert curves.mean_incumbent(run, "evaluations", 1.5, 2.5) == pytest.approx(0.4)


@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=8),
    st.floats(1, 1.9),
    st.floats(2, 3),
)
def test_the_area_is_the_mean_over_moments(values, start, stop):
    run = history(values)
    moments = np.linspace(start, stop, 20_001)
    expected = curves.incumbents_at(run, "evaluations", moments).mean()
    found = curves.mean_incumbent(run, "evaluations", start, stop)
    assert found == pytest.approx(expected, abs=1e-3)


def test_areas_are_taken_where_all_runs_are_at_work():
    runs = [history([None, 0.2, 0.4]), history([0.3] * 5), history([None])]
    assert curves.common_range(runs, "evaluations") == (2, 3)
    assert curves.common_range([history([0.1]), history([None, 0.1])], "evaluations") is None
    assert curves.common_range([], "evaluations") is None
