"""Pictures of the comparison beside each study in optuna-dashboard.

This writes to the storage, which reports never do; only when asked.
"""

from __future__ import annotations

from typing import Any

import optuna
import plotly.graph_objects as go
from optuna.storages import BaseStorage
from optuna_dashboard import save_plotly_graph_object

from hpo_bench.analysis.summary import summarise
from hpo_bench.report import figures, foreign
from hpo_bench.report.parts import Figure
from hpo_bench.storage.rows import UNREADABLE, UnsoundError, why
from hpo_bench.storage.studies import load_study, study_names

MAX_STUDIES = 100
"""Of a suite: the dashboard cuts a picture into pieces of two kilobytes and writes each alone."""

_DIGITS = 6


def write_figures(storage: BaseStorage) -> tuple[int, list[str]]:
    """Save the curves by epochs and every run's result on the studies of every suite.

    Those that were saved before are replaced.

    Returns:
        On how many studies, and where there are none, and why.
    """
    written, left_out = 0, []
    for suite in sorted({name.split("/")[0] for name in study_names(storage)}):
        if len(study_names(storage, suite)) > MAX_STUDIES:
            left_out.append(f"{suite}: no pictures, it has too many studies")
            continue
        try:
            summary = summarise(storage, suite)
        except UnsoundError as error:
            left_out.append(f"{suite}: no pictures: {error}")
            continue
        drawn = [*figures.curves(summary, ["epochs"]), figures.finals(summary)]
        made = {picture.key: _plotly(picture) for picture in drawn if picture is not None}
        for name in summary.studies if made else ():
            try:
                _save(load_study(storage, name), made)
                written += 1
            except UNREADABLE as error:
                left_out.append(f"{name}: no pictures: {why(error)}")
    return written, left_out


def _save(study: optuna.Study, made: dict[str, go.Figure]) -> None:
    for key, figure in made.items():
        save_plotly_graph_object(study, figure, graph_object_id=f"hpo-bench-{key}")


def _plotly(picture: Figure) -> go.Figure:
    title = {"text": picture.title, "subtitle": {"text": picture.caption}}
    layout = foreign.plotly(picture.layout | {"title": title}) | {"template": "none"}
    return go.Figure(data=_rounded(foreign.plotly(picture.traces)), layout=layout)


def _rounded(value: Any) -> Any:
    """Drop the digits that nobody sees: they are most of what would be stored."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value
