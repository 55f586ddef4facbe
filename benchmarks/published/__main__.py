"""Write the published results into README and documentation: tables and pictures.

Trainings of networks take hours: their storage is kept beside this file, compressed. What replays
recorded trainings is run again here, in minutes.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from .pages import write_blocks
from .results import KEPT, REPLAYED, blocks, keep, kept_storage, replay

app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.command()
def write(
    suites: Annotated[list[str] | None, typer.Argument(help="By default all of them.")] = None,
) -> None:
    """Write what suites have found into the pages that show it."""
    chosen = suites or [*KEPT, *REPLAYED]
    with TemporaryDirectory() as directory:
        kept = kept_storage(Path(directory))
        for suite in chosen:
            storage = kept if suite in KEPT else replay(suite, Path(directory))
            for page in write_blocks(blocks(suite, storage)):
                print(f"{suite}: {page}")


@app.command("keep")
def keep_storage(
    storage: Annotated[Path, typer.Argument(help="A SQLite file that runs were recorded in.")],
) -> None:
    """Keep a storage, compressed, as that of the published results."""
    print(keep(storage))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        app()
