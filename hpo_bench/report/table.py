"""The table of a suite: for the terminal, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table

from hpo_bench.analysis.endpoint import Endpoint
from hpo_bench.analysis.measures import along_the_way, measure_name
from hpo_bench.analysis.results import (
    MethodResult,
    Spread,
    SuiteResult,
    names_of,
    of_method,
)
from hpo_bench.analysis.stored import DEFAULT
from hpo_bench.numbers import NOTHING, number
from hpo_bench.report import foreign, markdown, parts
from hpo_bench.report.plain import plain
from hpo_bench.storage.rows import Fault

MAX_FAULTS = 20
"""Of a storage that are named beneath a table; all are in a report."""

ALWAYS = 3
"""Columns that every table has: the method, its seeds, and what it found."""

_GAPS = (2, 1)
"""Spaces between columns: two where there is room."""

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


def _columns(result: SuiteResult, methods: Sequence[MethodResult]) -> list[Column]:
    """Give the columns, the most important first: a narrow terminal shows as many as fit."""
    clock, endpoint = parts.clock(result.is_simulated), result.endpoint.measure
    others: dict[str, Column] = {
        "validation": (result.metric, lambda m: _spread(m.validation)),
        "test": ("test accuracy", lambda m: _spread(m.test)),
        "confirmed": ("confirmed", lambda m: _spread(m.confirmed)),
        "confirmed_test": ("confirmed test", lambda m: _spread(m.confirmed_test)),
    }
    others.pop(endpoint, None)
    return [
        ("method", lambda m: m.method),
        ("seeds", lambda m: str(m.seeds)),
        (measure_name(endpoint, result.metric), lambda m: _spread(m.endpoint)),
        *(
            (name, show)
            for name, show in others.values()
            if any(show(m) != NOTHING for m in methods)
        ),
        ("distinct", lambda m: parts.count(m.distinct)),
        ("evals", lambda m: parts.count(m.evaluations)),
        ("epochs", lambda m: parts.count(m.epochs)),
        (f"{clock}wall s", lambda m: _seconds(m.wall_seconds)),
        (f"{clock}train s", lambda m: _seconds(m.train_seconds)),
        ("sampler s", lambda m: _seconds(m.sampler_seconds)),
        ("rest s", lambda m: _seconds(m.rest_seconds)),
    ]


def rows(result: SuiteResult) -> tuple[list[str], list[list[str]]]:
    """Give the headings and the cells, a row for each method, the best first."""
    along = along_the_way(result.endpoint.measure)
    fixed = [of_method(n, result.baselines, along) for n in names_of(result.baselines)]
    methods = [*result.methods, *fixed]
    columns = _columns(result, methods)
    cells = [[show(method) for _, show in columns] for method in methods]
    return [heading for heading, _ in columns], cells


def notes(result: SuiteResult) -> list[str]:
    """What must be read beside the table, one sentence each."""
    found = [
        endpoint_note(result.endpoint, result.metric),
        "A value belongs to the incumbent of each run, which validation chose: mean ± standard "
        "deviation over seeds. Counts (distinct configurations, evaluations, epochs) and times are "
        "means per run. The rest of the time is storage, harness, and waiting where a run has "
        "several workers.",
    ]
    if result.is_simulated:
        found.append(parts.SIMULATED)
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
    found += [fixed_note(name) for name in names_of(result.baselines)]
    for method in result.methods:
        found += _method_notes(method)
    return found + left_out(result.left_out)


_MEANING = {
    "validation": "the value that the search saw, which favours lucky winners (selection bias)",
    "test": "a value that no method saw",
    "held_out": "the mean of the winner's recorded trainings that its run did not see",
    "held_out_test": "the mean of the winner's recorded trainings that its run did not see",
    "confirmed": "the mean of the winner's trainings by fresh seeds",
    "confirmed_test": "the mean of the winner's trainings by fresh seeds",
}


def endpoint_note(endpoint: Endpoint, metric: str) -> str:
    """Say by what verdicts are made, and whether it was declared before the runs."""
    name, meaning = measure_name(endpoint.measure, metric), _MEANING[endpoint.measure]
    if not endpoint.is_declared:
        declared = " The runs declare no endpoint; this is the fairest value that they have."
    elif not endpoint.is_unanimous:
        declared = " Some runs declare another endpoint; the run that began first has this one."
    else:
        declared = ""
    return f"Methods are ordered and compared by {name}: {meaning}.{declared}"


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


def fixed_note(name: str) -> str:
    """Say what a baseline is that is a configuration."""
    what = "the objective's default configuration" if name == DEFAULT else "a fixed configuration"
    return f"{name}: {what}, trained once by each seed, nothing searched."


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


def winners(result: SuiteResult) -> parts.Table:
    """Name the best configuration that each method has found, the best method first."""
    better = max if result.maximise else min
    cells = []
    for method in result.methods:
        runs = [run for run in result.runs if run.method == method.method]
        found = [(run.validation, run) for run in runs if run.validation is not None]
        if found:
            value, best = better(found, key=lambda pair: pair[0])
            told = parts.configuration(best.incumbent | best.recorded)
            cells.append([method.method, str(best.seed), number(value), told])
    return parts.Table(["method", "seed", result.metric, "best configuration"], cells)


def print_table(result: SuiteResult, console: Console) -> None:
    """Print for people: what each method found, and the configuration that it chose."""
    headings, cells = rows(result)
    n_shown = max(ALWAYS, _fitting(headings, cells, console.width))
    shown = [row[:n_shown] for row in cells]
    console.print(_grid(headings[:n_shown], shown, console.width, title=result.suite))
    if n_shown < len(headings):
        left_out = ", ".join(headings[n_shown:])
        told = f"Too narrow for: {left_out}. A wider terminal shows them, and so does a pipe."
        console.print(told, style="yellow")
    chosen = winners(result)
    if chosen.rows:
        console.print()
        console.print(_grid(chosen.headings, chosen.rows, console.width, folded=3))
        console.print()
    for note in notes(result):
        console.print(note, style="dim")


def _fitting(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> int:
    """Count the columns, from the first, that fit beside each other without a cut cell."""
    taken = 0
    for index, heading in enumerate(headings):
        taken += _least_width(index, heading, rows) + (_GAPS[-1] if index else 0)
        if taken > width:
            return index
    return len(headings)


def _least_width(index: int, heading: str, rows: Sequence[Sequence[str]]) -> int:
    """Give the width of a column whose heading may be folded between words, its cells not."""
    return max(map(cell_len, [*heading.split(), *(row[index] for row in rows)]))


def _widths(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int, folded: int | None, gap: int
) -> list[int] | None:
    """Give the width of every column; None where they do not fit beside each other.

    Left to itself, Rich narrows the widest columns first, and then cuts off what sticks out.
    """
    found, wanted = [], []
    for index, heading in enumerate(headings):
        cells = [heading, *(row[index] for row in rows)]
        words = [word for cell in cells for word in cell.split()]
        is_folded = index == folded
        found.append(max(map(cell_len, words)) if is_folded else _least_width(index, heading, rows))
        wanted.append(max(map(cell_len, cells)))
    spare = width - sum(found) - gap * (len(found) - 1)
    if spare < 0:
        return None
    for index in sorted(range(len(found)), key=lambda index: index != folded):
        more = wanted[index] - found[index]
        if more <= spare or index == folded:
            found[index] += min(more, spare)
            spare -= min(more, spare)
    return found


def _grid(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    *,
    title: str | None = None,
    folded: int | None = None,
) -> Table:
    """Make a table for a terminal.

    Args:
        headings: Of its columns.
        rows: Its cells.
        width: Of the terminal, in characters.
        title: Above it.
        folded: Index of the column whose cells may take several lines.
    """
    for gap in _GAPS:
        widths = _widths(headings, rows, width, folded, gap)
        if widths is not None:
            break
    padding = (0, gap - 1, 0, 0)  # the box puts one space between columns
    shape: dict[str, Any] = {"box": box.SIMPLE_HEAD, "pad_edge": False, "show_edge": False}
    table = Table(title=title, padding=padding, **shape)
    for index, heading in enumerate(headings):
        side: JustifyMethod = "left" if index in (0, folded) else "right"
        own = None if widths is None else widths[index]
        table.add_column(heading, justify=side, width=own, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def to_markdown(result: SuiteResult) -> str:
    """A Markdown table with the best configurations and its notes."""
    headings, cells = rows(result)
    chosen = winners(result)
    told = map(foreign.markdown, notes(result))
    tables = [parts.Table(headings, cells), *([chosen] if chosen.rows else [])]
    return "\n\n".join([*map(markdown.table, tables), "\n".join(told)])


def to_csv(result: SuiteResult) -> str:
    """One line per run, with full precision: for further analysis."""
    return records_to_csv([flat(asdict(run)) for run in (*result.runs, *result.baselines)])


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
