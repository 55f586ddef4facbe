"""Pictures of the comparison beside each study in optuna-dashboard.

This writes to the storage, which reports never do; only when asked.
"""

from __future__ import annotations

from textwrap import wrap
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna.storages import BaseStorage
from optuna_dashboard import save_plotly_graph_object

from hpo_bench.analysis.summary import Summary, summarise
from hpo_bench.report import figures, foreign
from hpo_bench.report.parts import Figure
from hpo_bench.storage.records import summary_name
from hpo_bench.storage.rows import UNREADABLE, UnsoundError, why
from hpo_bench.storage.studies import load_study, study_names

MAX_STUDIES = 100
"""Of a suite: the dashboard cuts a picture into pieces of two kilobytes and writes each alone."""

_DIGITS = 6

_LINE = 62
"""Characters of a caption in a line: the dashboard cuts what is wider than its card."""


def write_figures(storage: BaseStorage) -> tuple[int, list[str]]:
    """Save the curves by epochs and every run's result on the studies of every suite.

    Those that were saved before are replaced.

    Returns:
        On how many studies, and where there are none, and why.
    """
    written, left_out = 0, []
    for suite in sorted({name.split("/")[0] for name in study_names(storage)}):
        try:
            summary = summarise(storage, suite)
        except UnsoundError as error:
            left_out.append(f"{suite}: no pictures: {error}")
            continue
        drawn = [*figures.curves(summary, ["epochs"]), figures.finals(summary)]
        made = {picture.key: _plotly(suite, picture) for picture in drawn if picture is not None}
        is_large = len(summary.studies) > MAX_STUDIES
        if is_large:
            left_out.append(f"{suite}: pictures on its summary alone, it has too many studies")
        names = [] if is_large else summary.studies
        for name in (summary_name(suite), *names) if made else ():
            try:
                _save(_open(storage, name, summary), made)
                written += 1
            except UNREADABLE as error:
                left_out.append(f"{name}: no pictures: {why(error)}")
    return written, left_out


def _open(storage: BaseStorage, name: str, summary: Summary) -> optuna.Study:
    if name == summary_name(summary.suite):
        return summary_study(storage, summary.suite, maximise=summary.maximise)
    return load_study(storage, name)


def summary_study(storage: BaseStorage, suite: str, *, maximise: bool) -> optuna.Study:
    """Open the study that shows a whole suite, which is made where there is none.

    Raises:
        ValueError: The storage takes none of that name.
    """
    try:
        return optuna.create_study(
            storage=storage,
            study_name=summary_name(suite),
            direction="maximize" if maximise else "minimize",
            load_if_exists=True,
        )
    except optuna.exceptions.OptunaError as error:  # the name may be too long for it
        raise ValueError(why(error)) from error


def _save(study: optuna.Study, made: dict[str, go.Figure]) -> None:
    for key, figure in made.items():
        save_plotly_graph_object(study, figure, graph_object_id=f"hpo-bench-{key}")


def _plotly(suite: str, picture: Figure) -> go.Figure:
    """Make a picture for the dashboard, whose height and width are those of its card there."""
    lines = [foreign.plotly(line) for line in wrap(picture.caption, _LINE)]
    title = {
        "text": foreign.plotly(f"{suite}: {picture.title}"),
        "subtitle": {"text": "<br>".join(lines)},
    }
    sized = {name: value for name, value in picture.layout.items() if name != "height"}
    layout = foreign.plotly(sized) | {"title": title, "template": "none"}
    layout |= {"margin": {"t": 60 + 16 * len(lines), "r": 20}}
    layout["yaxis"] |= {"automargin": True}
    return go.Figure(data=_rounded(foreign.plotly(picture.traces)), layout=layout)


def _rounded(value: Any) -> Any:
    """Drop the digits that nobody sees: they are most of what would be stored."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value
