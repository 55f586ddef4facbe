"""Draw the incumbents over the spent epochs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .summary import Comparison

COLUMNS = 4


def draw(comparisons: Sequence[Comparison], path: Path) -> None:
    """Draw a panel per problem: median regrets, and a band between the quartiles."""
    from matplotlib.figure import Figure

    n_rows = -(-len(comparisons) // COLUMNS)
    figure = Figure(figsize=(4 * COLUMNS, 3.6 * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, COLUMNS, squeeze=False).flat
    for panel, comparison in zip(panels, comparisons, strict=False):
        _draw_problem(panel, comparison)
    for panel in list(panels)[len(comparisons) :]:
        panel.set_axis_off()
    figure.supxlabel("epochs spent, in full trainings")
    figure.supylabel("normalised regret of the incumbent")
    figure.axes[0].legend(fontsize=7)
    figure.savefig(path)


def _draw_problem(panel, comparison: Comparison) -> None:
    budgets = np.geomspace(1 / comparison.problem.max_fidelity, comparison.budget, 40)
    for method in comparison.runs:
        low, median, high = np.percentile(comparison.regrets(method, budgets), [25, 50, 75], axis=0)
        (line,) = panel.plot(budgets, median, label=method, lw=1.4)
        panel.fill_between(budgets, low, high, color=line.get_color(), alpha=0.08)
    target = (comparison.target() - comparison.problem.optimum) / comparison.problem.scale
    panel.axhline(target, color="grey", lw=0.8, ls=":")
    panel.axvline(comparison.budget / 4, color="grey", lw=0.8, ls=":")
    panel.set(xscale="log", yscale="log", title=comparison.name)
    panel.grid(alpha=0.3)
