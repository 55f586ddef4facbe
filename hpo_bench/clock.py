"""Where the time of a run goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from hpo_bench.storage import MeteredStorage


class Clock:
    """Splits wall time: the storage's share is taken out of what anything else is charged."""

    def __init__(self, storage: MeteredStorage) -> None:
        self._storage = storage
        self._sampler = 0.0
        self._wall_mark = time.perf_counter()
        self._storage_mark = storage.seconds

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Charge what happens inside to the method, less the time it spends in the storage."""
        started, storage_started = time.perf_counter(), self._storage.seconds
        try:
            yield
        finally:
            in_storage = self._storage.seconds - storage_started
            self._sampler += time.perf_counter() - started - in_storage

    def read(self) -> dict[str, float]:
        """Seconds since the last reading, as the attributes that trials carry."""
        wall, in_storage = time.perf_counter(), self._storage.seconds
        seconds = {
            "sampler_seconds": self._sampler,
            "storage_seconds": in_storage - self._storage_mark,
            "wall_seconds": wall - self._wall_mark,
        }
        self._sampler, self._wall_mark, self._storage_mark = 0.0, wall, in_storage
        return seconds
