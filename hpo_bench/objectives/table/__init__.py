"""Objectives that replay recorded trainings."""

from hpo_bench.objectives.table.objective import Table

__all__ = ["Table"]
