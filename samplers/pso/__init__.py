"""Particle swarm optimisation: asynchronous, and the classic algorithm."""

from __future__ import annotations

from ._sampler import PSOSampler

__all__ = ["PSOSampler"]
