"""The loggers of the samplers."""

from __future__ import annotations

import logging

import optuna


def logger_of(name: str) -> logging.Logger:
    """Return the logger of a sampler.

    Its name begins with "optuna", wherever the sampler was loaded from. `optuna.logging` therefore
    controls it.
    """
    logger = optuna.logging.get_logger(f"optuna.hpo_bench_samplers.{name}")
    # If a user disables Optuna's handler, Python itself prints the warnings of a logger that has no
    # handler.
    logger.addHandler(logging.NullHandler())
    return logger
