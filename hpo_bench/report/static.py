"""The pictures of a report for papers: drawn by Matplotlib from the same traces."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from hpo_bench.errors import InputError
from hpo_bench.files import replace_file
from hpo_bench.report import foreign
from hpo_bench.report.foreign import file_name
from hpo_bench.report.parts import Figure

FORMATS = ("pdf", "svg", "png")

_DASHES: dict[str, Any] = {
    "solid": "-",
    "dash": "--",
    "dot": ":",
    "dashdot": "-.",
    "longdash": (0, (8, 3)),
    "longdashdot": (0, (8, 3, 1.5, 3)),
}
_MARKERS = {
    "circle": "o",
    "square": "s",
    "triangle-up": "^",
    "diamond": "D",
    "x": "X",
    "cross": "P",
    "star": "*",
}
_STYLE: Any = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "hpo-bench",
    "pdf.fonttype": 42,
}
"""Small type for a column's width; text stays text, and the same numbers give the same file."""

_UNDATED: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}


def write(folder: Path, figures: Sequence[tuple[str, Figure]], ending: str) -> list[Path]:
    """Write every picture that Matplotlib can draw: all but parallel coordinates.

    Args:
        folder: Made if it is not there.
        figures: Names of files, without their ending, and what is on them.
        ending: One of `FORMATS`.

    Raises:
        InputError: The folder cannot be written.
    """
    made: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures:
            if any(trace["type"] == "parcoords" for trace in figure.traces):
                continue
            path = _unlike(made, folder, file_name(name), ending)
            drawn = BytesIO()
            with rc_context(_STYLE):
                draw(figure).savefig(drawn, format=ending, dpi=200, metadata=_UNDATED.get(ending))
            replace_file(path, drawn.getvalue())
            made.append(path)
    except OSError as error:
        raise InputError("--figures", str(folder), f"it cannot be written: {error}") from None
    return made


def as_svg(figure: Figure) -> bytes:
    """Draw one picture as SVG."""
    drawn = BytesIO()
    with rc_context(_STYLE):
        draw(figure).savefig(drawn, format="svg", metadata=_UNDATED["svg"])
    return drawn.getvalue()


def _unlike(made: Sequence[Path], folder: Path, name: str, ending: str) -> Path:
    """Give a file that no other picture is in: names that differ may be cut to the same."""
    path, number = folder / f"{name}.{ending}", 1
    while path in made:
        number += 1
        path = folder / f"{name}-{number}.{ending}"
    return path


def draw(figure: Figure) -> Canvas:
    """Draw one picture."""
    traces, layout = foreign.matplotlib(figure.traces), foreign.matplotlib(figure.layout)
    size = (6.5 if figure.wide else 3.5, layout["height"] / 130)
    canvas = Canvas(figsize=size, layout="constrained")
    axes = canvas.add_subplot()
    left: dict[str, float] = {}
    low: Any = None
    for trace in traces:
        if trace["type"] == "bar":
            _bars(axes, trace, left)
        elif trace["mode"] == "markers":
            _markers(axes, trace)
        elif trace["line"].get("width") == 0:
            low = _band(axes, trace, low)
        else:
            _line(axes, trace)
    _lay_out(axes, layout)
    if axes.get_legend_handles_labels()[1]:
        canvas.legend(loc="outside upper left", ncols=4)
    return canvas


def _bars(axes: Axes, trace: dict[str, Any], left: dict[str, float]) -> None:
    starts = [left.get(name, 0.0) for name in trace["y"]]
    axes.barh(
        trace["y"], trace["x"], left=starts, color=trace["marker"]["color"], label=_label(trace)
    )
    for name, start, value in zip(trace["y"], starts, trace["x"], strict=True):
        left[name] = start + value


def _markers(axes: Axes, trace: dict[str, Any]) -> None:
    marker = trace["marker"]
    whiskers = trace.get("error_x")
    axes.errorbar(
        trace["x"],
        trace["y"],
        xerr=[whiskers["arrayminus"], whiskers["array"]] if whiskers else None,
        linestyle="none",
        marker=_MARKERS[marker.get("symbol", "circle")],
        markersize=marker["size"] / 2,
        markeredgewidth=0,
        capsize=2.5 if whiskers else 0,
        capthick=1,
        color=marker["color"],
        alpha=marker.get("opacity", 1.0),
        label=_label(trace),
    )


def _band(axes: Axes, trace: dict[str, Any], low: Any) -> Any:
    """Remember the lower edge, or fill up to the upper one."""
    if trace["fill"] is None:
        return trace["y"]
    colour = trace["line"]["color"]
    axes.fill_between(
        trace["x"], low, trace["y"], step="post", color=colour, alpha=0.16, linewidth=0
    )
    return None


def _line(axes: Axes, trace: dict[str, Any]) -> None:
    line = trace["line"]
    axes.plot(
        trace["x"],
        trace["y"],
        drawstyle="steps-post" if line.get("shape") == "hv" else "default",
        linestyle=_DASHES[line["dash"]],
        linewidth=line["width"] * 0.6,
        color=line["color"],
        label=_label(trace),
        **_on_line(trace),
    )


def _on_line(trace: dict[str, Any]) -> dict[str, Any]:
    """Put a few markers on a line, where it has any."""
    marker = trace.get("marker")
    if marker is None:
        return {}
    every = max(1, len(trace["x"]) // marker["maxdisplayed"])
    shape = {"marker": _MARKERS[marker["symbol"]], "markersize": marker["size"] / 2}
    return {**shape, "markevery": every, "markeredgewidth": 0}


def _label(trace: dict[str, Any]) -> str | None:
    return trace["name"] if trace.get("showlegend", True) else None


def _lay_out(axes: Axes, layout: dict[str, Any]) -> None:
    x, y = layout["xaxis"], layout["yaxis"]
    axes.set_xlabel(x["title"]["text"])
    axes.set_ylabel(y.get("title", {}).get("text", ""))
    if x.get("type") == "log":
        axes.set_xscale("log")
        axes.set_xticks(x["tickvals"], x["ticktext"])
        axes.xaxis.minorticks_off()
    if y.get("type") == "log":
        axes.set_yscale("log")
        axes.set_yticks(y["tickvals"], y["ticktext"])
        axes.yaxis.minorticks_off()
    if x.get("zeroline"):
        axes.axvline(0, color="#555555", linewidth=0.8)
    if "range" in y:
        axes.set_ylim(*y["range"])
    if y.get("autorange") == "reversed":
        axes.invert_yaxis()
    for shape in layout.get("shapes", []):
        axes.axvspan(shape["x0"], shape["x1"], color="#1a9e77", alpha=0.15, linewidth=0)
