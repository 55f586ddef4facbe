"""The search space that the trials of a study have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import FrozenTrial


class CommonSpace:
    """The parameters that all trials of a kind have, with equal distributions.

    Args:
        counts: Whether a trial is of the kind. It is asked again until the trial is finished.
    """

    def __init__(self, counts: Callable[[FrozenTrial], bool]) -> None:
        self.space: dict[str, BaseDistribution] | None = None  # None: there is no such trial yet
        self._counts = counts
        self._pending: list[int] = []
        self._n_read = 0

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        """Take account of what has changed; `trials` are those of the study, by number."""
        candidates = [*self._pending, *range(self._n_read, len(trials))]
        self._n_read = len(trials)
        self._pending = [n for n in candidates if not trials[n].state.is_finished()]
        for number in candidates:
            if self._counts(trials[number]):
                found = trials[number].distributions
                space = found if self.space is None else self.space
                self.space = {n: d for n, d in space.items() if found.get(n) == d}


def digest_of(space: Mapping[str, BaseDistribution]) -> str:
    """Give a short text that tells a space from others."""
    text = "".join(f"{name}{distribution_to_json(d)}" for name, d in space.items())
    return blake2b(text.encode(), digest_size=6).hexdigest()
