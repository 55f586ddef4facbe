"""Optuna's own suite, with the grid that each of its cases needs."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, SingleOnlySamplerTestCase

from samplers import GridSampler

UNIT = FloatDistribution(0, 1)
LETTERS = CategoricalDistribution(["a", "b"])


def space_of(case: str, params: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """Give the space that a case of the suite suggests from."""
    if "distribution" in params:
        return {"x": params["distribution"]}
    if "choices" in params:
        return {"x": CategoricalDistribution(params["choices"])}
    suggestions = [v for name, v in params.items() if name.startswith("suggest_method_")]
    if suggestions:
        trial = optuna.create_study(sampler=optuna.samplers.RandomSampler()).ask()
        for suggest in suggestions:
            suggest(trial)
        return trial.distributions
    return {
        "test_conditional_sample_independent": {
            "category": CategoricalDistribution(["x", "y"]),
            "x": LETTERS,
            "y": LETTERS,
        },
        "test_nan_objective_value": {"x": FloatDistribution(0.1, 0.2)},
        "test_partial_fixed_sampling": {
            "x": FloatDistribution(-1, 1),
            "y": optuna.distributions.IntDistribution(-1, 1),
            "z": FloatDistribution(-1, 1),
        },
        "test_sample_single_distribution": {},
        "test_conditional_parameter_objective": {
            "x": CategoricalDistribution([True, False]),
            "y": UNIT,
            "z": UNIT,
        },
        # The values that both ranges of the case allow.
        "test_dynamic_range_objective": {
            "x": FloatDistribution(0, 5),
            "y": optuna.distributions.IntDistribution(0, 5),
        },
        "test_raise_error_for_samplers_during_multi_objectives": {"x": UNIT},
    }[case]


class TestGridSampler(BasicSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
        space = space_of(request.node.originalname, params)
        # The suite asks a range of three values a hundred times: another axis makes room.
        return partial(GridSampler, {**space, "room": range(200)}, levels=20)

    # One case cannot be stated. A grid is a fixed set of values, and none is legal in two ranges
    # that do not overlap; what the sampler does then is tested in test_grid_sampler.py.
    @pytest.mark.parametrize(("second_low", "second_high"), [(0, 5), (0, 20)])
    def test_dynamic_range_objective(
        self, sampler: Callable[[], BaseSampler], second_low: int, second_high: int
    ) -> None:
        super().test_dynamic_range_objective(sampler, second_low, second_high)
