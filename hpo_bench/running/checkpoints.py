"""Evaluations on disk, so that they can go on in another process or after a crash."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

from hpo_bench.errors import HpoBenchError
from hpo_bench.storage.opening import sqlite_file
from hpo_bench.storage.outages import PATIENCE, Patience


@dataclass(frozen=True)
class Progress:
    """How far an evaluation has come, beside the state that only the objective can read."""

    values: list[float]
    """The value after each unit of fidelity."""
    train_seconds: float


def default_directory(storage_url: str) -> Path:
    """Where checkpoints go: beside a SQLite file, else in the working directory."""
    file = sqlite_file(storage_url)
    return Path("hpo-bench.checkpoints") if file is None else Path(f"{file}.checkpoints")


_TRIES = 100
"""To make a directory while runs that end remove its parents, of which there are a few at most."""


def make_directory(directory: Path) -> None:
    """Make a directory for checkpoints, if need be.

    Raises:
        HpoBenchError: It cannot be made or written.
    """
    try:
        _make(directory)
        if directory.exists() and not os.access(directory, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise HpoBenchError(
            f"checkpoints cannot be written to {directory}: {error.strerror}; "
            "give another directory with --checkpoint-dir"
        ) from None


def remove_if_empty(directory: Path) -> None:
    """Remove a directory that holds no checkpoint any more."""
    with suppress(OSError):
        directory.rmdir()


def _make(directory: Path) -> None:
    for left in reversed(range(_TRIES)):
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except (FileNotFoundError, FileExistsError):
            # A run that has ended may have removed a parent in the meantime, which was empty.
            if not left or directory.exists():
                raise
        else:
            return


class Checkpoints:
    """The checkpoints of one run: one file per trial, replaced as a whole, never in part.

    They are kept under a directory that no other run shares, whatever its study is called.

    Args:
        directory: Where those of all runs are.
        study_name: Of the run.
        run_id: Of the run.
        patience: Seconds that a full disk is waited for.
    """

    def __init__(
        self, directory: Path, study_name: str, run_id: str, patience: float = PATIENCE
    ) -> None:
        self.directory = directory / study_name / run_id
        self._patience = Patience(str(directory), patience, "there is no room for a checkpoint")
        self._parents = list(self.directory.parents)[: study_name.count("/") + 1]

    def prepare(self) -> None:
        """Make the directory.

        Raises:
            HpoBenchError: It cannot be written.
        """
        make_directory(self.directory)

    def save(self, number: int, progress: Progress, state: bytes) -> None:
        """Write the checkpoint of a trial; after a crash the old or the new one is there.

        Raises:
            HpoBenchError: The disk is full for too long, say.
        """
        header = {
            "values": progress.values,
            "train_seconds": progress.train_seconds,
            "sha256": hashlib.sha256(state).hexdigest(),
        }
        path = self._path(number)
        content = json.dumps(header).encode() + b"\n" + state
        try:
            self._patience.call(partial(_replace, path, content))
        except OSError as error:
            raise HpoBenchError(f"{path} cannot be written: {error.strerror}") from error

    def load(self, number: int) -> tuple[Progress, bytes] | None:
        """Read the checkpoint of a trial; None if it has none.

        Raises:
            HpoBenchError: What is there is not a whole checkpoint.
        """
        try:
            header, _, state = self._path(number).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        try:
            fields = json.loads(header)
            progress = Progress(fields["values"], fields["train_seconds"])
            is_whole = fields["sha256"] == hashlib.sha256(state).hexdigest()
        except (ValueError, KeyError, TypeError):
            is_whole = False
        if not is_whole:
            raise HpoBenchError(f"the checkpoint {self._path(number)} is damaged")
        return progress, state

    def keep_only(self, numbers: set[int]) -> None:
        """Remove the checkpoints of all other trials."""
        for path in self.directory.glob("trial-*.checkpoint"):
            if path not in {self._path(number) for number in numbers}:
                path.unlink()

    def is_empty(self) -> bool:
        """Whether no trial has one."""
        return next(self.directory.glob("trial-*.checkpoint"), None) is None

    def remove(self) -> None:
        """Remove all of them, and what is empty then of the directory's folders: the run is over.

        The directory itself, which whoever gave it may have made, is left.
        """
        shutil.rmtree(self.directory, ignore_errors=True)
        with suppress(OSError):
            for parent in self._parents:
                parent.rmdir()

    def _path(self, number: int) -> Path:
        return self.directory / f"trial-{number:05d}.checkpoint"


def _replace(path: Path, content: bytes) -> None:
    # A name of its own: who has lost the run, and does not know it yet, may write, too.
    unfinished = path.with_suffix(f".{uuid4().hex}")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
