"""Blocks of pages that are made, not written: each stands between two comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")

_BLOCK = re.compile(r"(<!-- made: (?P<name>[^\n]+) -->\n).*?(\n<!-- end -->)", re.DOTALL)


def shown(page: Path) -> dict[str, str]:
    """Give the blocks of a page by their names."""
    return {found["name"]: _inner(found) for found in _BLOCK.finditer(page.read_text())}


def write_blocks(made: Mapping[str, str]) -> Iterator[Path]:
    """Put blocks in their places, on every page that has one; give the pages that were written."""
    for page in PAGES:
        if made.keys() & shown(page).keys():
            page.write_text(_BLOCK.sub(lambda found: _filled(found, made), page.read_text()))
            yield page


def _filled(found: re.Match[str], made: Mapping[str, str]) -> str:
    inner = made.get(found["name"], _inner(found))
    return f"{found[1]}\n{inner}\n{found[3]}"


def _inner(found: re.Match[str]) -> str:
    return found[0][len(found[1]) : -len(found[3])].strip("\n")
