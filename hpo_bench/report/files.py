"""A report as a file, in the format that the ending of its name asks for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hpo_bench.analysis.history import AXES, History
from hpo_bench.analysis.summary import Summary
from hpo_bench.errors import InputError, needing
from hpo_bench.files import replace_file
from hpo_bench.report import content as contents
from hpo_bench.report import foreign, markdown, table
from hpo_bench.report.parts import Figure, Section, several
from hpo_bench.report.plain import plain
from hpo_bench.report.sections import across
from hpo_bench.report.sections.results import results_table


def write(path: Path, summaries: Sequence[Summary], storage: str) -> None:
    """Write a report; where it cannot be written as a whole, the one before stays.

    Args:
        path: Its ending names the format: html, md, tex, csv, json or parquet.
        summaries: One suite, or several on different objectives, which then are ranked, too.
        storage: Where they were read, without a password.

    Raises:
        HpoBenchError: No such format, the file cannot be written, or several suites cannot be
            ranked.
    """
    make = _FORMATS.get(path.suffix)
    if make is None:
        raise InputError("--output", str(path), f"expected one of {', '.join(_FORMATS)}")
    made = make(summaries, storage)
    content = made if isinstance(made, bytes) else made.encode(errors="backslashreplace")
    try:
        replace_file(path, content)
    except OSError as error:
        raise InputError("--output", str(path), f"it cannot be written: {error}") from None


def write_figures(
    folder: Path, summaries: Sequence[Summary], storage: str, ending: str
) -> list[Path]:
    """Write the pictures of a report, one file each; several suites have their names before.

    Raises:
        HpoBenchError: The folder cannot be written, or several suites cannot be ranked.
    """
    with needing("report", "figures as files"):
        from hpo_bench.report import static

    figures = [
        ("-".join(filter(None, (heading, part.key))), part)
        for heading, sections in _chapters(summaries, storage)
        for section in sections
        for part in section.parts
        if isinstance(part, Figure)
    ]
    return static.write(folder, figures, ending)


def pictures(summaries: Sequence[Summary], storage: str) -> list[Figure]:
    """Give every picture of a report, of several suites those of all together."""
    _, sections = _chapters(summaries, storage)[0]
    parts = (part for section in sections for part in section.parts)
    return [part for part in parts if isinstance(part, Figure)]


def _chapters(summaries: Sequence[Summary], storage: str) -> list[tuple[str, list[Section]]]:
    if len(summaries) == 1:
        return [("", contents.sections(summaries[0], storage))]
    together = across.section(summaries)
    return [("", [together])] + [(s.suite, contents.brief(s)) for s in summaries]


def _title(summaries: Sequence[Summary]) -> str:
    """Name the suites; those of one with several objectives by what they have in common."""
    names = [summary.suite for summary in summaries]
    wholes = {name.partition(".")[0] for name in names}
    is_one_of_several = len(names) > 1 and len(wholes) == 1
    return wholes.pop() if is_one_of_several else ", ".join(names)


def _html(summaries: Sequence[Summary], storage: str) -> str:
    with needing("report", "the report as HTML"):
        from hpo_bench.report.html import page

    names = _title(summaries)
    methods = max(len(summary.methods) for summary in summaries)
    runs = sum(len(summary.histories) for summary in summaries)
    told = f"{several(methods, 'method')}, {several(runs, 'run')}"
    subtitle = f"hpo-bench: {told}, from {storage}"
    return page(names, subtitle, _chapters(summaries, storage))


def _markdown(summaries: Sequence[Summary], storage: str) -> str:
    lines = [f"# {foreign.markdown(_title(summaries))}"]
    for heading, sections in _chapters(summaries, storage):
        lines += [f"# {foreign.markdown(heading)}"] if heading else []
        for section in sections:
            told = [text for part in section.parts if (text := markdown.part(part))]
            lines += [f"## {foreign.markdown(section.title)}", *told] if told else []
    return "\n\n".join(lines) + "\n"


def _tex(summaries: Sequence[Summary], _storage: str) -> str:
    return "\n".join(_tex_table(summary) for summary in summaries)


def _tex_table(summary: Summary) -> str:
    made = results_table(summary)
    lines = [" & ".join(map(foreign.tex, row)) + r" \\" for row in made.rows]
    headings = " & ".join(map(foreign.tex, made.headings))
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{foreign.tex(summary.suite)}. {foreign.tex(made.caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(made.headings) - 1)}}}",
            r"\toprule",
            rf"{headings} \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _csv(summaries: Sequence[Summary], _storage: str) -> str:
    return table.records_to_csv(
        [
            {"suite": s.suite, **table.flat(asdict(run))}
            for s in summaries
            for run in (*s.runs, *s.baseline_runs)
        ]
    )


def _json(summaries: Sequence[Summary], _storage: str) -> str:
    return json.dumps([_as_json(summary) for summary in summaries], indent=2, allow_nan=False)


def _as_json(summary: Summary) -> dict[str, Any]:
    """Everything but the single evaluations, which are what Parquet is for."""
    fields = {name: value for name, value in vars(summary).items() if name != "histories"}
    made: dict[str, Any] = plain(fields)
    return made


_PARAMETER = "parameter_"


def _parquet(summaries: Sequence[Summary], _storage: str) -> bytes:
    with needing("parquet", "the report as Parquet"):
        import pyarrow
        import pyarrow.parquet

    rows = [row for s in summaries for h in s.histories for row in evaluations(s.suite, h)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: _of_one_type([row.get(name) for row in rows]) for name in names}
    columns = {_encodable(name): column for name, column in columns.items()}
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def _of_one_type(values: list[Any]) -> list[Any]:
    """Give a hyperparameter's values, as text where a column cannot hold them as they are.

    Choices may be of several types, and so may parameters of several suites that share a name;
    a whole number may be longer than 64 bits. Integers among floats stay numbers.
    """
    types = {type(value) for value in values if value is not None}
    is_long = int in types and any(abs(v) >= 2**63 for v in values if isinstance(v, int))
    if not is_long and (types == {int, float} or (len(types) <= 1 and types != {str})):
        return values
    return [None if value is None else _encodable(str(value)) for value in values]


def _encodable(text: str) -> str:
    """Give text that Parquet takes: half of a surrogate pair, which is none, as its code."""
    return text.encode(errors="backslashreplace").decode()


def evaluations(suite: str, history: History) -> list[dict[str, Any]]:
    """One record per evaluation, with what was spent by its end on every axis."""
    spent = {f"spent_{axis}": history.spent(axis) for axis in AXES}
    return [
        {
            "suite": suite,
            "method": history.method,
            "seed": history.seed,
            "trial": step.trial,
            **asdict(step.job),
            "test_accuracy": step.test,
            "held_out": step.held_out,
            "held_out_test": step.held_out_test,
            "incumbent": None if np.isnan(best) else float(best),
            **{name: float(values[place]) for name, values in spent.items()},
            **{f"{_PARAMETER}{name}": value for name, value in step.configuration.items()},
        }
        for place, (step, best) in enumerate(zip(history.steps, history.incumbents, strict=True))
    ]


_FORMATS: dict[str, Callable[[Sequence[Summary], str], str | bytes]] = {
    ".html": _html,
    ".md": _markdown,
    ".tex": _tex,
    ".csv": _csv,
    ".json": _json,
    ".parquet": _parquet,
}
