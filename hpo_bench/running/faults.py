"""What goes wrong in somebody else's code, as it is recorded: what it was, and where."""

from __future__ import annotations

import os
from pathlib import Path
from traceback import TracebackException

from hpo_bench.errors import ProgramError, reason_of, recordable

TRACEBACK_LENGTH = 4_000
"""In characters: enough for a page, and too little to fill a storage with."""

_LINE_LENGTH = 300
_PACKAGE = Path(__file__).parents[1]
_HARNESS = tuple(f"{_PACKAGE / folder}{os.sep}" for folder in ("running", "storage"))


class EvaluationError(Exception):
    """The objective raised, or gave what cannot be recorded; the run goes on without this trial.

    Args:
        reason: Why, in a line or a few.
        traceback: Where, as `traceback_of` gives it.
    """

    def __init__(self, reason: str, traceback: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.traceback = traceback

    @classmethod
    def of(cls, error: BaseException) -> EvaluationError:
        """Tell of an exception that the objective raised.

        Of a program that failed, its last lines say where; our own frames do not.
        """
        if isinstance(error, ProgramError):
            return cls(reason_of(error), _cut(recordable(error.output)) or None)
        return cls(reason_of(error), traceback_of(error))


def traceback_of(error: BaseException) -> str | None:
    """Say where an exception comes from, the objective's own frames first.

    The frames of the harness, which are the same for every evaluation, are left out. Of a long
    traceback the beginning and the end are kept: the objective's frames, and what has raised.

    Returns:
        At most `TRACEBACK_LENGTH` characters; None if no frame but the harness's has a part in it.
    """
    try:
        made = TracebackException.from_exception(error)
        is_foreign = _leave_out_harness(made)
        text = "".join(made.format())
    except Exception as fault:  # attributes of an exception may be anything
        return f"(it cannot be told: {type(fault).__name__})"
    return _cut(recordable(text)) if is_foreign else None


def _leave_out_harness(made: TracebackException) -> bool:
    """Take the harness's frames out of an exception and its causes; say whether any is left."""
    left = False
    each: TracebackException | None = made
    while each is not None:
        each.stack[:] = [frame for frame in each.stack if not frame.filename.startswith(_HARNESS)]
        left = left or bool(each.stack)
        each = each.__cause__ or each.__context__
    return left


def _cut(text: str) -> str:
    lines = [
        line if len(line) <= _LINE_LENGTH else f"{line[:_LINE_LENGTH]} [...]"
        for line in text.splitlines()
    ]
    first, last = _fitting(lines), _fitting(lines[::-1])
    if first + last >= len(lines):
        return "\n".join(lines)
    left_out = f"  [{len(lines) - first - last} lines left out]"
    return "\n".join([*lines[:first], left_out, *lines[-last:]])


def _fitting(lines: list[str]) -> int:
    """How many lines fit into half of the room."""
    room, count = TRACEBACK_LENGTH // 2, 0
    while count < len(lines) and (room := room - len(lines[count]) - 1) >= 0:
        count += 1
    return count
