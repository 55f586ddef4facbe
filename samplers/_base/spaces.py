"""The search space that the trials of a study make up."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

from optuna.distributions import (
    BaseDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.trial import FrozenTrial


class StudySpace:
    """The search space that the trials of a kind make up.

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
                self._enter(trials[number].distributions)

    @abstractmethod
    def _enter(self, found: Mapping[str, BaseDistribution]) -> None:
        """Take account of a trial's distributions; the order of the trials does not matter."""


class CommonSpace(StudySpace):
    """The parameters that all trials of a kind have, with equal distributions."""

    def _enter(self, found: Mapping[str, BaseDistribution]) -> None:
        space = found if self.space is None else self.space
        self.space = {n: d for n, d in space.items() if found.get(n) == d}


class SeenSpace(StudySpace):
    """The parameters that any trial of a kind has; a range that changes is as wide as all of them.

    A parameter whose distributions do not fit together, such as lists of choices that differ, is
    left out.
    """

    def __init__(self, counts: Callable[[FrozenTrial], bool]) -> None:
        super().__init__(counts)
        self._left_out: set[str] = set()

    def _enter(self, found: Mapping[str, BaseDistribution]) -> None:
        space = dict(self.space or {})
        for name, distribution in found.items():
            known = space.get(name, distribution)
            wide = known if known == distribution else _hull(known, distribution)
            if wide is None:
                self._left_out.add(name)
            else:
                space[name] = wide
        self.space = {n: space[n] for n in sorted(space) if n not in self._left_out}


def _hull(one: BaseDistribution, other: BaseDistribution) -> BaseDistribution | None:
    """Give the range that contains two others of its kind; None where there is none."""
    if getattr(one, "log", None) != getattr(other, "log", None):
        return None
    if isinstance(one, IntDistribution) and isinstance(other, IntDistribution):
        # Steps that do not meet: every integer is a level then.
        same = one.step == other.step and (one.low - other.low) % one.step == 0
        low, high = min(one.low, other.low), max(one.high, other.high)
        return IntDistribution(low, high, log=one.log, step=one.step if same else 1)
    if isinstance(one, FloatDistribution) and isinstance(other, FloatDistribution):
        same = one.step == other.step and one.low == other.low
        bottom, top = min(one.low, other.low), max(one.high, other.high)
        return FloatDistribution(bottom, top, log=one.log, step=one.step if same else None)
    return None


def digest_of(space: Mapping[str, BaseDistribution]) -> str:
    """Give a short text that tells a space from others."""
    text = "".join(f"{name}{distribution_to_json(d)}" for name, d in space.items())
    return blake2b(text.encode(), digest_size=6).hexdigest()
