"""Notes on studies, for whoever opens one in optuna-dashboard: what the run is and how it stands.

This writes to the storage, which reports never do; only when asked.
"""

from __future__ import annotations

from optuna.storages import BaseStorage
from optuna_dashboard import get_note, save_note

from hpo_bench.analysis.results import RunResult, SuiteResult, collect
from hpo_bench.numbers import number
from hpo_bench.report import table
from hpo_bench.storage.studies import iterate_studies, study_names

_OURS = "*Written by hpo-bench, and written anew as long as this line stands.*"


def write_notes(storage: BaseStorage) -> int:
    """Note on every study of every suite how it stands; a person's own notes are left alone.

    Returns:
        How many notes were written; one that would say the same is not.
    """
    written = 0
    for suite in sorted({name.split("/")[0] for name in study_names(storage)}):
        result = collect(storage, suite)
        for study, run in zip(iterate_studies(storage, suite), result.runs, strict=True):
            before, note = get_note(study), _note(result, run)
            if before != note and (not before or before.endswith(_OURS)):
                save_note(study, note)
                written += 1
    return written


def _note(result: SuiteResult, run: RunResult) -> str:
    state = f"finished: {run.finished}" if run.finished else "not finished"
    return "\n\n".join(
        [
            f"## {run.method}, seed {run.seed}",
            f"{run.evaluations} evaluations, {run.epochs} epochs; {state}.",
            _incumbent(result.metric, run),
            f"## The suite {result.suite}",
            table.to_markdown(result),
            _OURS,
        ]
    )


def _incumbent(metric: str, run: RunResult) -> str:
    if run.validation is None:
        return "Nothing found yet."
    found = f"Best {metric}: **{number(run.validation)}**"
    test = "" if run.test is None else f", test accuracy {number(run.test)}"
    values = ", ".join(f"{name} = {value}" for name, value in run.incumbent.items())
    return f"{found}{test}, with {values}."
