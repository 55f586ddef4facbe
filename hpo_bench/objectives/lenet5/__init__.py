"""LeNet5 on 32x32 colour images as an objective; needs `pip install 'hpo-bench[lenet5]'`."""

from hpo_bench.objectives.lenet5.objective import PARAMETERS, SPACES, LeNet5

__all__ = ["PARAMETERS", "SPACES", "LeNet5"]
