"""What a program prints: the values in it, and its last lines for whoever asks why it failed."""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo_bench.errors import InputError

MARK = "hpo-bench:"
"""What stands before the values in a line, wherever in the line it is."""

STEP = "step"

_KEPT_LINES = 100
_LONGEST_LINE = 2**16
"""Bytes; a progress bar may print megabytes without an end of line."""


@dataclass(frozen=True)
class Reported:
    """The values of one line."""

    step: int | None
    """The fidelity that they belong to, 1 or more; None if the line does not name it."""
    value: float
    measurements: dict[str, float]


class Format:
    """How values are found in a line.

    Args:
        metric: The key of the value that is searched by.
        pattern: A regular expression with a group `value`, and perhaps a group `step`; its other
            named groups are measurements. None: lines are marked by `hpo-bench:`.

    Raises:
        InputError: The pattern is no regular expression, or has no group `value`.
    """

    def __init__(self, metric: str, pattern: str | None) -> None:
        self.metric = metric
        self._pattern = None if pattern is None else _compiled(pattern)

    @property
    def example(self) -> str:
        """A line that would be read, or the pattern."""
        if self._pattern is not None:
            return f"one that matches {self._pattern.pattern!r}"
        return f"'{MARK} step=1 {self.metric}=0.5'"

    def read(self, line: str) -> Reported | None:
        """Find the values in a line; None if it holds none.

        Raises:
            ValueError: It is marked, and cannot be read.
        """
        if self._pattern is not None:
            match = self._pattern.search(line)
            groups = {} if match is None else match.groupdict()
            fields = {name: text for name, text in groups.items() if text is not None}
            return _reported(fields, "value", line) if "value" in fields else None
        _, mark, rest = line.rpartition(MARK)
        if not mark:
            return None
        words = [word.partition("=") for word in rest.split()]
        if not all(equals for _, equals, _ in words):
            raise ValueError(f"it printed {line!r}; expected {self.example}")
        return _reported({name: text for name, _, text in words}, self.metric, line)

    def read_json(self, line: str) -> Reported | None:
        """Read a line as a JSON object with the value in it; None if it is none."""
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if self._pattern is not None or not isinstance(fields, dict) or self.metric not in fields:
            return None
        numbers = {name: value for name, value in fields.items() if _is_number(value)}
        return _reported(numbers, self.metric, line)


class Output:
    """What a program has written to a file so far; the file may grow.

    Args:
        path: The file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._unfinished = b""
        self._last: deque[str] = deque(maxlen=_KEPT_LINES)

    def lines(self, *, is_ended: bool) -> Iterator[str]:
        """Give the lines that were added since the last call.

        Args:
            is_ended: Whether nobody writes any more, so that the last line is whole as it is.
        """
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            while chunk := file.read(2**20):
                self._position += len(chunk)
                *whole, self._unfinished = (self._unfinished + chunk).split(b"\n")
                self._unfinished = self._unfinished[-_LONGEST_LINE:]
                yield from map(self._taken, whole)
        if is_ended and self._unfinished:
            rest, self._unfinished = self._unfinished, b""
            yield self._taken(rest)

    @property
    def last_line(self) -> str:
        """The last one that is not empty; empty if there is none."""
        return next((line for line in reversed(self._last) if line), "")

    @property
    def last_lines(self) -> str:
        """The last hundred."""
        return "\n".join(self._last)

    def _taken(self, line: bytes) -> str:
        # What a terminal would show of a progress bar is what follows its last carriage return.
        text = line.decode("utf-8", "replace").rstrip().rpartition("\r")[-1]
        self._last.append(text)
        return text


def _compiled(pattern: str) -> re.Pattern[str]:
    expected = r'expected a regular expression with a group "value": "accuracy: (?P<value>\S+)"'
    if not isinstance(pattern, str):
        raise InputError("pattern", pattern, expected)
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError("pattern", pattern, f"{expected}; {error}") from None
    if "value" not in compiled.groupindex:
        raise InputError("pattern", pattern, expected)
    return compiled


def _reported(fields: Mapping[str, Any], metric: str, line: str) -> Reported:
    if metric not in fields:
        raise ValueError(f"it printed {line!r}; expected {metric}=NUMBER in it")
    numbers = {name: _number(name, value, line) for name, value in fields.items()}
    step = numbers.pop(STEP, None)
    if step is not None and (not math.isfinite(step) or step != int(step) or step < 1):
        raise ValueError(f"it printed {line!r}; expected a step that is 1, 2, 3, ...")
    return Reported(None if step is None else int(step), numbers.pop(metric), numbers)


def _number(name: str, value: Any, line: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"it printed {line!r}; expected {name}=NUMBER in it") from None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
