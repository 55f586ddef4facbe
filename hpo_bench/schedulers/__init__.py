"""Successive halving, Hyperband and ASHA over any sampler, with trainings that are continued."""
