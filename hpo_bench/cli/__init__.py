"""The door: parses, validates, prints. No logic."""

# In the order in which the help lists their commands.
from hpo_bench.cli import execute, look

# isort: split
from hpo_bench.cli import extend
from hpo_bench.cli.root import app, main

__all__ = ["app", "execute", "extend", "look", "main"]
