from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

from samplers import PSOSampler


class TestPSOSampler(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture(params=["default", "pure", "classic"])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        return {
            "default": PSOSampler,
            "pure": lambda: PSOSampler(n_candidates=1),
            "classic": lambda: PSOSampler.classic(epsilon=0),
        }[request.param]
