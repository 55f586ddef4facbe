"""Runs whose evaluations take no time: kept in memory, and written in one transaction at the end.

What a crash costs then is a run of a second, which is made again; the storage holds all of a run
or nothing of it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import optuna

from hpo_bench.running.checkpoints import Checkpoints, Progress
from hpo_bench.storage.opening import MeteredStorage, backend_of
from hpo_bench.storage.rdb import write_study


def write(study: optuna.Study, storage: MeteredStorage) -> None:
    """Write a study in memory, with all that belongs to it, to a storage opened by `open_storage`.

    There may be a study of its name, without attributes and trials, which a crash left.
    """
    stored = optuna.create_study(
        storage=storage,
        study_name=study.study_name,
        direction=study.direction,
        load_if_exists=True,
    )
    backend = backend_of(storage)
    assert backend is not None
    storage.patience.call(partial(write_study, study, backend, stored._study_id))


class InMemoryCheckpoints(Checkpoints):
    """The checkpoints of a run that no other process goes on with."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Progress, bytes]] = {}

    def prepare(self) -> None:
        """There is nothing to do."""

    def save(self, number: int, progress: Progress, state: bytes) -> None:
        """Keep the checkpoint of a trial."""
        self._kept[number] = (progress, state)

    def load(self, number: int) -> tuple[Progress, bytes] | None:
        """Give the checkpoint of a trial; None if it has none."""
        return self._kept.get(number)

    def folder(self, number: int) -> Path | None:  # noqa: ARG002
        """There is none: evaluations that take no time keep no files."""
        return None

    def remove_folder(self, number: int) -> None:
        """There is nothing to do."""

    def keep_only(self, numbers: set[int]) -> None:
        """Drop the checkpoints of all other trials."""
        self._kept = {number: kept for number, kept in self._kept.items() if number in numbers}

    def is_empty(self) -> bool:
        """Whether no trial has one."""
        return not self._kept

    def remove(self) -> None:
        """Drop all of them."""
        self._kept.clear()
