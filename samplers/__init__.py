"""Samplers for any Optuna study."""
