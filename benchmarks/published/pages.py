"""Blocks of pages that are made, not written: each stands between two comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")

_BLOCK = re.compile(
    r"(?P<head><!-- made: (?P<name>[^\n]+) -->\n)(?P<inner>.*?)(?P<foot><!-- end -->)", re.DOTALL
)


def shown(page: Path) -> dict[str, str]:
    """Give the blocks of a page by their names."""
    return {found["name"]: found["inner"].strip() for found in _BLOCK.finditer(page.read_text())}


def write_blocks(made: Mapping[str, str]) -> Iterator[Path]:
    """Put blocks in their places, on every page that has one; give the pages that were written."""

    def fill(found: re.Match[str]) -> str:
        inner = made.get(found["name"], found["inner"].strip())
        return f"{found['head']}\n{inner}\n\n{found['foot']}"

    for page in PAGES:
        if made.keys() & shown(page).keys():
            page.write_text(_BLOCK.sub(fill, page.read_text()))
            yield page
