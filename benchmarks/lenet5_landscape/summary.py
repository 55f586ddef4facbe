"""Summarise the trainings in tables: widths, rates, noise, crossing curves, schedules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from ..markdown import rows
from .runs import C1, C3, DEFAULT, LENGTHS, RATES, SEEDS, WIDE, Run, tuned_rate

Curves = dict[tuple[Any, ...], NDArray[np.float64]]
"""Configuration -> validation accuracies in percent, (seeds, epochs)."""
EPOCHS = 9


def curves(runs: Sequence[Run], names: Sequence[str], fixed: dict[str, Any]) -> Curves:
    """Collect the curves of the landscape by some hyperparameters; the others are fixed.

    Args:
        runs: All trainings.
        names: Hyperparameters that identify a curve.
        fixed: Values of all other hyperparameters.
    """
    size = min(run.train_size for run in runs)
    found: dict[tuple[Any, ...], list[list[float]]] = defaultdict(list)
    for run in runs:
        others = {k: v for k, v in run.configuration.items() if k not in names}
        mine = run.schedule == "ours" and run.length == EPOCHS and run.train_size == size
        if mine and run.seed in SEEDS and others == {k: fixed[k] for k in others}:
            found[tuple(run.configuration[name] for name in names)].append(run.validation)
    return {key: 100 * np.array(values) for key, values in sorted(found.items())}


def noise(runs: Sequence[Run]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Collect the curves of one configuration with ten seeds, and of 24 with one seed."""
    size = min(run.train_size for run in runs)
    ours = [r for r in runs if (r.schedule, r.length, r.train_size) == ("ours", EPOCHS, size)]
    seeds = [run.validation for run in ours if run.configuration == DEFAULT]
    drawn = [r for r in ours if r.seed == 0 and r.configuration["c5"] != DEFAULT["c5"]]
    return 100 * np.array(seeds), 100 * np.array([run.validation for run in drawn])


def crossing(widths: Curves) -> list[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """List the pairs whose mean curves cross: a behind b after one epoch, ahead after nine.

    Both differences exceed twice their standard error over the seeds.
    """
    found = []
    for a, b in combinations(widths, 2):
        for one, other in ((a, b), (b, a)):
            gap = widths[one] - widths[other]
            error = gap.std(axis=0, ddof=1) / len(gap) ** 0.5
            mean = gap.mean(axis=0)
            if mean[0] < -2 * error[0] and mean[-1] > 2 * error[-1]:
                found.append((one, other))
    return found


def markdown(runs: Sequence[Run]) -> str:
    """Write all tables."""
    size = min(run.train_size for run in runs)
    widths = curves(runs, ("c1", "c3"), DEFAULT)
    return "\n".join(
        [
            f"Validation accuracy in percent, {size:,} images to train on, mean over "
            f"{len(SEEDS)} seeds ± standard deviation.",
            "",
            *_map(widths, 1),
            *_map(widths, EPOCHS),
            *_rates(curves(runs, ("learning_rate",), DEFAULT)),
            *_noise(*noise(runs)),
            *_crossing(widths),
            *_schedules(runs),
        ]
    )


def _map(widths: Curves, epoch: int) -> list[str]:
    body = [[f"c1 = {c1}", *(_shown(widths[c1, c3][:, epoch - 1]) for c3 in C3)] for c1 in C1]
    title = f"**c1 and c3, after {epoch} epoch{'s' if epoch > 1 else ''}**"
    return [title, "", *rows(["", *(f"c3 = {c3}" for c3 in C3)], body), ""]


def _rates(rates: Curves) -> list[str]:
    body = [[f"{rate:g}", *(_shown(rates[rate,][:, n - 1]) for n in LENGTHS)] for rate in RATES]
    header = ["learning rate", *(f"after {n}" for n in LENGTHS)]
    return ["**Learning rate**", "", *rows(header, body), ""]


def _noise(seeds: NDArray[np.float64], drawn: NDArray[np.float64]) -> list[str]:
    body = []
    for n in LENGTHS:
        spread, luck = (part[:, n - 1].std(ddof=1) for part in (drawn, seeds))
        rank = spearmanr(drawn[:, n - 1], drawn[:, -1]).statistic
        body.append([str(n), f"{spread:.2f}", f"{luck:.2f}", f"{spread / luck:.1f}", f"{rank:.2f}"])
    header = ["epochs", "SD of configurations", "SD of seeds", "ratio", "rank correlation with 9"]
    title = f"**Signal and noise: {len(drawn)} configurations drawn from `widths`, one seed; "
    return [f"{title}the default with {len(seeds)} seeds**", "", *rows(header, body), ""]


def _crossing(widths: Curves) -> list[str]:
    pairs = crossing(widths)
    n_pairs = len(widths) * (len(widths) - 1) // 2
    body = []
    for one, other in pairs[:6]:
        values = [f"{_shown(widths[key][:, n - 1])}" for n in (1, EPOCHS) for key in (one, other)]
        body.append([*(f"c1 = {c1}, c3 = {c3}" for c1, c3 in (one, other)), *values])
    header = ["late winner", "early winner", "1: late", "1: early", "9: late", "9: early"]
    title = (
        f"**Curves that cross: {len(pairs)} of {n_pairs} pairs, both gaps above 2 standard errors"
    )
    return [f"{title}; the first {len(body)}**", "", *rows(header, body), ""]


def _schedules(runs: Sequence[Run]) -> list[str]:
    size = max(run.train_size for run in runs)
    body = []
    for name, network in (("D", DEFAULT), ("W", WIDE)):
        mine = [
            run
            for run in runs
            if run.schedule == "ours"
            and run.configuration == network
            and run.train_size == size
            and run.seed in SEEDS
        ]
        for length in LENGTHS:
            rate = tuned_rate(runs, network, size, length)
            theirs = [
                run
                for run in runs
                if run.schedule == "one-cycle"
                and run.configuration == {**network, "learning_rate": rate}
                and (run.train_size, run.length) == (size, length)
                and run.seed in SEEDS
            ]
            ours = 100 * np.array([run.validation[length - 1] for run in mine])
            other = 100 * np.array([run.validation[-1] for run in theirs])
            gap = f"{ours.mean() - other.mean():+.1f}"
            body.append([name, str(length), _shown(ours), _shown(other), f"{rate:g}", gap])
    header = ["network", "epochs", "constant", "one-cycle", "tuned rate of one-cycle"]
    header += ["constant minus one-cycle"]
    title = f"**The constant schedule and one-cycle schedules; {size:,} training images**"
    return [title, "", *rows(header, body), ""]


def _shown(values: NDArray[np.float64]) -> str:
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}"
