"""Draw the landscape: widths, rates, learning curves, noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from .runs import C1, C3, DEFAULT, LENGTHS, Run
from .summary import EPOCHS, crossing, curves, noise


def draw(runs: Sequence[Run], path: Path) -> None:
    """Draw the four panels into a file."""
    widths = curves(runs, ("c1", "c3"), DEFAULT)
    figure, panels = plt.subplots(2, 2, figsize=(10, 8), layout="constrained")
    _draw_map(panels[0, 0], widths)
    _draw_rates(panels[0, 1], curves(runs, ("learning_rate",), DEFAULT))
    _draw_curves(panels[1, 0], widths)
    _draw_noise(panels[1, 1], *noise(runs))
    figure.savefig(path)
    plt.close(figure)


def _draw_map(panel, widths) -> None:
    means = np.array([[widths[c1, c3][:, -1].mean() for c3 in C3] for c1 in C1])
    panel.imshow(means, origin="lower", cmap="viridis", aspect="auto")
    for i, row in enumerate(means):
        for j, value in enumerate(row):
            dark = value < (means.min() + means.max()) / 2
            panel.text(j, i, f"{value:.1f}", ha="center", va="center", color="w" if dark else "k")
    panel.set(title=f"Validation accuracy (%) after {EPOCHS} epochs", xlabel="c3", ylabel="c1")
    panel.set_xticks(range(len(C3)), C3)
    panel.set_yticks(range(len(C1)), C1)


def _draw_rates(panel, rates) -> None:
    x = [rate for (rate,) in rates]
    for n in LENGTHS:
        values = np.array([curve[:, n - 1] for curve in rates.values()])
        panel.errorbar(
            x, values.mean(axis=1), values.std(axis=1, ddof=1), label=f"{n} epochs", capsize=2
        )
    panel.set(xscale="log", title="Learning rate", xlabel="learning rate", ylabel="accuracy (%)")
    panel.legend()


def _draw_curves(panel, widths) -> None:
    epochs = np.arange(1, EPOCHS + 1)
    shown = list(dict.fromkeys(key for pair in crossing(widths)[:3] for key in pair))
    for c1, c3 in shown:
        values = widths[c1, c3]
        (line,) = panel.plot(epochs, values.mean(axis=0), label=f"c1 = {c1}, c3 = {c3}")
        low_high = (values.min(axis=0), values.max(axis=0))
        panel.fill_between(epochs, *low_high, color=line.get_color(), alpha=0.2, lw=0)
    panel.set(title="Curves that cross", xlabel="epochs", ylabel="accuracy (%)")
    panel.legend()


def _draw_noise(panel, seeds, drawn) -> None:
    for place, values in enumerate((drawn, seeds)):
        jitter = np.linspace(-0.15, 0.15, len(values))
        for shift, n in zip((-0.25, 0, 0.25), LENGTHS, strict=True):
            panel.plot(
                place + shift + jitter / 3, values[:, n - 1], ".", color=f"C{LENGTHS.index(n)}"
            )
    panel.set_xticks([0, 1], [f"{len(drawn)} configurations", f"{len(seeds)} seeds of one"])
    panel.set(title="Signal and noise after 1, 3, 9 epochs", ylabel="accuracy (%)")
