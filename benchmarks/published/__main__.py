"""Run the suites that replay recorded trainings, and write what they find into the pages.

python -m benchmarks.published [SUITE ...]
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from .pages import write_blocks
from .results import SUITES, blocks, replay


def main(
    suites: Annotated[list[str] | None, typer.Argument(help="By default all of them.")] = None,
) -> None:
    """Write tables and pictures of README and documentation: some minutes on two cores."""
    with TemporaryDirectory() as directory:
        for suite in suites or SUITES:
            for page in write_blocks(blocks(suite, replay(suite, Path(directory)))):
                print(f"{suite}: {page}")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        typer.run(main)
