"""The loggers of the samplers."""

from __future__ import annotations

import logging

import optuna


def logger_of(name: str) -> logging.Logger:
    """Give the logger of a sampler.

    Its name begins with "optuna", wherever the sampler was loaded from, so that `optuna.logging`
    controls it.
    """
    logger = optuna.logging.get_logger(f"optuna.hpo_bench_samplers.{name}")
    # Without a handler, Python prints warnings where Optuna's own handler is disabled.
    logger.addHandler(logging.NullHandler())
    return logger
