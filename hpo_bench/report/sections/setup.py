"""What was searched by what, run by run, and what repeats it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hpo_bench.analysis.history import History, by_method
from hpo_bench.analysis.results import RunResult
from hpo_bench.analysis.space import levels, searched
from hpo_bench.analysis.summary import Summary
from hpo_bench.numbers import NOTHING, number
from hpo_bench.report import space
from hpo_bench.report.foreign import file_name
from hpo_bench.report.parts import (
    Code,
    Part,
    Section,
    Table,
    clock,
    configuration,
    drawn,
    seconds,
    several,
)
from hpo_bench.report.repeat import command, needs_directory, program, suite_file, to_toml
from hpo_bench.storage.records import DIRECTORY, SUITE

_DEFINITION = (
    "suite",
    "method",
    "seed",
    "created",
    "finished",
    "run_id",
    "method_options",
    "pruner",
    "pruner_options",
    "search_space",
    "objective",
    "objective_options",
    "budget",
    "direction",
    "fixed",
    SUITE,
)
"""Attributes of a study that stand elsewhere in a report than in its manifest."""


def search_space(summary: Summary) -> Section:
    """What mattered, and what the landscape looks like."""
    parts: list[Part] = [table] if (table := _ranges(summary)).rows else []
    parts += drawn(space.importances(summary), space.parallel_coordinates(summary))
    slices = space.slices(summary)
    left_out = len(searched(summary.histories)) - len(slices)
    if slices and left_out:
        parts.append(f"Slices of the {len(slices)} most important; {left_out} more are not drawn.")
    return Section("Search space", [*parts, *slices])


def _ranges(summary: Summary) -> Table:
    """What was searched: every hyperparameter with its type and range, and what it mattered."""
    named = levels(summary.histories)
    shares = summary.importances.shares if summary.importances else {}
    space = searched(summary.histories)
    order = [*(name for name in shares if name in space), *(n for n in space if n not in shares)]
    rows = []
    for name in order:
        kind, values = _in_words(space[name], named.get(name))
        importance = f"{shares[name]:.3f}" if name in shares else NOTHING
        rows.append([name, kind, values, importance])
    return Table(["hyperparameter", "type", "values", "importance"], rows, is_text=True)


def _in_words(dist: BaseDistribution, named: dict[int, float] | None) -> tuple[str, str]:
    """Give the type of a hyperparameter and its values, as text."""
    if named is not None:
        return "recorded level", ", ".join(f"{value:.6g}" for value in named.values())
    if isinstance(dist, CategoricalDistribution):
        return "choice", ", ".join(map(str, dist.choices))
    if not isinstance(dist, IntDistribution | FloatDistribution):
        return NOTHING, NOTHING
    kind = "whole number" if isinstance(dist, IntDistribution) else "number"
    scale = ", on a log scale" if dist.log else ""
    step = "" if dist.step in (None, 1) else f" in steps of {dist.step:g}"
    return f"{kind}{scale}", f"{dist.low:.6g} to {dist.high:.6g}{step}"


def methods(summary: Summary) -> Section:
    """Every method with its options."""
    rows = []
    for name, histories in by_method(summary.histories).items():
        told = next((h.attributes for h in histories if h.attributes), {})
        rows.append(
            [
                name,
                str(told.get("method", NOTHING)),
                _options(told.get("method_options")),
                str(told.get("pruner") or NOTHING),
                _options(told.get("pruner_options")),
            ]
        )
    headings = ["method", "made by", "options", "pruner", "its options"]
    caption = "Options that are not given have their defaults."
    return Section("Methods", [Table(headings, rows, caption, is_text=True)])


def _options(options: dict[str, Any] | None) -> str:
    return ", ".join(f"{k} = {to_toml(v)}" for k, v in options.items()) if options else NOTHING


def runs(summary: Summary) -> Section:
    """Every run with its incumbent."""
    found = {(run.method, run.seed): run for run in summary.runs}
    is_confirmed = any(run.confirmations for run in summary.runs)
    rows = []
    for history in summary.histories:
        run = found[history.method, history.seed]
        rows.append(
            [
                f"{history.method} / {history.seed}",
                history.state,
                history.reason or NOTHING,
                number(run.validation),
                number(run.test),
                *(_confirmed_cells(run) if is_confirmed else []),
                str(run.evaluations),
                str(run.epochs),
                seconds(run.wall_seconds),
                configuration(run.incumbent | run.recorded),
            ]
        )
    again = ["confirmed", "confirmed test"] if is_confirmed else []
    headings = ["run", "state", "because", summary.metric, "test", *again]
    headings += ["evals", "epochs", f"{clock(summary.is_simulated)}wall s", "incumbent"]
    table = Table(headings, rows, folded=several(len(rows), "run"), is_text=True)
    return Section("Runs", [table])


def _confirmed_cells(run: RunResult) -> list[str]:
    """Mean and standard deviation of a run's incumbent trained again."""
    found = (
        (run.confirmed, run.confirmed_deviation),
        (run.confirmed_test, run.confirmed_test_deviation),
    )
    return [
        number(mean) if deviation is None else f"{number(mean)} ± {number(deviation)}"
        for mean, deviation in found
    ]


def manifest(summary: Summary, storage: str) -> Section:
    """What repeats the suite, and what it was made with."""
    text = suite_file(summary.suite, summary.histories)
    parts: list[Part] = []
    if text is not None:
        is_without = needs_directory(summary.histories)
        data = f", {DIRECTORY} being that of its data, which they do not say" if is_without else ""
        parts += [
            f"To repeat it, save what follows, which is from what the studies say, as "
            f"{file_name(summary.suite)}.toml, and run{data}:",
            Code(command(summary.suite, storage), "sh"),
            Code(text, "toml"),
        ]
        if program(summary.histories) is not None:
            parts.append(
                "This suite starts a program. The line is as the storage holds it, which others "
                "may have written: read its command before you run it."
            )
    rows = [[name, value] for name, value in _made_with(summary.histories).items()]
    if rows:
        folded = "Versions, machine, data"
        parts.append(Table(["made with", ""], rows, folded=folded, is_text=True))
    return Section("Manifest", parts)


def _made_with(histories: Sequence[History]) -> dict[str, str]:
    """What the studies say of their making; where they do not agree, everything that they say."""
    values: dict[str, dict[str, None]] = {}
    for history in histories:
        for name, value in history.attributes.items():
            if name not in _DEFINITION:
                values.setdefault(name, {})[str(value)] = None
    return {name: " | ".join(found) for name, found in values.items()}
