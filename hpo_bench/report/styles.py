"""How a method is drawn: by its name alone, so that it looks the same in every report."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from hpo_bench.analysis.stored import DEFAULT

COLOURS = (
    "#185ce1",
    "#e42f00",
    "#008a3a",
    "#be3180",
    "#8c86f9",
    "#0ea3a9",
    "#f65d7a",
)
"""Found by a search for the least difference of two of them, which is 12 or more by CIEDE2000 for
normal sight, protanopes, deuteranopes and tritanopes; each has a contrast of 3 on both grounds."""

NEUTRAL = "#808080"
"""Of lines that are no method: the default, and where two values are equal."""

DASHES = ("solid", "dash", "dashdot", "longdash", "longdashdot", "dot")

MARKERS = ("circle", "square", "triangle-up", "diamond", "x", "cross", "star")


@dataclass(frozen=True)
class Style:
    """A colour as `#rrggbb`, a dash and a marker, by Plotly's names."""

    colour: str
    dash: str
    marker: str


_KNOWN = {
    "random": Style(COLOURS[0], "solid", "circle"),
    "grid": Style(COLOURS[1], "dash", "square"),
    "pso": Style(COLOURS[2], "dashdot", "triangle-up"),
    "bohb": Style(COLOURS[3], "solid", "diamond"),
    "tpe": Style(COLOURS[4], "longdash", "x"),
    "random-2x": Style(COLOURS[5], "dot", "circle"),
    DEFAULT: Style(NEUTRAL, "dot", "circle"),
}
"""Methods that meet in the suites of the package: no two of them share a colour."""


_OTHERS = COLOURS[4:]
"""For unknown names: a sampler under test stands beside random search, grid, PSO and BOHB."""


def style_of(method: str) -> Style:
    """Give the style of a method by its name; an unknown name has one of 126, by its digest."""
    if method in _KNOWN:
        return _KNOWN[method]
    number = int.from_bytes(sha256(method.encode(errors="backslashreplace")).digest()[:8])
    number, colour = divmod(number, len(_OTHERS))
    number, dash = divmod(number, len(DASHES))
    return Style(_OTHERS[colour], DASHES[dash], MARKERS[number % len(MARKERS)])
