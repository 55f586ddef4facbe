"""A program at work: started with its output in a file, and ended with all that it has started."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from shutil import which
from typing import IO

GRACE_SECONDS = 10.0
"""Between SIGTERM and SIGKILL: time for a program to save what it has."""

_GUARD = 'read -r _ || kill -s KILL -- "-$1"'
"""Reads from a pipe that we hold the other end of. It ends when we die, however we die: then the
program and what it has started are killed, for nobody reads them any more."""


class StillRunningError(Exception):
    """Another process still writes to the output file."""


def search_path() -> str:
    """Where programs are looked for: PATH, then the folder of the Python that runs hpo-bench.

    A virtual environment that is not activated has its `python` and its tools there.
    """
    path = os.environ.get("PATH", os.defpath)
    return f"{path}{os.pathsep}{Path(sys.executable).parent}"


def find(program: str) -> str | None:
    """Find a program; None if there is none of that name that may be executed."""
    return which(program, path=search_path())


class Program:
    """A program that was started, in a session of its own: a terminal's Ctrl-C does not reach it.

    Args:
        words: The program's path, and its arguments.
        output: File that its output is added to, errors included.
        environment: Laid over the environment of this process.
        directory: Where it is started.

    Raises:
        StillRunningError: One that was started earlier still writes to the file.
        OSError: It cannot be started.
    """

    def __init__(
        self, words: Sequence[str], output: Path, environment: Mapping[str, str], directory: Path
    ) -> None:
        surroundings = {
            **os.environ,
            "PATH": search_path(),
            # Else Python would keep lines back in a buffer, and values came in all at once.
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        with output.open("ab") as file:
            _lock(file)
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=surroundings,
                cwd=directory,
            )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(self._process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def has_ended(self) -> bool:
        """Whether the program itself has ended; what it has started may still run."""
        if self._process.returncode is not None:
            return True
        # Not reaped before its group is killed: until then nobody else can get its number.
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, options) is not None

    def end(self) -> int:
        """End it: SIGTERM, after a grace period SIGKILL, also for all that it has started.

        Returns:
            Its exit status; minus the signal's number where a signal ended it.
        """
        if self._process.returncode is None:
            if not self.has_ended():
                self._send(signal.SIGTERM)
                self._wait(GRACE_SECONDS)
            self._send(signal.SIGKILL)
            self._process.wait()
            self._guard.communicate(b"\n")
        return self._process.returncode

    def _send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.has_ended() and time.monotonic() < deadline:
            time.sleep(0.01)


def _lock(file: IO[bytes]) -> None:
    """Wait until no program that was started earlier has the file open, and lock it for the next.

    The program inherits the open file, and the lock with it: it lasts until the program and all
    that it has started have ended. After a kill -9 of ours nobody else could tell that.

    Raises:
        StillRunningError: One of them does not end.
    """
    deadline = time.monotonic() + GRACE_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                told = f"a process that was started earlier still writes to {file.name}"
                raise StillRunningError(told) from None
            time.sleep(0.05)
        except OSError:  # some file systems know no locks; there the guard alone has to do
            return
