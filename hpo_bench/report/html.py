"""A report as one HTML page that needs no network."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from plotly.offline import get_plotlyjs

from hpo_bench.report import foreign
from hpo_bench.report.parts import Code, Figure, Lead, Part, Section, Table
from hpo_bench.text import printable


def page(title: str, subtitle: str, chapters: Sequence[tuple[str, list[Section]]]) -> str:
    """Make the page.

    Args:
        title: Of the page.
        subtitle: A line under it.
        chapters: Heading (empty for the only one) and sections.
    """
    body = "\n".join(
        _chapter(number, heading, sections) for number, (heading, sections) in enumerate(chapters)
    )
    links = "".join(
        f'<a href="#{escape(anchor)}">{escape(title)}</a>' for anchor, title in _links(chapters)
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{_asset("page.css")}
</style>
</head>
<body>
<header>
<div><h1>{escape(title)}</h1><p>{escape(subtitle)}</p></div>
<button type="button" id="theme" title="Light or dark">Theme</button>
</header>
<nav aria-label="Sections">{links}</nav>
<noscript><p class="notice">Tables are below; the pictures need JavaScript.</p></noscript>
<main>
{body}
</main>
<script>{get_plotlyjs()}</script>
<script>
{_asset("page.js")}
</script>
</body>
</html>
"""


def _asset(name: str) -> str:
    return (files("hpo_bench.report") / "assets" / name).read_text(encoding="utf-8")


def _chapter(number: int, heading: str, sections: Sequence[Section]) -> str:
    title = f'<h2 class="chapter" id="{number}">{escape(heading)}</h2>' if heading else ""
    return title + "\n".join(_section(number, section) for section in sections)


def _links(chapters: Sequence[tuple[str, list[Section]]]) -> list[tuple[str, str]]:
    """List where to go: the chapters, or the sections of the only one."""
    first = [(_anchor(0, section), section.title) for section in chapters[0][1]]
    return [*first, *((str(n), heading) for n, (heading, _) in enumerate(chapters) if heading)]


def _anchor(number: int, section: Section) -> str:
    return f"{number}-{section.title.lower().replace(' ', '-')}"


def _section(number: int, section: Section) -> str:
    parts = "\n".join(_part(number, part) for part in section.parts)
    return (
        f'<section id="{escape(_anchor(number, section))}"><h2>{escape(section.title)}</h2>'
        f'<div class="parts">{parts}</div></section>'
    )


def _part(number: int, part: Part) -> str:
    if isinstance(part, str):
        kind = ' class="lead"' if isinstance(part, Lead) else ""
        return f"<p{kind}>{escape(part)}</p>"
    if isinstance(part, Code):
        text = html.escape(printable(part.text, None, lines=True))
        made = f'<pre><code class="{escape(part.language)}">{text}</code></pre>'
        return made if part.folded is None else _folded("code", part.folded, made)
    if isinstance(part, Table):
        return _table(part)
    return _figure(number, part)


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in table.headings)
    rows = "\n".join(_row(row) for row in table.rows)
    caption = f"<p class='caption'>{escape(table.caption)}</p>" if table.caption else ""
    made = (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{caption}"
    )
    classes = "table" + (" text" if table.is_text else "") + (" wide" if table.wide else "")
    if table.folded is None:
        return f'<div class="{classes}">{made}</div>'
    return _folded(classes, table.folded, made)


def _folded(classes: str, title: str, made: str) -> str:
    return f'<details class="{classes}"><summary>{escape(title)}</summary>{made}</details>'


def _row(row: Sequence[str]) -> str:
    first, *others = map(escape, row)
    return f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{c}</td>" for c in others) + "</tr>"


def escape(text: str) -> str:
    """Give a text for the page: it is seen, and does nothing."""
    return html.escape(printable(text))


def _short(value: Any) -> Any:
    """Drop digits that nobody can see; they are half of a page with many suites."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _short(inner) for key, inner in value.items()}
    return [_short(inner) for inner in value] if isinstance(value, list) else value


def _figure(number: int, figure: Figure) -> str:
    drawn = foreign.plotly({"data": figure.traces, "layout": figure.layout})
    spec = json.dumps(_short(drawn), allow_nan=False)
    # A name chosen by somebody else must not end the script that holds it.
    spec = spec.replace("<", "\\u003c")
    wide = " wide" if figure.wide else ""
    return (
        f'<figure class="picture{wide}"><h3>{escape(figure.title)}</h3>'
        f'<div class="plot" id="plot-{number}-{escape(figure.key)}" role="img" '
        f'aria-label="{escape(figure.caption)}" style="height:{figure.layout["height"]}px"></div>'
        f'<script type="application/json">{spec}</script>'
        f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
    )
