"""Keep finished runs in a file, one per line, so that they need not be repeated."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import Progress


def append(
    path: Path, run: Callable[..., Any], todo: Sequence[tuple[Any, ...]], workers: int
) -> None:
    """Call `run` on each tuple of arguments, and append the dataclass that it returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        Progress() as progress,
        path.open("a") as file,
        ProcessPoolExecutor(workers) as pool,
    ):
        task = progress.add_task("runs", total=len(todo))
        for future in as_completed([pool.submit(run, *arguments) for arguments in todo]):
            file.write(json.dumps(asdict(future.result())) + "\n")
            file.flush()
            progress.advance(task)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Read the runs of a file; skip a line that a kill has cut short."""
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue
