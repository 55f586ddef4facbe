"""What trials that were pruned would have come to. Knows NumPy only."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ._cube import Array


class Rungs:
    """The reports of trials that were finished, and the last ones of trials that were pruned.

    All values are to be minimised.
    """

    def __init__(self) -> None:
        # By step: (report, final value) of finished trials, by their reports.
        self._finished: dict[int, list[tuple[float, float]]] = {}
        # By step: the places of the pruned trials, and their reports there.
        self._pruned: dict[int, tuple[list[int], list[float]]] = {}

    def finish(self, value: float, reports: Mapping[int, float]) -> None:
        """Take account of a trial that was not pruned."""
        for step, report in reports.items():
            if not math.isnan(report):
                bisect.insort(self._finished.setdefault(step, []), (report, value))

    def prune(self, place: int, reports: Mapping[int, float]) -> None:
        """Take account of a trial that was pruned; without a report, nothing is known of it."""
        step = max(reports, default=None)
        if step is not None and not math.isnan(reports[step]):
            places, found = self._pruned.setdefault(step, ([], []))
            places.append(place)
            found.append(reports[step])

    def estimates(self) -> Iterator[tuple[NDArray[np.int64], Array]]:
        """Give places of pruned trials, with the values that they would have come to.

        What finished trials came to, as the worst value up to each of their reports, rises with the
        report; between two of them it is taken to be a line. It is their best value for a report
        below all of theirs, and infinity for one above.
        """
        for step, (places, reports) in self._pruned.items():
            pairs = np.array(self._finished.get(step, []), dtype=np.float64).reshape(-1, 2)
            if len(pairs):
                rising = np.maximum.accumulate(pairs[:, 1])
                yield np.array(places), np.interp(reports, pairs[:, 0], rising, right=math.inf)
