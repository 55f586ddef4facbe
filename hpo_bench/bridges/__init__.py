"""Optimizers with a loop of their own, driven as searches on Optuna's storage."""
