"""Write the results of the published suites into the pages: tables and figures.

python -m benchmarks.published [SUITE ...]
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import optuna
import typer

from hpo_bench.errors import HpoBenchError

from .pages import write_blocks
from .results import REPLAYED, TRAINED, blocks, found_in, keep


def main(
    suites: Annotated[list[str] | None, typer.Argument(help="By default all of them.")] = None,
    trained: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help=f"A SQLite file in which {' and '.join(TRAINED)} were trained anew: it is kept, "
            "compressed, instead of the one before.",
        ),
    ] = None,
) -> None:
    """Write the tables and figures of README and documentation: some minutes on two cores.

    Suites that replay recorded trainings run again. The others are read from the storage with their
    trainings, which took hours.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if trained is not None:
        try:
            keep(trained)
        except HpoBenchError as error:
            raise typer.BadParameter(str(error), param_hint="--trained") from None
    with TemporaryDirectory() as directory:
        for suite in suites or (*TRAINED, *REPLAYED):
            for page in write_blocks(blocks(suite, found_in(suite, Path(directory)))):
                print(f"{suite}: {page}")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        typer.run(main)
