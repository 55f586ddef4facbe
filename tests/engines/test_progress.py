"""What is shown while runs go on."""

import io

import numpy as np
import pytest
from rich.console import Console

from hpo_bench.engines.progress import ProgressDisplay, TimeLeft, in_words
from hpo_bench.running.runs import Status, runs_of


@pytest.mark.parametrize("seed", range(5))
def test_the_time_left_neither_swings_nor_counts_what_is_loaded_once(seed):
    now = 0.0
    left = TimeLeft(clock=lambda: now)
    costs = np.random.default_rng(seed).lognormal(0, 0.7, size=200)  # seconds of each evaluation
    now, ends = 60.0, []  # libraries and data are loaded
    for done, cost in enumerate(costs, start=1):
        now += cost
        left.report(done / len(costs))
        if (seconds := left.seconds()) is not None:
            ends.append(now + seconds)
    assert len(ends) > 180
    assert max(ends) < 1.6 * min(ends)
    assert ends[-1] == now
    now += 10
    assert left.seconds() == 0.0


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "about 5 s"), (43, "about 45 s"), (200, "about 3 min"), (7000, "about 1.9 h")],
)
def test_a_time_left_is_told_no_more_exactly_than_it_is_known(seconds, told):
    assert in_words(seconds) == f"{told} left"


def test_all_runs_advance_by_the_work_that_is_done(toy_suite, tmp_path):
    suite = toy_suite(methods={"random": {}, "pso": {}}, seeds=[0, 1], budget={"epochs": 12})
    runs = runs_of(suite, tmp_path)
    shown = io.StringIO()
    console = Console(file=shown, width=100, force_terminal=True, highlight=False)
    with ProgressDisplay(runs, console, done={runs[0].study_name}) as display:
        for run in runs[1:-1]:
            display.status(run, Status(1.0, 1, 0.5, "epochs spent"))
        display.status(runs[-1], Status(0.5, 2, 0.5))
        told = display._progress.tasks[0]
    assert "1 of 4 runs were finished before" in shown.getvalue()
    assert "1 evaluation (epochs spent)" in shown.getvalue()
    assert told.completed == pytest.approx(3.5 / 4)
