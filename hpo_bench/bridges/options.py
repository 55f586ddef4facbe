"""What a user may set about BOHB, checked before anything runs; needs no HpBandSter."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hpo_bench.errors import InputError


@dataclass(frozen=True)
class ModelOptions:
    """The options of BOHB's model by HpBandSter's names; `bohb` says what they mean.

    HpBandSter itself corrects a wrong `min_points_in_model` and takes anything for the others.
    """

    min_points_in_model: int | None
    top_n_percent: int
    num_samples: int
    random_fraction: float
    bandwidth_factor: float
    min_bandwidth: float

    def check(self, n_dimensions: int) -> None:
        """Raise InputError for what cannot be used with that many hyperparameters to search."""
        if self.min_points_in_model is not None:
            whole("min_points_in_model", self.min_points_in_model, n_dimensions + 1)
        whole("top_n_percent", self.top_n_percent, 1, 99)
        whole("num_samples", self.num_samples, 1)
        number("random_fraction", self.random_fraction, 0, 1)
        number("bandwidth_factor", self.bandwidth_factor, 0, beyond=True)
        number("min_bandwidth", self.min_bandwidth, 0, 1, beyond=True)


def ladder(
    min_epochs: int | None, max_epochs: int | None, eta: int, max_fidelity: int
) -> list[int]:
    """Give the budgets, from the smallest to the largest, each `eta` times the one before.

    Raises:
        InputError: A number out of range, or budgets that do not lead from one end to the other;
            it names the nearest largest budget that does.
    """
    whole("eta", eta, 2)
    top = max_fidelity if max_epochs is None else max_epochs
    whole("max_epochs", top, 1, max_fidelity)
    if min_epochs is not None:
        whole("min_epochs", min_epochs, 1, top)
    bottom = _lowest(top, eta) if min_epochs is None else min_epochs
    if min_epochs is None and bottom == top:
        bottom = 1
    rungs = _rungs(bottom, top, eta)
    if rungs[-1] == top:
        return rungs
    if rungs[-1] * eta <= max_fidelity and rungs[-1] * eta * rungs[-1] < top**2:
        rungs.append(rungs[-1] * eta)
    nearest = f"max_epochs = {rungs[-1]}: {', '.join(map(str, rungs))}"
    raise InputError(
        "max_epochs", top, f"no budgets from {bottom} by eta = {eta} reach it; nearest is {nearest}"
    )


def _lowest(top: int, eta: int) -> int:
    while top % eta == 0:
        top //= eta
    return top


def _rungs(bottom: int, top: int, eta: int) -> list[int]:
    rungs = [bottom]
    while rungs[-1] * eta <= top:
        rungs.append(rungs[-1] * eta)
    return rungs


def whole(field: str, value: object, low: int, high: int | None = None) -> None:
    """Check a whole number from `low` to `high`."""
    limits = f"{low} or more" if high is None else f"from {low} to {high}"
    if not isinstance(value, int) or isinstance(value, bool) or not _inside(value, low, high):
        raise InputError(field, value, f"expected a whole number, {limits}")


def number(
    field: str, value: object, low: float, high: float | None = None, *, beyond: bool = False
) -> None:
    """Check a number from `low` (or only beyond it) to `high`."""
    limits = f"above {low}" if beyond else f"{low} or more"
    if high is not None:
        limits += f", at most {high}"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not _inside(value, low, high) or (beyond and value == low):  # type: ignore[arg-type]
        raise InputError(field, value, f"expected a number {limits}")


def _inside(value: float, low: float, high: float | None) -> bool:
    return math.isfinite(value) and low <= value and (high is None or value <= high)
