"""The table of a suite: for the terminal, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table

from hpo_bench.analysis.results import DEFAULT, MethodResult, Spread, SuiteResult, of_method
from hpo_bench.numbers import NOTHING, number
from hpo_bench.report import foreign, markdown, parts
from hpo_bench.report.plain import plain
from hpo_bench.storage.rows import Fault

MAX_FAULTS = 20
"""Of a storage that are named beneath a table; all are in a report."""

Column = tuple[str, Callable[[MethodResult], str]]


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return NOTHING
    mean = number(spread.mean)
    if spread.deviation is None:
        return mean
    is_fixed = mean == f"{spread.mean:.4f}"
    deviation = f"{spread.deviation:.4f}" if is_fixed else number(spread.deviation)
    return f"{mean} ± {deviation}"


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _columns(metric: str, methods: Sequence[MethodResult]) -> list[Column]:
    measured: list[Column] = [
        ("test accuracy", lambda m: _spread(m.test)),
        ("confirmed", lambda m: _spread(m.confirmed)),
        ("confirmed test", lambda m: _spread(m.confirmed_test)),
    ]
    return [
        ("method", lambda m: m.method),
        ("seeds", lambda m: str(m.seeds)),
        (metric, lambda m: _spread(m.validation)),
        *((name, show) for name, show in measured if any(show(m) != NOTHING for m in methods)),
        ("configs", lambda m: parts.count(m.configurations)),
        ("evals", lambda m: parts.count(m.evaluations)),
        ("epochs", lambda m: parts.count(m.epochs)),
        ("wall s", lambda m: _seconds(m.wall_seconds)),
        ("train s", lambda m: _seconds(m.train_seconds)),
        ("sampler s", lambda m: _seconds(m.sampler_seconds)),
        ("rest s", lambda m: _seconds(m.rest_seconds)),
    ]


def rows(result: SuiteResult) -> tuple[list[str], list[list[str]]]:
    """Give the headings and the cells, a row for each method, the best first."""
    default = [of_method(DEFAULT, result.defaults)] if result.defaults else []
    methods = [*result.methods, *default]
    columns = _columns(result.metric, methods)
    cells = [[show(method) for _, show in columns] for method in methods]
    return [heading for heading, _ in columns], cells


def notes(result: SuiteResult) -> list[str]:
    """What must be read beside the table, one sentence each."""
    found = [
        "Accuracies are of each run's incumbent, chosen by validation: mean ± standard deviation "
        "over seeds. Counts (configurations, evaluations, epochs) and times are means per run; "
        "rest is storage and harness, and with several workers within a run also their waiting."
    ]
    if result.data:
        found.insert(0, data_note(result.data))
    times = sorted({run.confirmations for run in result.runs if run.confirmations})
    if times:
        found.append(
            f"Confirmed: the incumbent trained again, {' or '.join(map(str, times))} times, by "
            "seeds that no run has; the mean of each run, mean ± standard deviation over seeds."
        )
    failed = sum(run.unconfirmed for run in result.runs)
    if failed:
        found.append(failed_again(failed))
    if result.defaults:
        found.append(
            f"{DEFAULT}: the objective's default configuration, trained once by each seed, nothing "
            "searched."
        )
    for method in result.methods:
        found += _method_notes(method)
    return found + left_out(result.left_out)


def left_out(faults: Sequence[Fault]) -> list[str]:
    """Say what was not sound in a storage, and is not in a table."""
    if not faults:
        return []
    named = [f"Left out: {fault}." for fault in faults[:MAX_FAULTS]]
    return [left_out_in_short(faults), *named]


def left_out_in_short(faults: Sequence[Fault]) -> str:
    """Say how much of a storage is not sound; of one thing at least."""
    trials = parts.several(sum(fault.trial is not None for fault in faults), "trial")
    studies = parts.several(sum(fault.trial is None for fault in faults), "study", "studies")
    return f"Left out because what is stored of them is not sound: {studies}, {trials}."


def data_note(data: Mapping[str, Any]) -> str:
    """Say which data were used."""
    sizes = ", ".join(
        f"{data[f'{part}_size']} to {purpose}"
        for part, purpose in (("train", "train"), ("validation", "validate"), ("test", "test"))
        if f"{part}_size" in data
    )
    digest = f"; sha256 {str(data['data_sha256'])[:12]}" if "data_sha256" in data else ""
    return f"Data: {data.get('data')}{': ' if sizes else ''}{sizes}{digest}."


def failed_again(trainings: int) -> str:
    """Say that incumbents did not train again."""
    times = parts.several(trainings, "training")
    return f"{times} of incumbents by fresh seeds failed: left out of what is confirmed."


def larger_budget(method: str, factor: int) -> str:
    """Say that a method has more than the others."""
    return f"{method}: has {factor} times the budget of the others, to measure them against."


def _method_notes(method: MethodResult) -> list[str]:
    found = []
    if method.budget_factor > 1:
        found.append(larger_budget(method.method, method.budget_factor))
    if method.unfinished:
        found.append(f"{method.method}: {method.unfinished} of {method.seeds} runs not finished.")
    if method.failed:
        found.append(f"{method.method}: {method.failed} evaluations failed.")
    if method.picks:
        total = sum(method.picks.values())
        model, fallback = method.picks.get("model", 0), method.picks.get("fallback", 0)
        found.append(
            f"{method.method}: {model} of {total} configurations picked by its model "
            f"({model / total:.0%}), {fallback} by falling back to random."
        )
    return found


def print_table(result: SuiteResult, console: Console) -> None:
    """Print for people."""
    headings, cells = rows(result)
    gap = 1 if console.width >= 100 else 0
    table = Table(
        title=result.suite,
        box=box.SIMPLE_HEAD,
        padding=(0, gap, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for index, heading in enumerate(headings):
        words = " ".join([heading, *(row[index] for row in cells)]).split()
        side: JustifyMethod = "left" if index == 0 else "right"
        table.add_column(heading, justify=side, min_width=max(map(len, words)))
    for row in cells:
        table.add_row(*row)
    console.print(table)
    for note in notes(result):
        console.print(note, style="dim")


def to_markdown(result: SuiteResult) -> str:
    """A Markdown table with its notes."""
    headings, cells = rows(result)
    told = map(foreign.markdown, notes(result))
    return "\n".join([markdown.table(parts.Table(headings, cells)), "", *told])


def to_csv(result: SuiteResult) -> str:
    """One line per run, with full precision: for further analysis."""
    return records_to_csv([flat(asdict(run)) for run in (*result.runs, *result.defaults)])


def records_to_csv(records: Sequence[Mapping[str, object]]) -> str:
    """Records as CSV, with every column that one of them has."""
    out = io.StringIO()
    names = list(dict.fromkeys(name for record in records for name in record))
    writer = csv.writer(out)
    writer.writerow(map(foreign.csv_cell, names))
    writer.writerows([foreign.csv_cell(record.get(n, "")) for n in names] for record in records)
    return out.getvalue()


def flat(record: dict[str, object]) -> dict[str, object]:
    """Spread nested tables into columns `outer.inner`."""
    flat: dict[str, object] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": v for inner, v in value.items()}
        else:
            flat[name] = value
    return flat


def to_json(result: SuiteResult) -> str:
    """Runs and summaries, with full precision."""
    return json.dumps(plain(result), indent=2, allow_nan=False)
