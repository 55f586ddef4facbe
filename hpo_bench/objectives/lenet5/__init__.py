"""The objective `lenet5`: LeNet5 on 32x32 colour images; install it by 'hpo-bench[lenet5]'."""

from hpo_bench.objectives.lenet5.objective import PARAMETERS, SPACES, LeNet5

__all__ = ["PARAMETERS", "SPACES", "LeNet5"]
