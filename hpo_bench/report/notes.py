"""Notes on studies, for whoever opens one in optuna-dashboard: what the run is and how it stands.

This writes to the storage, which reports never do; only when asked.
"""

from __future__ import annotations

import optuna
from optuna.storages import BaseStorage
from optuna_dashboard import get_note, save_note

from hpo_bench.analysis.results import RunResult, SuiteResult, results_of
from hpo_bench.analysis.stored import read_suite
from hpo_bench.numbers import number
from hpo_bench.report import table
from hpo_bench.report.dashboard import summary_study
from hpo_bench.report.foreign import markdown
from hpo_bench.storage.records import summary_name
from hpo_bench.storage.rows import UNREADABLE, Fault, UnsoundError, why
from hpo_bench.storage.studies import load_study, study_names

_OURS = "*Written by hpo-bench, and written anew as long as this line stands.*"


def write_notes(storage: BaseStorage) -> tuple[int, list[Fault]]:
    """Note on every study of every suite how it stands; a person's own notes are left alone.

    Each suite gets a study without trials besides, which shows the suite as a whole.

    Returns:
        How many notes were written; one that would say the same is not. And what is not sound in
        the storage, which has none.
    """
    written, left_out = 0, []
    for suite in sorted({name.split("/")[0] for name in study_names(storage)}):
        try:
            stored = read_suite(storage, suite)
        except UnsoundError as error:
            left_out.append(error.fault)
            continue
        result = results_of(stored)
        left_out += result.left_out
        for each, run in zip(stored.runs, result.runs, strict=True):
            try:
                written += _write(load_study(storage, each.name), _note(result, run))
            except UNREADABLE as error:
                left_out.append(Fault(each.name, None, "note", why(error)))
        try:
            whole = summary_study(storage, suite, maximise=result.maximise)
            written += _write(whole, _summary_note(result))
        except UNREADABLE as error:
            left_out.append(Fault(summary_name(suite), None, "note", why(error)))
    return written, left_out


def _write(study: optuna.Study, note: str) -> bool:
    before = get_note(study)
    if before == note or (before and not before.endswith(_OURS)):
        return False
    save_note(study, note)
    return True


def _note(result: SuiteResult, run: RunResult) -> str:
    state = f"finished: {run.finished}" if run.finished else "not finished"
    return "\n\n".join(
        [
            f"## {markdown(f'{run.method}, seed {run.seed}')}",
            markdown(f"{run.evaluations} evaluations, {run.epochs} epochs; {state}."),
            _incumbent(result.metric, run),
            f"## The suite {markdown(result.suite)}",
            table.to_markdown(result),
            _OURS,
        ]
    )


def _summary_note(result: SuiteResult) -> str:
    """Note what all runs of a suite found; the dashboard lists studies and knows no suites."""
    name = markdown(result.suite)
    return "\n\n".join(
        [
            f"## The suite {name}",
            f"Its {len(result.runs)} runs are the studies whose names begin with {name}/.",
            table.to_markdown(result),
            _OURS,
        ]
    )


def _incumbent(metric: str, run: RunResult) -> str:
    if run.validation is None:
        return "Nothing found yet."
    found = f"Best {markdown(metric)}: **{number(run.validation)}**"
    test = "" if run.test is None else f", test accuracy {number(run.test)}"
    chosen = run.incumbent | run.recorded
    values = ", ".join(f"{name} = {value}" for name, value in chosen.items())
    return f"{found}{test}, with {markdown(values)}."
