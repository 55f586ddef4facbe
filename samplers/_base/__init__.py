"""Code that all samplers share; it imports no sampler.

A package of OptunaHub must contain all its code, so each exported sampler gets a copy of this one.
"""
