"""Checks carried out one after the other, and what each has found."""

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


class Verdict(StrEnum):
    """What a check has come to."""

    PASSED = "ok"
    """The promise is kept."""
    REMARK = "note"
    """Nothing promised is broken; a user should know what is said."""
    FAILED = "FAILED"
    """The promise is broken."""


@dataclass(frozen=True)
class Finding:
    """One check, carried out."""

    check: str
    """Its name."""
    promise: str
    """What the check holds it to, in one sentence."""
    verdict: Verdict
    """What it has come to."""
    detail: str
    """The fault, or the remark; empty where there is none."""


def examine(checks: Iterable[Check], tested: Any) -> Iterator[Finding]:
    """Carry out every check, also after one that fails; each finding comes when it is there."""
    for check in checks:
        with _silenced():
            verdict, detail = _carry_out(check, tested)
        promise = (inspect.getdoc(check) or "").partition("\n")[0]
        yield Finding(check.__name__.replace("_", " "), promise, verdict, detail)


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep back what Optuna says of what is meant so here: spaces that change, trials that fail."""
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
    except Exception as error:  # whatever somebody else's code raises
        return Verdict.FAILED, reason_of(error)
    return (Verdict.PASSED, "") if remark is None else (Verdict.REMARK, remark)
