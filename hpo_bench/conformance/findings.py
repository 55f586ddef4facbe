"""Run checks one after the other, and collect their findings."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning

from hpo_bench.errors import reason_of

Check = Callable[[Any], str | None]
"""Takes the tested candidate; returns a remark or None; raises if a promise is broken."""


class Verdict(StrEnum):
    """The result of a check."""

    PASSED = "ok"
    """The promise is kept."""
    REMARK = "note"
    """No promise is broken, but the user should read the remark."""
    FAILED = "FAILED"
    """The promise is broken."""


@dataclass(frozen=True)
class Finding:
    """The finding of one check."""

    check: str
    """Name of the check, in words."""
    promise: str
    """The promise that was checked, in one sentence."""
    verdict: Verdict
    """Result of the check."""
    detail: str
    """Text of the fault or of the remark; empty if there is neither."""


def examine(checks: Iterable[Check], tested: Any) -> Iterator[Finding]:
    """Run all checks, also after a failed one, and yield each finding when it is known."""
    for check in checks:
        with _silenced():
            verdict, detail = _carry_out(check, tested)
        promise = (inspect.getdoc(check) or "").partition("\n")[0]
        yield Finding(check.__name__.replace("_", " "), promise, verdict, detail)


@contextmanager
def _silenced() -> Iterator[None]:
    """Silence Optuna about what checks do on purpose: spaces that change, trials that fail."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _carry_out(check: Check, tested: Any) -> tuple[Verdict, str]:
    try:
        remark = check(tested)
    except AssertionError as error:
        return Verdict.FAILED, str(error) or "an assertion without a text"
    except Exception as error:  # foreign code may raise anything
        return Verdict.FAILED, reason_of(error)
    return (Verdict.PASSED, "") if remark is None else (Verdict.REMARK, remark)
