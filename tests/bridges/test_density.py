import numpy as np
import pytest
from statsmodels.nonparametric.kernel_density import KDEMultivariate

from hpo_bench.bridges.density import Density


@pytest.mark.parametrize("kinds", ["c", "u", "cc", "ccuc", "uuuu", "cucucucuc"])
@pytest.mark.parametrize("count", [12, 30, 257])
def test_a_density_is_statsmodels_to_the_last_bit(kinds, count):
    random = np.random.default_rng(count)
    columns = [random.random(count) if k == "c" else random.integers(3, size=count) for k in kinds]
    data = np.column_stack(columns).astype(float)
    made = [
        kind(data=data, var_type=kinds, bw="normal_reference")
        for kind in (KDEMultivariate, Density)
    ]
    for estimate in made:
        estimate.bw = np.clip(estimate.bw, 1e-3, None)  # as HpBandSter does
    theirs, ours = made
    points = [
        *data[:5],
        *(np.where(np.isin(list(kinds), "c"), random.random(len(kinds)), 1) for _ in range(50)),
    ]
    for point in points:
        assert ours.pdf(list(point)) == theirs.pdf(list(point))
    for estimate in made:
        estimate.bw = estimate.bw * 2
    assert ours.pdf(points[0]) == theirs.pdf(points[0])


def test_a_choice_that_all_data_share_has_the_density_that_statsmodels_gives_it():
    data = np.column_stack([np.linspace(0, 1, 12), np.ones(12)])
    with np.errstate(all="ignore"):
        for point in ([0.5, 1.0], [0.5, 0.0]):
            theirs, ours = (
                kind(data=data, var_type="cu", bw="normal_reference").pdf(point)
                for kind in (KDEMultivariate, Density)
            )
            assert np.array_equal(ours, theirs, equal_nan=True)
