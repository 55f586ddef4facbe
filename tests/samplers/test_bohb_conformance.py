from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

from samplers import BOHBSampler


class TestBOHBSampler(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture(params=["default", "early"])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        # Few trials are enough for the suite; the second one's model comes as soon as it can.
        return {
            "default": BOHBSampler,
            "early": lambda: BOHBSampler(random_fraction=0, min_points_in_model=1),
        }[request.param]
