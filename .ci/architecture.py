"""Draw the layers of the import contracts in pyproject.toml.

Usage: python .ci/architecture.py > docs/architecture.svg
"""

import tomllib
from pathlib import Path
from xml.sax.saxutils import escape

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

WIDTH = 860
MARGIN = 20
BOX_HEIGHT, BOX_PADDING = 34, 14
CHARACTER = 8.2
"""Pixels of a character in the boxes' font, which has a fixed width."""
SIBLING_GAP, LAYER_GAP, TITLE_HEIGHT = 24, 26, 34
LEGEND = "Boxes that touch may import each other. Boxes of one layer that do not touch may not."


def layers_of(contract):
    """Give the layers of a contract, highest first.

    Returns:
        For each layer its groups, for each group its modules. The modules of a group may import
        each other (":" in the contract); those of different groups may not ("|").
    """
    return [
        [[name.strip() for name in group.split(":")] for group in layer.split("|")]
        for layer in contract["layers"]
    ]


def picture(pyproject=PYPROJECT):
    """Give the SVG of all contracts that name layers."""
    tool = tomllib.loads(pyproject.read_text())["tool"]
    contracts = [one for one in tool["importlinter"]["contracts"] if one["type"] == "layers"]
    parts, y = [], MARGIN
    for contract in contracts:
        found, y = _stack(contract, y)
        parts += found
    parts.append(_text(WIDTH / 2, y, LEGEND, "legend"))
    return "\n".join([_head(y + MARGIN), *parts, "</svg>", ""])


def _stack(contract, y):
    """Draw one contract below y; give its parts and the y below them."""
    parts = [_text(WIDTH / 2, y + 14, contract["name"], "title")]
    y += TITLE_HEIGHT
    layers = layers_of(contract)
    for i, layer in enumerate(layers):
        parts += _row(layer, y)
        y += BOX_HEIGHT
        if i < len(layers) - 1:
            parts.append(_arrow(y))
        y += LAYER_GAP
    return parts, y + 8


def _row(layer, y):
    widths = [[_width(name) for name in group] for group in layer]
    x = (WIDTH - sum(map(sum, widths)) - SIBLING_GAP * (len(layer) - 1)) / 2
    for group, group_widths in zip(layer, widths, strict=True):
        for name, width in zip(group, group_widths, strict=True):
            yield f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BOX_HEIGHT}" rx="3"/>'
            yield _text(x + width / 2, y + BOX_HEIGHT / 2 + 5, _short(name), "box")
            x += width
        x += SIBLING_GAP


def _short(name):
    return name.split(".", 1)[1]


def _width(name):
    return CHARACTER * len(_short(name)) + 2 * BOX_PADDING


def _arrow(y):
    x = WIDTH / 2
    return f'<path d="M{x} {y + 3}v16m-4-5l4 5l4-5"/>'


def _text(x, y, text, kind):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'


def _head(height):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        'aria-label="The layers of the packages hpo_bench and samplers">\n'
        "<style>"
        "text{text-anchor:middle;fill:#1b2733;font-family:sans-serif;font-size:13px}"
        ".title{font-size:15px;font-weight:bold}"
        ".box{font-family:monospace}"
        "rect{fill:#e3edf7;stroke:#4a6f94}"
        "path{fill:none;stroke:#4a6f94}"
        ".paper{fill:#fff;stroke:none}"
        "</style>\n"
        '<rect class="paper" width="100%" height="100%"/>'
    )


if __name__ == "__main__":
    print(picture(), end="")
