"""The progress display: bars, and one line for each run that ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from hpo_bench.numbers import number
from hpo_bench.running.runs import Run, Status
from hpo_bench.terminal import LOADING_SECONDS
from hpo_bench.text import printable

MIN_SIGNS = 10
"""Fewest reports for an estimate: with fewer, a single slow evaluation dominates it."""

_USUAL_EVALUATIONS = 30
"""Evaluations that are assumed for a run whose budget is in seconds, to weight it among others."""


class TimeLeft:
    """Estimates the time left from the mean speed since the first report.

    The time before the first report does not count, because workers load libraries and data only
    once. The mean speed is steadier than the latest speed, which depends on single evaluations.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._signs = 0
        self._first = self._last = (0.0, 0.0)  # time in seconds, and the share done at this time

    def report(self, share: float) -> None:
        """Enter the share of all work that is done, from 0 to 1."""
        self._last = (self._clock(), share)
        if self._signs == 0:
            self._first = self._last
        self._signs += 1

    def seconds(self) -> float | None:
        """Estimate the seconds until all work is done; None before `MIN_SIGNS` reports."""
        passed, done = (last - first for last, first in zip(self._last, self._first, strict=True))
        if self._signs < MIN_SIGNS or passed <= 0 or done <= 0:
            return None
        at_last = passed * (1 - self._last[1]) / done
        return max(0.0, at_last - (self._clock() - self._last[0]))


def in_words(seconds: float) -> str:
    """Return a time left as text, rounded as an estimate deserves: `about 40 s left`."""
    if seconds < 100:
        return f"about {max(5, 5 * round(seconds / 5))} s left"
    if seconds < 100 * 60:
        return f"about {seconds / 60:.0f} min left"
    return f"about {seconds / 3600:.1f} h left"


class _TimeLeftColumn(ProgressColumn):
    """The time left of all runs together; a single run has none, because runs share workers."""

    def __init__(self, left: TimeLeft) -> None:
        super().__init__()
        self._left = left

    def render(self, task: Task) -> Text:
        seconds = self._left.seconds() if task.fields.get("is_all") else None
        return Text("" if seconds is None or task.finished else in_words(seconds), style="cyan")


class ProgressDisplay:
    """Prints a line for each run that ends; on a terminal it also shows bars.

    One bar is for all runs together, and one for each run in progress.

    Args:
        runs: All runs, including finished ones.
        console: The console to print to.
        done: Study names of the runs that were finished before; they get no line.
    """

    def __init__(
        self, runs: Sequence[Run], console: Console, done: Collection[str] = frozenset()
    ) -> None:
        self._left = TimeLeft()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            _TimeLeftColumn(self._left),
            TextColumn("{task.fields[told]}", markup=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._weights = weights(runs)
        self._all = self._progress.add_task("all runs", total=1.0, told="", is_all=True)
        self._tasks: dict[str, TaskID] = {}
        self._shares = {run.study_name: float(run.study_name in done) for run in runs}
        self._share = sum(self._weights[name] for name in done)
        self._n_ended = self._n_done = len(done)
        first = "waiting for the first evaluation: the workers load their libraries and data"
        self._waiting = threading.Timer(LOADING_SECONDS, self.notice, [first])
        self._waiting.daemon = True

    def __enter__(self) -> ProgressDisplay:
        self._progress.start()
        self._waiting.start()
        if self._n_done:
            self._progress.update(self._all, completed=self._share)
            told = f"{self._n_done} of {len(self._shares)} runs were finished before"
            self._progress.console.print(told, highlight=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.cancel()
        self._progress.stop()

    def status(self, run: Run, status: Status) -> None:
        """Show the new status of a run."""
        self._waiting.cancel()
        count = status.evaluations
        evaluations = "1 evaluation" if count == 1 else f"{count} evaluations"
        told = f"best {number(status.incumbent)}, {evaluations}"
        self._advance(run, 1.0 if status.finished else status.share)
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
        """Print a message above the bars."""
        self._progress.console.print(text, style="yellow")

    def _advance(self, run: Run, share: float) -> None:
        more = share - self._shares[run.study_name]
        self._shares[run.study_name] = share
        self._share = min(1.0, self._share + self._weights[run.study_name] * more)
        self._left.report(self._share)
        self._progress.update(self._all, completed=self._share)

    def _end(self, run: Run, told: str) -> None:
        self._n_ended += 1
        if run.study_name in self._tasks:
            self._progress.remove_task(self._tasks.pop(run.study_name))
        done = f"[{self._n_ended}/{len(self._shares)}]"
        self._progress.console.print(f"{done} {run.study_name}: {told}")


def weights(runs: Sequence[Run]) -> dict[str, float]:
    """Return the share of each run in the whole work: study name -> share; the sum is 1."""
    full = {
        suite.name: suite.build_objective(suite.seeds[0]).max_fidelity
        for suite in {run.suite.name: run.suite for run in runs}.values()
    }
    work = {
        run.study_name: run.budget.configurations(full[run.suite.name]) or _USUAL_EVALUATIONS
        for run in runs
    }
    total = sum(work.values())
    return {name: part / total for name, part in work.items()}
