"""One configuration, evaluated by a program: what it is given, what it reports, how it ends."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from hpo_bench.errors import ProgramError
from hpo_bench.objectives.base import Evaluation
from hpo_bench.objectives.command.output import Format, Output, Reported
from hpo_bench.objectives.command.program import Program, StillRunningError
from hpo_bench.spaces import Configuration

logger = logging.getLogger(__name__)

_SHOWN = 200
"""Characters of the program's last line in the reason of a failure."""


class Files:
    """The files of one evaluation.

    Args:
        directory: Where they are; of this evaluation alone.
    """

    def __init__(self, directory: Path) -> None:
        # Absolute: a program may be started in another directory, or go to one.
        directory = directory.absolute()
        self.directory = directory
        self.config = directory / "config.json"
        self.output = directory / "output.txt"
        self.checkpoint = directory / "checkpoint"

    def prepare(self, configuration: Configuration) -> None:
        """Make what a program needs before it starts; what it has kept stays."""
        self.checkpoint.mkdir(parents=True, exist_ok=True)
        self.config.write_text(json.dumps(configuration), encoding="utf-8")

    def hold_state(self) -> bool:
        """Whether a program has kept something to go on from."""
        return self.checkpoint.is_dir() and any(self.checkpoint.iterdir())


class _GapError(Exception):
    """A step is missing."""


class _Series:
    """The steps that were reported, each once: a program that goes on may report some again."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.is_numbered = True
        self.count = 0
        """Lines since the program was started: the steps of lines that name none."""
        self._reported: dict[int, Reported] = {}

    def __contains__(self, step: int) -> bool:
        return step in self._reported

    def add(self, found: Reported) -> None:
        self.count += 1
        self.is_numbered = self.is_numbered and found.step is not None
        step = self.count if found.step is None else found.step
        if step > self.last + 1:
            raise _GapError(f"it reported step {step} after step {self.last}")
        if step == self.last + 1:
            self._reported[step] = found
            self.last = step

    def take(self, step: int) -> Reported:
        return self._reported.pop(step)


class Starter(Protocol):
    """What starts programs, and says how their output is read: a `Command`."""

    format: Format
    max_fidelity: int

    def run(self, configuration: Configuration, until: int, files: Files) -> Program:
        """Start a program that goes to a step."""


class Training(Evaluation):
    """One configuration; a program works on it at most from `begin` to `close`.

    Args:
        command: What is started.
        configuration: Every parameter of the program.
        fidelity: What earlier programs have reached.
        measured: What the last one measured there.
    """

    def __init__(
        self,
        command: Starter,
        configuration: Configuration,
        fidelity: int = 0,
        measured: Mapping[str, float] | None = None,
    ) -> None:
        self.fidelity = fidelity
        self._command = command
        self._configuration = configuration
        self._measured = dict(measured or {})
        self._until = command.max_fidelity
        self._files: Files | None = None
        self._temporary: TemporaryDirectory[str] | None = None
        self._program: Program | None = None
        self._series = _Series(fidelity)

    def begin(self, until: int, directory: Path | None) -> None:
        """Start the program, unless an earlier one has printed all that is asked for.

        Raises:
            ProgramError: It cannot be started, or an earlier one kept nothing to go on from.
        """
        self._until = until
        if directory is None:
            self._temporary = TemporaryDirectory(prefix="hpo-bench-")
            directory = Path(self._temporary.name)
        self._files = Files(directory)
        if self.fidelity and not self._files.hold_state():
            raise ProgramError("the program kept nothing in its checkpoint directory to go on from")
        self._start(self._files)

    def advance(self) -> float:
        """Wait until the program has printed the next step; after the last one, until it ends."""
        if self._files is None:
            self.begin(self._until, None)
        step, wait = self.fidelity + 1, 0.001
        while not self._is_through(step):
            # Short for programs that print at once, and next to nothing for those that train.
            time.sleep(wait)
            wait = min(2 * wait, 0.05)
        found = self._series.take(step)
        self.fidelity, self._measured = step, found.measurements
        return found.value

    def measurements(self) -> dict[str, float]:
        """Give what the last line held beside its step and value."""
        return self._measured

    def checkpoint(self) -> bytes | None:
        """Give how far it has come; what the program needs, it keeps in the directory itself."""
        if self._temporary is not None or not self._series.is_numbered:
            return None
        return json.dumps({"fidelity": self.fidelity, "measured": self._measured}).encode()

    def close(self) -> None:
        """Stop the program, if it still runs."""
        if self._program is not None:
            self._program.end()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _start(self, files: Files) -> None:
        self._output = Output(files.output)
        self._is_continued = files.hold_state()
        try:
            if self._is_continued:
                self._read(is_ended=True)  # what was printed while nobody read it any more
            if self._until in self._series:
                return
            files.prepare(self._configuration)
            self._series.count = 0
            self._program = self._command.run(self._configuration, self._until, files)
        except _GapError as error:
            self._start_again(str(error))
        except StillRunningError as error:
            raise ProgramError(str(error)) from None
        except (OSError, ValueError) as error:
            raise ProgramError(f"the command cannot be started: {error}") from None

    def _start_again(self, reason: str) -> None:
        """Start from the first step: what the program has kept is ahead of what it has printed.

        It was killed between the two.
        """
        assert self._files is not None
        logger.warning("%s: what it kept is dropped, and it starts from the first step", reason)
        if self._program is not None:
            self._program.end()
        shutil.rmtree(self._files.directory)
        self._start(self._files)

    def _is_through(self, step: int) -> bool:
        """Whether a step is reported and, if it is the last one, the program has ended."""
        if step in self._series and (step < self._until or self._program is None):
            return True
        assert self._program is not None
        is_ended = self._program.has_ended()  # before reading: then all that it printed is there
        try:
            self._read(is_ended=is_ended)
        except _GapError as error:
            if not self._is_continued:
                raise self._failed(f"{error}; expected each step in its order") from None
            self._start_again(str(error))
            return False
        if step in self._series and step < self._until:
            return True
        if self._series.last > self._until:  # it goes on beyond what was asked for
            self._program.end()
            return True
        if is_ended:
            self._see_how_it_ended(self._program.end(), step)
        return is_ended

    def _read(self, *, is_ended: bool) -> None:
        for line in self._output.lines(is_ended=is_ended):
            try:
                found = self._command.format.read(line)
            except ValueError as error:
                raise self._failed(str(error)) from None
            if found is not None:
                self._series.add(found)
            if self._series.last > self._until:  # it may print for ever, and faster than we read
                return

    def _see_how_it_ended(self, status: int, step: int) -> None:
        if status != 0:
            raise self._failed(f"the command ended with {_told(status)}")
        if self._command.max_fidelity == 1 and step not in self._series:
            found = self._command.format.read_json(self._output.last_line)
            if found is not None:
                self._series.add(found)
        if step not in self._series:
            example = self._command.format.example
            raise self._failed(
                f"the command ended after step {self._series.last} of {self._until}; expected it "
                f"to print a line for each: {example}"
            )

    def _failed(self, reason: str) -> ProgramError:
        """Stop the program; give the error with the last lines that it printed."""
        if self._program is not None:
            self._program.end()
        for _ in self._output.lines(is_ended=True):
            pass
        last = self._output.last_line[:_SHOWN]
        return ProgramError(f"{reason}: {last}" if last else reason, self._output.last_lines)


def _told(status: int) -> str:
    if status > 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
