"""Objectives that replay recorded trainings from tables."""

from hpo_bench.objectives.table.objective import Table
from hpo_bench.objectives.table.simple import HPOBench, HPOLib, NASBench201

__all__ = ["HPOBench", "HPOLib", "NASBench201", "Table"]
