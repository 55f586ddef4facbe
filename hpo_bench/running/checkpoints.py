"""Evaluations on disk, so that they can go on in another process or after a crash."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hpo_bench.errors import HpoBenchError
from hpo_bench.files import replace_file
from hpo_bench.storage.opening import sqlite_file
from hpo_bench.storage.outages import PATIENCE, Patience
from hpo_bench.storage.records import RUN_ID


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

    Beside it a trial may have a folder, for what an evaluation keeps by itself.

    They are kept under a directory that no other run shares, whatever its study is called. The
    run's identity comes out of a storage, and what lies in the directory may have been made by
    anybody: only files of these names are read and removed, and no symbolic link is followed.

    Args:
        directory: Where those of all runs are.
        study_name: Of the run.
        run_id: Of the run, as its storage gives it.
        patience: Seconds that a full disk is waited for.

    Raises:
        HpoBenchError: The run's identity is not one that was written by us.
    """

    def __init__(
        self, directory: Path, study_name: str, run_id: object, patience: float = PATIENCE
    ) -> None:
        self.directory = directory / study_name / checked_run_id(study_name, run_id)
        below = len(self.directory.parents) - len(directory.parents)
        # The run's own directory and those that it shares, below the top one, innermost first.
        self._folders = [self.directory, *self.directory.parents][:below]
        self._patience = Patience(str(directory), patience, "there is no room for a checkpoint")

    def prepare(self) -> None:
        """Make the directory.

        Raises:
            HpoBenchError: It cannot be written, or a symbolic link stands in the way.
        """
        link = self._link()
        if link is not None:
            raise HpoBenchError(
                f"checkpoints are not written through the symbolic link {link}: remove it, or give "
                "another directory with --checkpoint-dir"
            )
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
            self._patience.call(partial(self._replace, path, content))
        except OSError as error:
            raise HpoBenchError(f"{path} cannot be written: {error.strerror}") from error

    def load(self, number: int) -> tuple[Progress, bytes] | None:
        """Read the checkpoint of a trial; None if it has none.

        Raises:
            HpoBenchError: What is there is not a whole checkpoint.
        """
        path = self._path(number)
        if path not in self._there():
            return None
        try:
            header, _, state = path.read_bytes().partition(b"\n")
        except OSError as error:
            raise HpoBenchError(f"{path} cannot be read: {error.strerror}") from error
        progress = _progress(header, state)
        if progress is None:
            raise HpoBenchError(f"the checkpoint {path} is damaged")
        return progress, state

    def folder(self, number: int) -> Path | None:
        """Give the folder of a trial, for files that its evaluation keeps; it need not be there.

        Raises:
            HpoBenchError: A symbolic link stands in its place.
        """
        path = self.directory / f"trial-{number:05d}{_FOLDER}"
        if path.is_symlink():
            raise HpoBenchError(
                f"files are not written through the symbolic link {path}: remove it"
            )
        return path

    def remove_folder(self, number: int) -> None:
        """Remove the folder of a trial, with all that is in it."""
        path = self.folder(number)
        if path in self._there():
            shutil.rmtree(path, ignore_errors=True)

    def keep_only(self, numbers: set[int]) -> None:
        """Remove the checkpoints and folders of all other trials."""
        # By stem: a process may be writing a new checkpoint of a trial that is kept.
        kept = {self._path(number).stem for number in numbers}
        for path in self._there():
            if path.stem in kept:
                continue
            if path.suffix == _FOLDER:
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def is_empty(self) -> bool:
        """Whether there are none."""
        return not self._there()

    def remove(self) -> None:
        """Remove all of them, and the folders that are empty then: the run is over.

        The top directory, which whoever gave it may have made, is left.
        """
        with suppress(OSError):  # the run is recorded: what cannot be removed does not undo it
            self.keep_only(set())
        if self._link() is not None:
            return
        for folder in self._folders:
            try:
                folder.rmdir()
            except FileNotFoundError:  # whoever removed it may have died before the next one
                continue
            except OSError:  # it holds something of somebody else
                return

    def _link(self) -> Path | None:
        """The first symbolic link on the way to the run's directory, from the inside."""
        return next((folder for folder in self._folders if folder.is_symlink()), None)

    def _there(self) -> list[Path]:
        """The checkpoints and folders that there are; also checkpoints that a crash left half."""
        if self._link() is not None:
            return []
        try:
            with os.scandir(self.directory) as entries:
                return [self.directory / entry.name for entry in entries if _is_ours(entry)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _path(self, number: int) -> Path:
        return self.directory / f"trial-{number:05d}.checkpoint"

    def _replace(self, path: Path, content: bytes) -> None:
        if self._link() is not None or not self.directory.is_dir():  # somebody has tidied up
            self.prepare()
        replace_file(path, content)


def _progress(header: bytes, state: bytes) -> Progress | None:
    """Read the first line of a checkpoint; None if it is damaged, or belongs to another state."""
    try:
        fields = json.loads(header)
        if fields["sha256"] != hashlib.sha256(state).hexdigest():
            return None
        values = [float(value) for value in fields["values"]]
        return Progress(values, float(fields["train_seconds"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


_FOLDER = ".files"
_NAME = re.compile(r"trial-\d{5,}\.(checkpoint|files|[0-9a-f]{32})", re.ASCII)


def _is_ours(entry: os.DirEntry[str]) -> bool:
    if not _NAME.fullmatch(entry.name):
        return False
    if entry.name.endswith(_FOLDER):
        return entry.is_dir(follow_symlinks=False)
    return entry.is_file(follow_symlinks=False)


_RUN_ID = re.compile(r"[0-9a-f]{32}")


def checked_run_id(study_name: str, run_id: object) -> str:
    """Give a run's identity, which names a directory, if it has the form in which it is written.

    Raises:
        HpoBenchError: It has not.
    """
    if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id):
        return run_id
    raise HpoBenchError(
        f"study {study_name!r}: its attribute {RUN_ID!r} is {run_id!r}; expected 32 hexadecimal "
        "digits. It was changed or is missing, and names the directory of the run's checkpoints: "
        "the run is left as it is"
    )
