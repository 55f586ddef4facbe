"""What all samplers share; nothing here imports a sampler.

A package of OptunaHub must hold all that it needs, so each exported sampler has a copy of this one.
"""
