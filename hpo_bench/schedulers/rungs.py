"""Who goes on to the next rung: successive halving, Hyperband and ASHA as pure functions.

A rung is a fidelity at which configurations are compared; one in `eta` of them goes on. What is
decided is a function of the losses that are recorded, and knows neither Optuna nor a sampler.

- Successive halving: Jamieson and Talwalkar 2016, "Non-stochastic Best Arm Identification and
  Hyperparameter Optimization", algorithm 1.
- Hyperband: Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar 2018, "Hyperband: A Novel
  Bandit-Based Approach to Hyperparameter Optimization", algorithm 1.
- ASHA: Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht and Talwalkar 2020, "A System for
  Massively Parallel Hyperparameter Tuning", algorithm 2.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate


@dataclass
class Contender:
    """What is recorded of one configuration; its place in a list is the order of its start."""

    losses: list[float] = field(default_factory=list)
    """At the rungs that it has come to, from its first one on; infinite where it failed."""
    is_out: bool = False
    """Whether it is on its way to its next rung."""
    is_dropped: bool = False
    """Whether it is decided that it goes no further."""


@dataclass(frozen=True)
class Bracket:
    """So many configurations, and which share of them goes how far."""

    sizes: tuple[int, ...]
    """How many configurations come to each rung."""
    fidelities: tuple[int, ...]
    """Where the rungs are."""

    @property
    def epochs(self) -> int:
        """What all of it costs, where trainings are continued."""
        steps = zip(self.fidelities, (0, *self.fidelities), strict=False)
        return sum(n * (end - start) for n, (end, start) in zip(self.sizes, steps, strict=True))


@dataclass(frozen=True)
class Decision:
    """Places of contenders."""

    promoted: list[int]
    """Those that go on to the next rung, in this order."""
    dropped: list[int]
    """Those that go no further."""


class Schedule(ABC):
    """Decides how far configurations go."""

    @abstractmethod
    def place_of(self, number: int) -> tuple[int, tuple[int, ...]]:
        """Give the bracket of the configuration that starts as that one, and its rungs."""

    @abstractmethod
    def decide(self, contenders: Sequence[Contender], *, is_last: bool = False) -> Decision:
        """Decide all that can be decided.

        Args:
            contenders: Every configuration that has started, in the order of their starts.
            is_last: Whether no other configuration will start.
        """

    @property
    @abstractmethod
    def cycle(self) -> Sequence[Bracket]:
        """Brackets whose mean is what a configuration costs."""


def ladder(lowest: int, highest: int, eta: int) -> tuple[int, ...]:
    """Give the fidelities of the rungs: `highest`, and a part in `eta` of each down to `lowest`."""
    rungs = [highest]
    while rungs[-1] // eta >= lowest:
        rungs.append(rungs[-1] // eta)
    return tuple(reversed(rungs))


def halving(n: int, fidelities: tuple[int, ...], eta: int) -> Bracket:
    """Give the bracket of successive halving that starts with `n` configurations."""
    return Bracket(tuple(n // eta**rung for rung in range(len(fidelities))), fidelities)


def hyperband(fidelities: tuple[int, ...], eta: int) -> list[Bracket]:
    """Give Hyperband's brackets: from the one that starts at the lowest rung to the highest alone.

    Li et al. 2018, algorithm 1: n = ceil((s_max + 1) / (s + 1) * eta^s) for s = s_max .. 0.
    """
    count = len(fidelities)
    brackets = []
    for s in reversed(range(count)):
        n = -(-count * eta**s // (s + 1))
        brackets.append(halving(n, fidelities[count - 1 - s :], eta))
    return brackets


class Synchronous(Schedule):
    """Successive halving: a rung is decided when all of its configurations have come to it.

    Args:
        brackets: They take turns: one for successive halving, several for Hyperband.
    """

    def __init__(self, brackets: Sequence[Bracket]) -> None:
        self._brackets = list(brackets)
        self._ends = list(accumulate(bracket.sizes[0] for bracket in brackets))

    @property
    def cycle(self) -> Sequence[Bracket]:
        """Every bracket once."""
        return self._brackets

    def place_of(self, number: int) -> tuple[int, tuple[int, ...]]:
        """Give the bracket of the configuration that starts as that one, and its rungs."""
        turn, rest = divmod(number, self._ends[-1])
        index = next(i for i, end in enumerate(self._ends) if rest < end)
        return turn * len(self._brackets) + index, self._brackets[index].fidelities

    def decide(self, contenders: Sequence[Contender], *, is_last: bool = False) -> Decision:
        """Decide the rungs that are complete; those of the oldest bracket come first."""
        decision = Decision([], [])
        for bracket, places in self._filled(len(contenders)):
            if is_last or len(places) == bracket.sizes[0]:
                _decide_bracket(bracket, contenders, places, decision)
        return decision

    def _filled(self, count: int) -> Iterator[tuple[Bracket, range]]:
        """The brackets that hold the first `count` configurations, and the places of these."""
        start = index = 0
        while start < count:
            bracket = self._brackets[index % len(self._brackets)]
            yield bracket, range(start, min(start + bracket.sizes[0], count))
            start, index = start + bracket.sizes[0], index + 1


def _decide_bracket(
    bracket: Bracket, contenders: Sequence[Contender], places: Sequence[int], decision: Decision
) -> None:
    """Add what follows from the rungs of one bracket that are complete, from the lowest on."""
    there = list(places)
    for rung, size in enumerate(bracket.sizes[1:]):
        if any(_is_awaited(contenders[place], rung) for place in there):
            return
        ranked = _ranked(contenders, there, rung)
        there = ranked[:size]
        decision.promoted.extend(p for p in there if _waits(contenders[p], rung))
        decision.dropped.extend(p for p in ranked[size:] if _waits(contenders[p], rung))


class Asynchronous(Schedule):
    """ASHA: whoever is free promotes a configuration that is among the best of its rung.

    In the paper a configuration may be promoted however long it has waited: none is ever dropped,
    and every checkpoint is kept. Here it is dropped when `patience` configurations that started
    after it have come to its rung, so that the sampler learns what became of it.

    Args:
        fidelities: Of the rungs.
        eta: One in so many goes on, 2 or more.
        patience: 1 or more.
    """

    def __init__(self, fidelities: tuple[int, ...], eta: int, patience: int) -> None:
        self._fidelities = fidelities
        self._eta = eta
        self._patience = patience

    @property
    def cycle(self) -> Sequence[Bracket]:
        """As many configurations as bring one to the highest rung."""
        return [halving(self._eta ** (len(self._fidelities) - 1), self._fidelities, self._eta)]

    def place_of(self, number: int) -> tuple[int, tuple[int, ...]]:  # noqa: ARG002
        """Give the only bracket, and its rungs."""
        return 0, self._fidelities

    def decide(self, contenders: Sequence[Contender], *, is_last: bool = False) -> Decision:
        """Decide every rung by who has come to it; the highest comes first."""
        decision = Decision([], [])
        for rung in reversed(range(len(self._fidelities) - 1)):
            there = [p for p, c in enumerate(contenders) if len(c.losses) > rung]
            best = _ranked(contenders, there, rung)[: len(there) // self._eta]
            decision.promoted.extend(p for p in best if _waits(contenders[p], rung))
            is_complete = is_last and not any(_is_awaited(c, rung) for c in contenders)
            impatient = there if is_complete else there[: max(0, len(there) - self._patience)]
            waiting = (p for p in impatient if _waits(contenders[p], rung))
            decision.dropped.extend(sorted(set(waiting) - set(best)))
        return decision


def _ranked(contenders: Sequence[Contender], places: Sequence[int], rung: int) -> list[int]:
    """Those that have a loss there: the best first; of equals, the one that started first."""
    found = [(c.losses[rung], p) for p in places if len((c := contenders[p]).losses) > rung]
    return [place for loss, place in sorted(found) if math.isfinite(loss)]


def _is_awaited(contender: Contender, rung: int) -> bool:
    """Whether a rung cannot be decided before it has come to it."""
    return len(contender.losses) <= rung and not contender.is_dropped


def _waits(contender: Contender, rung: int) -> bool:
    """Whether it has come to a rung and waits for what is decided there."""
    return len(contender.losses) == rung + 1 and not contender.is_out and not contender.is_dropped
