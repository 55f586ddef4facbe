"""What a person sees while runs go on."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from hpo_bench.runs import Run, Status


class ProgressDisplay:
    """A bar per run on a terminal; elsewhere one line for each run that ends."""

    def __init__(self, runs: Sequence[Run], console: Console) -> None:
        self._console = console
        self._live = console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not self._live,
        )
        self._tasks: dict[str, TaskID] = {
            run.study_name: self._progress.add_task(
                f"{run.method} seed {run.seed}", total=1.0, told="waiting", start=False
            )
            for run in runs
        }
        self._ended: set[str] = set()

    def __enter__(self) -> ProgressDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def status(self, run: Run, status: Status) -> None:
        """Show how far a run has come."""
        task = self._tasks[run.study_name]
        self._progress.start_task(task)
        best = "–" if status.incumbent is None else f"{status.incumbent:.4f}"
        told = f"best {best}, {status.evaluations} evaluations"
        share = 1.0 if status.finished else status.share
        self._progress.update(task, completed=share, told=told)
        if status.finished and run.study_name not in self._ended:
            self._ended.add(run.study_name)
            if not self._live:
                done = f"[{len(self._ended)}/{len(self._tasks)}]"
                self._console.print(f"{done} {run.study_name}: {told} ({status.finished})")

    def notice(self, text: str) -> None:
        """Print a line that stays."""
        self._progress.console.print(text, style="yellow", highlight=False, markup=False)
