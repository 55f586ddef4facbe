"""The random sampler: draws that depend on the trial, not on the process that makes them."""

from __future__ import annotations

import bisect
import math
import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from ._arguments import as_python, checked_integer, checked_number, checked_space
from ._draws import Permutation, digits_of, first_unseen, uniform
from ._storage import (
    FOREIGN,
    Known,
    Studies,
    agree_on,
    contains,
    fail_trial,
    legal,
    stop,
    write_trial,
)
from ._values import Range, at_share, level_of, n_levels, value_at

if TYPE_CHECKING:
    from optuna.study import Study

_VERSION = 1
_POINT = "random:point"  # of a trial: {"v": 1, "params": {name: value}}
_SURPLUS = "random:surplus"  # of a trial: True where the sample was already drawn
_KNOWN = FOREIGN | {_POINT, _SURPLUS}  # a trial with one of them has told whether it has a turn
_SEED = "random:seed"  # of a study whose sampler was given none: the seed that was drawn


class SampleExhausted(RuntimeError):  # noqa: N818 - it is an end, not a fault
    """Every point of the sample (see `proportion`) has been drawn."""

    def __init__(self, n_points: int) -> None:
        super().__init__(n_points)  # by which it is pickled

    def __str__(self) -> str:
        return f"all {self.args[0]} points of the sample have been drawn"


