"""Random search: independent draws, or a share of a finite space without replacement."""

from __future__ import annotations

from ._sampler import RandomSampler, SampleExhausted

__all__ = ["RandomSampler", "SampleExhausted"]
