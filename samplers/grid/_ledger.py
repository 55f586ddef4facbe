"""The ledger of a grid: which trial holds which point, derived from the trials of a study."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

from optuna.trial import FrozenTrial, TrialState

from samplers._base.arguments import as_python
from samplers._base.permutation import Permutation
from samplers._base.trials import fixed_params, has_no_turn, is_enqueued

from ._lattice import Lattice, Value

VERSION = 1
# System attributes of a trial:
CLAIM = "grid:claim"  # {"v": 1, "point": {name: value}}; None after the claim was withdrawn
SURPLUS = "grid:surplus"  # True if no point was left for the trial
TOLD = "grid:told"  # True if the trial's own worker told its failure; a stale trial has no such

EVALUATED = (TrialState.COMPLETE, TrialState.PRUNED)


def claimed(trial: FrozenTrial) -> dict[str, Value] | None:
    """Return the point that a trial claims; None if it claims none."""
    claim = trial.system_attrs.get(CLAIM)
    return None if claim is None else claim["point"]


class Order:
    """The order in which the points of a grid are offered.

    Args:
        lattice: The points.
        shuffle: Whether the order is shuffled; if not, it is that of the lattice.
        seed: Key of the shuffle.
    """

    def __init__(self, lattice: Lattice, *, shuffle: bool, seed: int) -> None:
        self._lattice = lattice
        self._seed = seed
        self._shuffle = Permutation(lattice.size, seed) if shuffle else None
        self.size = lattice.size

    def point(self, place: int) -> dict[str, Value]:
        """Return the point at a place in [0, size)."""
        return self._lattice.point(place if self._shuffle is None else self._shuffle(place))

    def place(self, point: Mapping[str, object]) -> int | None:
        """Return the place of a point; None if it is not on the grid."""
        index = self._lattice.index(point)
        return index if index is None or self._shuffle is None else self._shuffle.inverse(index)

    def completions(
        self, fixed: Mapping[str, object], first: int
    ) -> Iterator[tuple[dict[str, Value], int | None]]:
        """Yield all points with some fixed values, in a shuffled order.

        Args:
            fixed: Name to value for some axes.
            first: Position in the shuffled order to begin at.

        Yields:
            A point, and its place; None as place if a fixed value is not on its axis.
        """
        axes = self._lattice.axes
        free = Lattice({name: axis for name, axis in axes.items() if name not in fixed})
        key = blake2b(repr((self._seed, alike(fixed))).encode(), digest_size=8).digest()
        shuffle = Permutation(free.size, int.from_bytes(key, "big"))
        for step in range(free.size):
            rest = free.point(shuffle((first + step) % free.size))
            point = {name: rest[name] if name in rest else as_python(fixed[name]) for name in axes}
            yield point, self.place(point)


def alike(fixed: Mapping[str, object]) -> str:
    """Return a key that is equal for trials with the same fixed values."""
    return repr(sorted((name, as_python(value)) for name, value in fixed.items()))


class _Pending(NamedTuple):
    """The relevant facts about an unfinished trial."""

    rank: int | None  # rank among the trials that the sampler serves; None if it is not one of them
    place: int | None  # place that it holds by its claim or by its parameters
    claims: bool  # whether it has a claim
    started: bool  # whether it has parameters, and so keeps its place
    waiting: bool  # whether it is enqueued and no worker has taken it


class Ledger:
    """The state of all places of a grid, derived from the trials of a study by `update`.

    Finished trials never change, so each is entered once; the others are entered again at each
    update. The *rank* of a trial is its number minus the number of earlier trials that the sampler
    does not serve (enqueued trials and retries of stale ones). It is known when the trial is
    created, and never changes. The place with this number is the trial's *home*: no other trial
    takes it while the trial is unfinished.

    Args:
        order: The places.
        max_retries: A place is given up when it has failed more often than this.
        grace: Seconds for which the place of a stale trial is reserved for its retry.
    """

    def __init__(self, order: Order, *, max_retries: int, grace: float) -> None:
        self.order = order
        self._max_retries = max_retries
        self._grace = grace
        self._done: set[int] = set()
        self._open: set[int] = set()  # places below the frontier that are not evaluated
        self._failures: dict[int, int] = {}
        self._stale_since: dict[int, float] = {}
        self._pending: dict[int, _Pending] = {}
        self._enqueued: Counter[str] = Counter()  # enqueued trials by their fixed values
        self._alike_before: dict[int, int] = {}  # number -> earlier trials with its fixed values
        self._n_trials = 0
        self._scanned = 0  # all places from the frontier up to this one are done
        self._n_ranks = 0  # the frontier: homes from this one on belong to trials of the future

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        """Enter the changes since the last call; `trials` are all of the study, by number."""
        for number, known in list(self._pending.items()):
            self._enter(trials[number], known.rank)
        for trial in trials[self._n_trials :]:
            self._enter(trial, self._next_rank(trial))
            if is_enqueued(trial):
                key = alike(fixed_params(trial))
                self._alike_before[trial.number] = self._enqueued[key]
                self._enqueued[key] += 1
        self._n_trials = len(trials)

    @property
    def n_ahead(self) -> int:
        """Number of places that are homes of trials that did not exist at the last update."""
        return max(0, self.order.size - self._n_ranks)

    @property
    def n_running(self) -> int:
        """Number of places that unfinished trials hold."""
        return len(self._holders().keys() - self._done)

    @property
    def has_offer(self) -> bool:
        """Whether a trial that is created now would find a place."""
        taken = (self._holders().keys() | self.given_up) - self._done
        return len(self._done) + len(taken) < self.order.size

    @property
    def given_up(self) -> set[int]:
        """The places that failed too often, and are offered no more."""
        failed = {p for p, n in self._failures.items() if n > self._max_retries}
        return failed - self._done - self._holders().keys()

    @property
    def is_finished(self) -> bool:
        """Whether all places are evaluated or given up."""
        return self.order.size == len(self._done) + len(self.given_up)

    def choose(self, number: int) -> tuple[int | None, bool]:
        """Choose a place for a trial.

        Args:
            number: Number of an unfinished trial.

        Returns:
            The place, or None if none is free, and whether it is the trial's home.
        """
        me = self._pending[number]
        home = self._home(me)
        if home is not None and self._holders()[home] == [number]:
            return home, True
        # Trials that look for a place at the same time choose different ones: fewer rival claims.
        seeking = (n for n, t in self._pending.items() if not t.claims and t.rank is not None)
        before_me = sum(n < number and self._home(self._pending[n]) is None for n in seeking)
        offers = self._offers(number) or self._offers_ahead(before_me + 1)
        return (offers[before_me % len(offers)], False) if offers else (None, False)

    def complete(self, number: int, fixed: Mapping[str, object]) -> tuple[dict[str, Value], bool]:
        """Choose a point for a trial that was enqueued with some fixed values.

        Returns:
            The point, and whether it is new: no other trial holds it or has evaluated it.
        """
        first = self._alike_before[number]
        held = {place for place, numbers in self._holders().items() if numbers != [number]}
        for point, place in self.order.completions(fixed, first):
            if place is None or (self._is_wanted(place) and place not in held):
                return point, True
        return next(self.order.completions(fixed, first))[0], False

    def seconds_to_wait(self, number: int) -> float:
        """Return the seconds until a stale trial's place is offered; 0 if there is none."""
        young = [self._age(p) for p in self._offers(number, mature=False)]
        return max(0.0, self._grace - max(young)) + 0.01 if young else 0.0

    def verdict(self, number: int, point: Mapping[str, object]) -> bool | None:
        """Return whether a trial keeps its claimed point; None while a rival may still withdraw."""
        place = self.order.place(point)
        if place is None:
            return True  # a point of another grid, which no worker with this grid can claim
        rivals = [n for n in self._holders().get(place, ()) if n != number]
        if place in self._done:
            return False
        if not rivals:
            return True
        # A rival with a lower number does not withdraw. One that has started no longer checks.
        if min(rivals) < number or any(self._pending[n].started for n in rivals):
            return False
        return None

    def is_over_after(self, number: int, state: TrialState) -> bool:
        """Return whether nothing is left to offer after a running trial ends in a state."""
        others = {n: t for n, t in self._pending.items() if n != number}
        if any(t.waiting for t in others.values()):
            return False
        taken = self._done | self._holders(others).keys()
        me = self._pending.get(number)
        if me is not None and me.place is not None:
            failures = self._failures.get(me.place, 0) + 1
            if state in EVALUATED or failures > self._max_retries:
                taken.add(me.place)
        return len(taken | self.given_up) >= self.order.size

    def _next_rank(self, trial: FrozenTrial) -> int | None:
        """Return the rank of a new trial, and move the frontier; None if the trial has none."""
        if has_no_turn(trial):
            return None
        rank = self._n_ranks
        self._n_ranks += 1
        if rank < self.order.size and rank not in self._done:
            self._open.add(rank)
        return rank

    def _enter(self, trial: FrozenTrial, rank: int | None) -> None:
        claim = claimed(trial)
        params = {**fixed_params(trial), **trial.params}
        place = self.order.place(params if claim is None else claim)
        if not trial.state.is_finished():
            waiting = trial.state == TrialState.WAITING
            known = _Pending(rank, place, claim is not None, bool(trial.params), waiting)
            self._pending[trial.number] = known
            return
        self._pending.pop(trial.number, None)
        if place is None:
            return
        if trial.state in EVALUATED:
            self._done.add(place)
            self._open.discard(place)
            return
        self._failures[place] = self._failures.get(place, 0) + 1
        if TOLD not in trial.system_attrs and trial.datetime_complete is not None:
            # The clock of another machine may be ahead, or in another time zone.
            told = trial.datetime_complete.timestamp()
            self._stale_since[place] = min(told, time.time())

    def _home(self, trial: _Pending) -> int | None:
        """Return the home of a trial that has no claim; None if its home is done or given up."""
        if trial.claims or trial.rank is None or trial.rank >= self.order.size:
            return None
        return trial.rank if self._is_wanted(trial.rank) else None

    def _is_wanted(self, place: int) -> bool:
        return place not in self._done and self._failures.get(place, 0) <= self._max_retries

    def _holders(self, pending: Mapping[int, _Pending] | None = None) -> dict[int, list[int]]:
        """Return place -> numbers of the unfinished trials that hold it by a claim or as home."""
        held: dict[int, list[int]] = {}
        for number, trial in (self._pending if pending is None else pending).items():
            for place in {trial.place, self._home(trial)}:
                if place is not None:
                    held.setdefault(place, []).append(number)
        return held

    def _offers(self, number: int, *, mature: bool = True) -> list[int]:
        """Return the open places that no other trial holds, after (or within) their grace."""
        held = {place for place, numbers in self._holders().items() if numbers != [number]}
        free = sorted(self._open - held - self.given_up)
        return [place for place in free if (self._age(place) >= self._grace) == mature]

    def _offers_ahead(self, n: int) -> list[int]:
        """Return the first n free places that are homes of trials of the future."""
        # Needed if enqueued trials or an earlier grid have evaluated the homes of existing trials.
        # It is safe: a trial that finds its home claimed looks for another place, and the claimant
        # sees a trial that has not seen the claim, and withdraws.
        held = self._holders().keys()
        self._scanned = max(self._scanned, self._n_ranks)
        while self._scanned < self.order.size and self._scanned in self._done:
            self._scanned += 1
        ahead = (p for p in range(self._scanned, self.order.size) if self._is_wanted(p))
        return list(islice((p for p in ahead if p not in held), n))

    def _age(self, place: int) -> float:
        """Return the seconds since a place's trial became stale; infinity if none did."""
        since = self._stale_since.get(place)
        return float("inf") if since is None else time.time() - since
