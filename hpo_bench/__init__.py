"""hpo-bench: every way to search for hyperparameters, on the same objective, measured."""

from importlib.metadata import version

__version__ = version("hpo-bench")
