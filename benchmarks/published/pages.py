"""Generated blocks of pages, each between two comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "docs" / "results.md",)

_BLOCK = re.compile(
    r"(?P<head><!-- made: (?P<name>[^\n]+) -->\n)(?P<inner>.*?)(?P<foot><!-- end -->)", re.DOTALL
)


def shown(page: Path) -> dict[str, str]:
    """Give the generated blocks of a page by name."""
    return {found["name"]: found["inner"].strip() for found in _BLOCK.finditer(page.read_text())}


def write_blocks(made: Mapping[str, str]) -> Iterator[Path]:
    """Write blocks into the pages that contain them; give the changed pages."""

    def fill(found: re.Match[str]) -> str:
        inner = made.get(found["name"], found["inner"].strip())
        return f"{found['head']}\n{inner}\n\n{found['foot']}"

    for page in PAGES:
        if made.keys() & shown(page).keys():
            page.write_text(_BLOCK.sub(fill, page.read_text()))
            yield page
