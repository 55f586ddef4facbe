"""BOHB's model as a sampler: made for studies whose pruner stops trials early."""

from __future__ import annotations

from ._sampler import BOHBSampler

__all__ = ["BOHBSampler"]
