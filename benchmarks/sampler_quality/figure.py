"""The share of targets reached over the evaluations, drawn."""

from __future__ import annotations

from pathlib import Path

from .summary import Comparison


def draw(comparison: Comparison, path: Path) -> None:
    """Draw one panel per group of problems, with the bootstrap intervals as bands."""
    from matplotlib.figure import Figure

    groups = comparison.groups()
    figure = Figure(figsize=(4.2 * len(groups), 4), layout="constrained")
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for panel, group in zip(panels, groups, strict=True):
        part = comparison.only(group)
        reached = part.reached()
        means, (low, high) = part.means(reached), part.interval(reached)
        for m, method in enumerate(part.methods):
            style = "-" if method.startswith("pso") else "--"
            panel.plot(part.budgets, means[m], style, label=method, color=f"C{m % 10}", lw=1.4)
            panel.fill_between(part.budgets, low[m], high[m], color=f"C{m % 10}", alpha=0.08)
        panel.set(xscale="log", xlabel="evaluations", title=f"{part.suite}, {group}")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("share of targets reached")
    panels[-1].legend(loc="upper left", fontsize=7)
    figure.savefig(path)
