"""What a person sees in a notebook while runs go on: one bar, and what they should know."""

from __future__ import annotations

import html
import time
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any

from rich.console import Console

from hpo_bench.engines.progress import TimeLeft, in_words, weights
from hpo_bench.numbers import number
from hpo_bench.running.runs import Run, Status
from hpo_bench.text import printable

SECONDS = 0.2
"""Between two pictures of the bar: every one is a message to the browser."""

MAX_NOTICES = 10
"""The last ones are shown."""


class NotebookDisplay:
    """A bar that is drawn again in its place, in the output of a cell.

    Args:
        runs: All of them.
        console: Says whether anything is shown (`quiet`).
        done: Names of the studies of those that were finished before.
    """

    def __init__(
        self, runs: Sequence[Run], console: Console, done: Collection[str] = frozenset()
    ) -> None:
        self._weights = weights(runs)
        self._shares = {run.study_name: float(run.study_name in done) for run in runs}
        self._left = TimeLeft()
        self._n_ended = len(done)
        self._is_quiet = console.quiet
        self._notices: deque[str] = deque(maxlen=MAX_NOTICES)
        self._under_way = ""
        self._began = time.monotonic()
        self._drawn_at = 0.0
        self._handle: Any = None

    def __enter__(self) -> NotebookDisplay:
        self._draw()
        return self

    def __exit__(self, *_: object) -> None:
        self._under_way = ""
        self._draw()

    def status(self, run: Run, status: Status) -> None:
        """Show how far a run has come."""
        self._shares[run.study_name] = 1.0 if status.finished else status.share
        self._n_ended += status.finished is not None
        self._left.report(self._share())
        self._under_way = f"{run.method} seed {run.seed}: best {number(status.incumbent)}"
        if time.monotonic() - self._drawn_at > SECONDS:
            self._draw()

    def notice(self, text: str) -> None:
        """Show a line that stays."""
        self._notices.append(text)
        self._draw()

    def _draw(self) -> None:
        if self._is_quiet:
            return
        from IPython import display  # there is one: this is a notebook

        show: Any = display
        self._drawn_at = time.monotonic()
        picture = show.HTML(self._as_html())
        if self._handle is None:
            self._handle = show.display(picture, display_id=True)
        else:
            self._handle.update(picture)

    def _share(self) -> float:
        return sum(self._weights[name] * share for name, share in self._shares.items())

    def _as_html(self) -> str:
        told = [f"{self._n_ended} of {len(self._shares)} runs", *self._times()]
        told += [self._under_way] if self._under_way else []
        lines = "".join(f"<div>{_escaped(notice)}</div>" for notice in self._notices)
        return (
            f'<progress value="{self._share():.3f}" max="1" style="vertical-align: middle">'
            f"</progress> {_escaped(', '.join(told))}{lines}"
        )

    def _times(self) -> list[str]:
        spent, left = f"{time.monotonic() - self._began:.0f} s", self._left.seconds()
        if left is None or self._n_ended >= len(self._shares):
            return [spent]
        return [spent, in_words(left)]


def _escaped(text: str) -> str:
    return html.escape(printable(text))
