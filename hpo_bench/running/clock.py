"""Where the time of a run goes.

Time in which the storage did not answer is nobody's: it is counted nowhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from hpo_bench.storage.opening import MeteredStorage


class Clock:
    """Splits wall time: the storage's share is taken out of what anything else is charged."""

    def __init__(self, storage: MeteredStorage) -> None:
        self._storage = storage
        self._sampler = 0.0
        self._wall_mark = self._now()
        self._storage_mark = storage.seconds

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Charge what happens inside to the method, less the time it spends in the storage."""
        started, storage_started = self._now(), self._storage.seconds
        try:
            yield
        finally:
            in_storage = self._storage.seconds - storage_started
            self._sampler += self._now() - started - in_storage

    def read(self) -> dict[str, float]:
        """Seconds since the last reading, as the attributes that trials carry."""
        wall, in_storage = self._now(), self._storage.seconds
        seconds = {
            "sampler_seconds": self._sampler,
            "storage_seconds": in_storage - self._storage_mark,
            "wall_seconds": wall - self._wall_mark,
        }
        self._sampler, self._wall_mark, self._storage_mark = 0.0, wall, in_storage
        return seconds

    def _now(self) -> float:
        return time.perf_counter() - self._storage.patience.waited
