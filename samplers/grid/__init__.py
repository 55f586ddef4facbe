"""Grid search: every point of a grid exactly once, by any number of workers."""

from __future__ import annotations

from ._sampler import GridExhausted, GridSampler

__all__ = ["GridExhausted", "GridSampler"]