class RandomSampler(BaseSampler):
    """Draws every parameter uniformly (log-uniformly where the range is log).

    A draw is a function of the seed, the trial's number and the parameter's name. A study that is
    continued by another process, or by sixteen of them, therefore goes on as if it had never been
    interrupted, and workers with the same seed do not repeat each other.

    With `proportion` this is Algorithm 2 of Goulas and Hocquette, "Deep Learning Project Report"
    (ICE, P24): a share of all points of a finite space, drawn without replacement. The report
    includes each point with probability p; here the size of the sample is fixed at
    round(p * points), at least 1, so that the budget is known. The sample is complete when all its
    points have been handed out; a trial that fails is not redrawn, and one of another sampler that
    was finished before takes nothing from the sample. Then the study stops under
    `Study.optimize`; under ask-and-tell `is_exhausted` tells, and asking on fails the trial and
    raises `SampleExhausted`.

    Args:
        seed: Any integer; None draws one and keeps it with the study. Workers that begin a study
            at the same time with `proportion` must be given one.
        search_space: Name to distribution. Needed for `proportion`; otherwise it only makes the
            space known to `avoid_duplicates` before the first trial has finished.
        proportion: In (0, 1]: draw that share of the finite `search_space`, then end.
        avoid_duplicates: In a space where every parameter has finitely many values, draw again
            while there are points that no trial has tried. The space is the one that all finished
            trials share. Workers that draw at the same instant may still meet.

    Raises:
        ValueError: An argument that cannot be used; the text names it and says what is right.

    Example:
        >>> import optuna
        >>> from samplers.random import RandomSampler
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> space = {"x": optuna.distributions.IntDistribution(1, 10)}
        >>> sampler = RandomSampler(seed=1, search_space=space, proportion=0.4)
        >>> study = optuna.create_study(sampler=sampler)
        >>> study.optimize(lambda trial: trial.suggest_int("x", 1, 10))
        >>> len(study.trials), len({trial.params["x"] for trial in study.trials})
        (4, 4)
    """

    state_in_storage = True
    """Whoever builds it anew on the same study goes on as if nothing had happened."""

    def __init__(
        self,
        *,
        seed: int | None = None,
        search_space: Mapping[str, BaseDistribution] | None = None,
        proportion: float | None = None,
        avoid_duplicates: bool = True,
    ) -> None:
        self._seed = None if seed is None else checked_integer("seed", seed, "or None")
        self._space = checked_space(search_space)
        self._avoid_duplicates = bool(avoid_duplicates)
        self._sizes: list[int] = []
        self._n_points: int | None = None
        if proportion is not None:
            share = checked_number("proportion", proportion, "in (0, 1]", lambda p: 0 < p <= 1)
            self._sizes = _finite_sizes(self._space)
            self._n_points = max(1, round(share * math.prod(self._sizes)))
        self._forget()

    @property
    def n_points(self) -> int | None:
        """How many points the sample has, None without `proportion`."""
        return self._n_points

    def is_exhausted(self, study: Study) -> bool:
        """Say whether the sample is drawn; never without `proportion`."""
        if self._n_points is None:
            return False
        with self._lock:
            return self._read(study).history.n_served >= self._n_points

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """With `proportion`: decide on the trial's point, or take the one that it has.

        Raises:
            SampleExhausted: There is none, and this is not inside `Study.optimize`.
        """
        self._studies.born(study, trial)
        if self._n_points is None or len(study.directions) > 1:
            return
        if _POINT in trial.system_attrs or "fixed_params" in trial.system_attrs:
            return
        # The retry of a trial that died before it drew makes up for that trial's turn.
        with self._lock:
            history = self._read(study, trial.number).history
            turn = history.turn(trial.system_attrs.get("failed_trial", trial.number))
        if turn < self._n_points:
            self._write_point(study, trial, self._drawn(study, turn))
            return
        write_trial(study, trial, _SURPLUS, True)
        if not stop(study):
            fail_trial(study, trial)
            raise SampleExhausted(self._n_points)

    def infer_relative_search_space(
        self,
        study: Study,
        trial: FrozenTrial,
    ) -> dict[str, BaseDistribution]:
        """Give the space when duplicates in it are to be avoided, else nothing."""
        self._raise_error_if_multi_objective(study)
        if self._n_points is not None or not self._avoid_duplicates:
            return {}
        if self._space is not None:
            return dict(self._space) if _is_finite(self._space) else {}
        history = self._studies.of(study).history
        if history.space is not None and not history.is_finite:
            return {}  # for good: no later trial can make the shared space finite
        with self._lock:
            history = self._read(study, trial.number).history
            return dict(history.space or {}) if history.is_finite else {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw a point that no trial has tried yet, while there is one."""
        self._raise_error_if_multi_objective(study)
        if not search_space:
            return {}
        stored = _point_of(trial)
        if stored is None or not stored.keys() >= search_space.keys():
            stored = self._unseen(study, trial, search_space)
            self._write_point(study, trial, stored)
        return {name: stored[name] for name in search_space}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw one parameter; with `proportion`, give its value at the trial's point.

        Raises:
            ValueError: The sample does not have the parameter, or a value that its range excludes.
            optuna.TrialPruned: No point was left for the trial (inside `Study.optimize`).
        """
        self._raise_error_if_multi_objective(study)
        if self._n_points is not None and "fixed_params" not in trial.system_attrs:
            return self._value_of_sample(study, trial, param_name, param_distribution)
        u = uniform(self._seed_of(study), trial.number, param_name)
        return _value(param_distribution, u)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,  # noqa: ARG002 - Optuna's signature
        values: Sequence[float] | None,  # noqa: ARG002
    ) -> None:
        """End the study once the sample is drawn."""
        self._studies.of(study).points.pop(trial.number, None)
        if self.is_exhausted(study) and not self._studies.of(study).history.waiting:
            stop(study)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the configuration; the caches are built again from the storage."""
        caches = ("_studies", "_lock")
        return {k: v for k, v in self.__dict__.items() if k not in caches}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._studies = Studies(_Known)
        self._lock = threading.RLock()

    def _drawn(self, study: Study, turn: int) -> dict[str, Any]:
        assert self._space is not None
        index = Permutation(math.prod(self._sizes), self._seed_of(study))(turn)
        return _point(self._space, digits_of(index, self._sizes))

    def _unseen(
        self, study: Study, trial: FrozenTrial, space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw a point that is new, together with what was fixed when the trial was enqueued."""
        seed, number = self._seed_of(study), trial.number
        fixed = _digits(space, _fixed(trial))
        free = {name: d for name, d in space.items() if name not in fixed}
        sizes = [n_levels(distribution) for distribution in free.values()]

        def draw(attempt: int) -> list[int]:
            # The first attempt is the draw that the parameter would get by itself.
            return [
                _digit(distribution, size, uniform(seed, number, name, attempt))
                for size, (name, distribution) in zip(sizes, free.items(), strict=True)
            ]

        def whole(point: Sequence[int]) -> tuple[int, ...]:
            digits = dict(zip(free, point, strict=True), **fixed) if fixed else None
            return tuple(point) if digits is None else tuple(digits[name] for name in space)

        with self._lock:
            tried, trying = self._read(study, number).history.seen(space, number)
            n_seen = len(tried) + len(trying - tried)
            if fixed:
                here = {name: i for i, name in enumerate(space) if name in fixed}
                n_seen = sum(
                    all(point[i] == fixed[name] for name, i in here.items())
                    for point in tried | trying
                )
            point = first_unseen(
                draw, sizes, lambda p: (known := whole(p)) in tried or known in trying, n_seen
            )
        return _point(space, whole(point))

    def _value_of_sample(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        point = self._studies.of(study).points.get(trial.number) or _point_of(trial)
        if point is None:
            if _SURPLUS not in trial.system_attrs:
                self.before_trial(study, trial)  # a trial that nobody announced
                point = self._studies.of(study).points.get(trial.number)
            if point is None:
                raise optuna.TrialPruned("the sample was drawn before this trial came")
        if name not in point:
            raise ValueError(
                f"search_space: there is no parameter {name!r} in the sample; "
                f"it has {', '.join(point)}"
            )
        return legal(name, point[name], distribution)

    def _write_point(self, study: Study, trial: FrozenTrial, point: dict[str, Any]) -> None:
        write_trial(study, trial, _POINT, {"v": _VERSION, "params": point})
        self._studies.of(study).points[trial.number] = point

    def _read(self, study: Study, number: int | None = None) -> _Known:
        """Know all trials, or those that a number's trial needs; the lock must be held."""
        known = self._studies.all(study) if number is None else self._studies.up_to(study, number)
        known.history.update(known.trials.known)
        return known

    def _seed_of(self, study: Study) -> int:
        if self._seed is not None:
            return self._seed
        known = self._studies.of(study)
        with self._lock:
            if known.seed is None:
                known.seed = agree_on(study, _SEED, secrets.randbits(63))
            return int(known.seed)


class _Known(Known):
    """What the sampler knows of one study."""

    def __init__(self) -> None:
        super().__init__()
        self.history = _History()
        self.points: dict[int, dict[str, Any]] = {}  # of running trials, by number


class _History:
    """What the sampler must know of a study's trials; finished ones are entered once."""

    def __init__(self) -> None:
        self.space: dict[str, BaseDistribution] | None = None  # {}: they differ
        self.is_finite = False  # the space
        self.waiting = False
        self._foreign: list[int] = []
        self._pending: set[int] = set()
        self._trials: Sequence[FrozenTrial] = []
        self._n_read = 0
        self._seen: set[tuple[int, ...]] = set()
        self._seen_of: dict[str, BaseDistribution] = {}
        self._unentered: list[int] = []

    @property
    def n_served(self) -> int:
        """How many trials have had a turn."""
        return self._n_read - len(self._foreign)

    def turn(self, number: int) -> int:
        """Give a trial's number less the trials before it that others have put there."""
        return number - bisect.bisect_left(self._foreign, number)

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        new = range(self._n_read, len(trials))
        self._foreign += [n for n in new if not FOREIGN.isdisjoint(trials[n].system_attrs)]
        self._pending |= set(new)
        for number in sorted(self._pending):
            if trials[number].state.is_finished():
                self._finish(trials[number])
        self._trials, self._n_read = trials, len(trials)
        self.waiting = any(trials[n].state == TrialState.WAITING for n in self._pending)

    def _finish(self, trial: FrozenTrial) -> None:
        self._pending.discard(trial.number)
        self._unentered.append(trial.number)
        died_before_it_drew = trial.state == TrialState.FAIL and not trial.params
        if _KNOWN.isdisjoint(trial.system_attrs) and not died_before_it_drew:
            bisect.insort(self._foreign, trial.number)  # of another sampler
        if trial.state == TrialState.COMPLETE and self.space != trial.distributions:
            self.space = dict(trial.distributions) if self.space is None else {}
            self.is_finite = _is_finite(self.space)

    def seen(
        self, space: Mapping[str, BaseDistribution], but: int
    ) -> tuple[set[tuple[int, ...]], set[tuple[int, ...]]]:
        """Give the points that trials have tried, and those that others are trying, as digits."""
        if self._seen_of != space:
            self._seen_of, self._seen = dict(space), set()
            self._unentered = [n for n in range(self._n_read) if n not in self._pending]
        self._seen |= self._digits(space, self._unentered)
        self._unentered = []
        return self._seen, self._digits(space, [n for n in self._pending if n != but])

    def _digits(
        self, space: Mapping[str, BaseDistribution], numbers: Sequence[int]
    ) -> set[tuple[int, ...]]:
        points = set()
        for number in numbers:
            trial = self._trials[number]
            params = {**(_point_of(trial) or {}), **_fixed(trial), **trial.params}
            digits = _digits(space, params)
            if len(digits) == len(space):
                points.add(tuple(digits.values()))
        return points


def _point_of(trial: FrozenTrial) -> dict[str, Any] | None:
    stored = trial.system_attrs.get(_POINT)
    return None if stored is None else stored["params"]


def _fixed(trial: FrozenTrial) -> dict[str, Any]:
    fixed: dict[str, Any] = trial.system_attrs.get("fixed_params", {})
    return fixed


def _digits(space: Mapping[str, BaseDistribution], params: Mapping[str, Any]) -> dict[str, int]:
    """Give the numbers of the values that lie in the space."""
    inside = {n: d for n, d in space.items() if n in params and contains(d, params[n])}
    digits = {n: level_of(d, params[n]) for n, d in inside.items()}
    return {n: digit for n, digit in digits.items() if digit is not None}


def _finite_sizes(space: Mapping[str, BaseDistribution] | None) -> list[int]:
    if not space:
        raise ValueError(f"search_space: {space!r} cannot be used; proportion needs a finite one")
    for name, distribution in space.items():
        if not n_levels(distribution):
            raise ValueError(
                f"search_space[{name!r}]: {distribution} is a continuum; "
                "proportion needs a step, an integer range or a categorical, of fewer values"
            )
    return [n_levels(distribution) for distribution in space.values()]


def _is_finite(space: Mapping[str, BaseDistribution]) -> bool:
    return bool(space) and all(n_levels(d) > 0 for d in space.values())


def _point(space: Mapping[str, BaseDistribution], digits: Sequence[int]) -> dict[str, Any]:
    return {
        name: as_python(value_at(distribution, digit))
        for (name, distribution), digit in zip(space.items(), digits, strict=True)
    }


def _digit(distribution: BaseDistribution, size: int, u: float) -> int:
    """Give the number of the value at a share u in [0, 1) of a finite distribution."""
    if isinstance(distribution, IntDistribution) and distribution.log:
        return level_of(distribution, at_share(distribution, u)) or 0
    return int(u * size)


def _value(distribution: BaseDistribution, u: float) -> Any:
    """Give the value at a share u in [0, 1) of the distribution."""
    size = n_levels(distribution)
    if size and not (isinstance(distribution, IntDistribution) and distribution.log):
        return value_at(distribution, int(u * size))
    assert isinstance(distribution, Range)
    return at_share(distribution, u)
