"""The options of BOHB, checked before a run begins, without HpBandSter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hpo_bench.errors import InputError


@dataclass(frozen=True)
class ModelOptions:
    """The options of BOHB's model, named and defined as in `hpo_bench.bridges.hpbandster.bohb`."""

    min_points_in_model: int | None
    top_n_percent: int
    num_samples: int
    random_fraction: float
    bandwidth_factor: float
    min_bandwidth: float

    def check(self, n_dimensions: int) -> None:
        """Check all options.

        Args:
            n_dimensions: Number of hyperparameters that vary, 1 or more.

        Raises:
            InputError: An option is out of range.
        """
        # HpBandSter silently changes a wrong min_points_in_model, and does not check the others.
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
    """Return the budgets in ascending order, each `eta` times the one before.

    Args:
        min_epochs: The smallest budget; None: divide the largest by `eta` as long as the result is
            a whole number, or take 1 if `eta` does not divide it.
        max_epochs: The largest budget; None: `max_fidelity`.
        eta: Factor between two budgets, 2 or more.
        max_fidelity: The objective's number of epochs.

    Raises:
        InputError: A number is out of range, or the factors of `eta` do not lead from the smallest
            to the largest budget; the error names the nearest largest budget that fits.
    """
    whole("eta", eta, 2)
    top = max_fidelity if max_epochs is None else max_epochs
    whole("max_epochs", top, 1, max_fidelity)
    if min_epochs is None:
        bottom = _divided(top, eta)
        bottom = 1 if bottom == top else bottom
    else:
        whole("min_epochs", min_epochs, 1, top)
        bottom = min_epochs
    rungs = _rungs(bottom, top, eta)
    if rungs[-1] != top:
        raise InputError("max_epochs", top, _nearest(rungs, top, eta, max_fidelity))
    return rungs


def _nearest(rungs: list[int], top: int, eta: int, max_fidelity: int) -> str:
    above = rungs[-1] * eta
    # Nearest by ratio, because budgets grow by factors.
    if above <= max_fidelity and above / top < top / rungs[-1]:
        rungs = [*rungs, above]
    return (
        f"budgets that start at {rungs[0]} and grow by eta = {eta} miss it; "
        f"the nearest that fits is max_epochs = {rungs[-1]} ({', '.join(map(str, rungs))})"
    )


def _divided(top: int, eta: int) -> int:
    """Divide `top` by `eta` as long as the result is a whole number."""
    while top % eta == 0:
        top //= eta
    return top


def _rungs(bottom: int, top: int, eta: int) -> list[int]:
    rungs = [bottom]
    while rungs[-1] * eta <= top:
        rungs.append(rungs[-1] * eta)
    return rungs


def whole(field: str, value: Any, low: int, high: int | None = None) -> None:
    """Raise InputError unless a value is a whole number from `low` to `high` (None: no limit)."""
    limits = f"{low} or more" if high is None else f"from {low} to {high}"
    if not isinstance(value, int) or isinstance(value, bool) or not _inside(value, low, high):
        raise InputError(field, value, f"expected a whole number, {limits}")


def number(
    field: str, value: Any, low: float, high: float | None = None, *, beyond: bool = False
) -> None:
    """Raise InputError unless a value is a finite number from `low` to `high` (None: no limit).

    With `beyond`, `low` itself is not allowed.
    """
    limits = f"above {low}" if beyond else f"{low} or more"
    if high is not None:
        limits += f", at most {high}"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not _inside(value, low, high) or (beyond and value == low):
        raise InputError(field, value, f"expected a number {limits}")


def _inside(value: float, low: float, high: float | None) -> bool:
    return math.isfinite(value) and low <= value and (high is None or value <= high)
