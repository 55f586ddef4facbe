"""The door: parses, validates, prints. No logic."""

from hpo_bench.cli import execute, extend, look
from hpo_bench.cli.root import app, main

__all__ = ["app", "execute", "extend", "look", "main"]
