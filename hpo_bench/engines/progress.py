"""What a person sees while runs go on."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from hpo_bench.numbers import number
from hpo_bench.running.runs import Run, Status
from hpo_bench.text import printable


class ProgressDisplay:
    """A line for each run that ends; on a terminal also bars: all runs, and each under way.

    Args:
        runs: All of them.
        console: Where it is shown.
        n_done: How many of them were finished before, of which nothing more is told.
    """

    def __init__(self, runs: Sequence[Run], console: Console, n_done: int = 0) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[told]}", markup=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._all = self._progress.add_task("all runs", total=len(runs), told="")
        self._tasks: dict[str, TaskID] = {}
        self._shares = {run.study_name: 0.0 for run in runs}
        self._n_ended = n_done
        self._n_done = n_done

    def __enter__(self) -> ProgressDisplay:
        self._progress.start()
        if self._n_done:
            self._progress.advance(self._all, self._n_done)
            told = f"{self._n_done} of {len(self._shares)} runs were finished before"
            self._progress.console.print(told, highlight=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def status(self, run: Run, status: Status) -> None:
        """Show how far a run has come."""
        told = f"best {number(status.incumbent)}, {status.evaluations} evaluations"
        share = 1.0 if status.finished else status.share
        self._progress.advance(self._all, share - self._shares[run.study_name])
        self._shares[run.study_name] = share
        if status.finished:
            self._end(run, f"{told} ({status.finished})")
            return
        if run.study_name not in self._tasks:
            title = f"{run.method} seed {run.seed}"
            task = self._progress.add_task(printable(title), total=1.0, told="")
            self._tasks[run.study_name] = task
        told = printable(told)
        self._progress.update(self._tasks[run.study_name], completed=status.share, told=told)

    def notice(self, text: str) -> None:
        """Print a line that stays."""
        self._progress.console.print(text, style="yellow")

    def _end(self, run: Run, told: str) -> None:
        self._n_ended += 1
        if run.study_name in self._tasks:
            self._progress.remove_task(self._tasks.pop(run.study_name))
        done = f"[{self._n_ended}/{len(self._shares)}]"
        self._progress.console.print(f"{done} {run.study_name}: {told}")
