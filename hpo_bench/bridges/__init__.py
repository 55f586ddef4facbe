"""Optimizers that have a loop of their own, run as searches on Optuna's storage."""
