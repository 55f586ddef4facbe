"""What a report is made of, in no format yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpo_bench.numbers import NOTHING, number

if TYPE_CHECKING:  # scipy is an extra, which the table of results does without
    from hpo_bench.analysis.intervals import Estimate


@dataclass(frozen=True)
class Table:
    """Cells as text, the first column naming the row."""

    headings: list[str]
    rows: list[list[str]]
    caption: str = ""
    folded: str | None = None
    """Title under which a long table is folded away, where that can be."""
    is_text: bool = False
    """Cells are words rather than numbers."""
    wide: bool = True


@dataclass(frozen=True)
class Figure:
    """A picture as Plotly takes it: traces and layout as plain dictionaries."""

    key: str
    title: str
    caption: str
    traces: list[dict[str, Any]]
    layout: dict[str, Any]
    wide: bool = False


@dataclass(frozen=True)
class Code:
    """Text to be copied as it stands."""

    text: str
    language: str
    folded: str | None = None
    """Title under which it is folded away, where that can be."""


class Lead(str):
    """A paragraph that says in words what was found."""


Part = str | Table | Figure | Code
"""A string is a paragraph."""


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    parts: list[Part] = field(default_factory=list)


def interval(estimate: Estimate | None) -> str:
    """A mean with its interval; an empty one where there are too few replicates."""
    if estimate is None:
        return NOTHING
    if estimate.low is None or estimate.high is None:
        return f"{number(estimate.mean)} [–]"
    return f"{number(estimate.mean)} [{number(estimate.low)}, {number(estimate.high)}]"


def count(value: float) -> str:
    """A number of things, perhaps a mean."""
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"


def several(n: int, thing: str, things: str = "") -> str:
    """Count things in words: `1 run`, `2 runs`, or by the plural that is given."""
    return f"{n} {thing if n == 1 else things or f'{thing}s'}"


def seconds(value: float) -> str:
    """A duration in seconds."""
    if value >= 10:
        return f"{value:.0f}"
    return f"{value:.2f}" if value >= 0.01 or value == 0 else f"{value:.1g}"


def probability(value: float) -> str:
    """A p-value or a probability."""
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1g}"


SIMULATED = (
    "Simulated seconds are the recorded seconds of a table's trainings: nobody waited for them. "
    "The seconds of sampler, storage and harness are real."
)


def clock(is_simulated: bool) -> str:
    """Give the word that stands before the name of seconds that nobody waited for."""
    return "simulated " if is_simulated else ""


def configuration(values: Mapping[str, Any]) -> str:
    """A configuration on one line; numbers have six digits at most."""
    shown = (
        f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )
    return ", ".join(shown) or NOTHING


def drawn(*pictures: Figure | None) -> list[Part]:
    """Those pictures that there was something to draw for."""
    return [picture for picture in pictures if picture is not None]
