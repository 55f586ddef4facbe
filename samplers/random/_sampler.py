"""The random sampler: its draws depend on the trial, and not on the process that makes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from samplers._base.arguments import as_python, checked_integer, checked_number, checked_space
from samplers._base.permutation import Permutation
from samplers._base.private import fail_trial, write_trial
from samplers._base.sampler import SeededSampler
from samplers._base.studies import Known, stop
from samplers._base.trials import fixed_params, is_enqueued
from samplers._base.values import Range, at_share, legal, level_of, n_levels, value_at

from ._draws import digits_of, first_unseen, uniform
from ._history import POINT, SURPLUS, History, digits_in, is_finite, point_of

if TYPE_CHECKING:
    from optuna.study import Study

_VERSION = 1


class SampleExhausted(RuntimeError):  # noqa: N818 - it is an end, not a fault
    """All points of the sample (see `proportion`) have been drawn."""

    def __init__(self, n_points: int) -> None:
        super().__init__(n_points)  # pickle restores the exception from this argument

    def __str__(self) -> str:
        return f"all {self.args[0]} points of the sample have been drawn"


class _Known(Known):
    """What the sampler knows about one study."""

    def __init__(self) -> None:
        super().__init__()
        self.history = History()
        self.points: dict[int, dict[str, Any]] = {}  # number of a running trial -> its point


class RandomSampler(SeededSampler[_Known]):
    """Draws each parameter uniformly (log-uniformly if the range is log).

    A draw is a function of the seed, the trial's number and the parameter's name. A study that
    other processes continue therefore goes on as if it had not been interrupted, and workers with
    the same seed do not repeat each other's draws.

    With `proportion` this is Algorithm 2 of Goulas and Hocquette, "Deep Learning Project Report"
    (ICE, P24): it draws a share of all points of a finite space without replacement. The report
    includes each point with probability p. Here the sample has round(p * points) points, at least
    1, so that the budget is known. The sample ends when all its points have been handed out. A
    failed trial is not redrawn. Finished trials of another sampler do not count. At the end, the
    study stops under `Study.optimize`. Under ask-and-tell, `is_exhausted` tells the end; a further
    `ask` fails its trial and raises `SampleExhausted`.

    Args:
        seed: Any integer; None draws a seed and stores it with the study. If several workers begin
            a study with `proportion` at the same time, give them a seed.
        search_space: Name to distribution. `proportion` needs it; otherwise it only tells
            `avoid_duplicates` the space before the first trial is finished.
        proportion: Share of the points of the finite `search_space` to draw, in (0, 1].
        avoid_duplicates: In a space whose parameters all have finitely many values, draw again as
            long as there are points that no trial has tried. The space is the common space of all
            COMPLETE trials. Workers that draw at the same instant may still draw the same point.

    Raises:
        ValueError: An argument cannot be used; the text names it and a correct value.

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

    _NAME = "random"

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
        """Number of points of the sample; None without `proportion`."""
        return self._n_points

    def is_exhausted(self, study: Study) -> bool:
        """Return whether all points of the sample are drawn; False without `proportion`."""
        if self._n_points is None:
            return False
        with self._lock:
            return self._read(study).history.n_served >= self._n_points

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """With `proportion`, choose the trial's point, unless the trial already has one.

        Raises:
            SampleExhausted: No point is left, and `Study.optimize` is not running.
        """
        self._studies.born(study, trial)
        if self._n_points is None or len(study.directions) > 1:
            return
        if POINT in trial.system_attrs or is_enqueued(trial):
            return
        with self._lock:
            turn = self._read(study, trial.number).history.turns.of(trial)
        if turn < self._n_points:
            self._write_point(study, trial, self._drawn(study, turn))
            return
        write_trial(study, trial, SURPLUS, True)
        if not stop(study):
            fail_trial(study, trial)
            raise SampleExhausted(self._n_points)

    def infer_relative_search_space(
        self,
        study: Study,
        trial: FrozenTrial,
    ) -> dict[str, BaseDistribution]:
        """Return the space in which duplicates must be avoided; empty if there is none.

        Raises:
            ValueError: The study has several objectives.
        """
        self._raise_error_if_multi_objective(study)
        if self._n_points is not None or not self._avoid_duplicates:
            return {}
        if self._space is not None:
            return dict(self._space) if is_finite(self._space) else {}
        history = self._studies.of(study).history
        if history.space is not None and not history.is_finite:
            return {}  # for the whole study: no later trial can make the common space finite
        with self._lock:
            history = self._read(study, trial.number).history
            return dict(history.space or {}) if history.is_finite else {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw a point that no trial has tried yet, as long as there is one."""
        self._raise_error_if_multi_objective(study)
        if not search_space:
            return {}
        stored = point_of(trial)
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
        """Draw one parameter; with `proportion`, return its value at the trial's point.

        Raises:
            ValueError: The sample does not have the parameter, the objective's range does not
                contain the value, or the study has several objectives.
            optuna.TrialPruned: No point was left for the trial (inside `Study.optimize`).
        """
        self._raise_error_if_multi_objective(study)
        if self._n_points is not None and not is_enqueued(trial):
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
        """Stop the study if the whole sample is drawn and no enqueued trial waits."""
        self._studies.of(study).points.pop(trial.number, None)
        if self.is_exhausted(study) and not self._studies.of(study).history.waiting:
            stop(study)

    def _know_nothing(self) -> _Known:
        return _Known()

    def _drawn(self, study: Study, turn: int) -> dict[str, Any]:
        """Return the point of the sample for a turn."""
        assert self._space is not None
        index = Permutation(math.prod(self._sizes), self._seed_of(study))(turn)
        return _point(self._space, digits_of(index, self._sizes))

    def _unseen(
        self, study: Study, trial: FrozenTrial, space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw a new point that has the values that were fixed when the trial was enqueued."""
        seed, number = self._seed_of(study), trial.number
        fixed = digits_in(space, fixed_params(trial))
        free = {name: d for name, d in space.items() if name not in fixed}
        sizes = [n_levels(distribution) for distribution in free.values()]

        def draw(attempt: int) -> list[int]:
            # The first attempt equals the independent draw of the parameter.
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
        point = self._studies.of(study).points.get(trial.number) or point_of(trial)
        if point is None:
            if SURPLUS not in trial.system_attrs:
                self.before_trial(study, trial)  # Optuna did not call it for this trial
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
        write_trial(study, trial, POINT, {"v": _VERSION, "params": point})
        self._studies.of(study).points[trial.number] = point

    def _read(self, study: Study, number: int | None = None) -> _Known:
        """Read all trials, or those up to a number, and enter them; the lock must be held."""
        known = self._studies.all(study) if number is None else self._studies.up_to(study, number)
        known.history.update(known.trials.known)
        return known


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


def _point(space: Mapping[str, BaseDistribution], digits: Sequence[int]) -> dict[str, Any]:
    return {
        name: as_python(value_at(distribution, digit))
        for (name, distribution), digit in zip(space.items(), digits, strict=True)
    }


def _digit(distribution: BaseDistribution, size: int, u: float) -> int:
    """Return the level of the value at a share u in [0, 1) of a finite distribution."""
    # The integers of a log range are not equally probable.
    if isinstance(distribution, IntDistribution) and distribution.log:
        return level_of(distribution, at_share(distribution, u)) or 0
    return int(u * size)


def _value(distribution: BaseDistribution, u: float) -> Any:
    """Return the value at a share u in [0, 1) of a distribution."""
    size = n_levels(distribution)
    if size and not (isinstance(distribution, IntDistribution) and distribution.log):
        return value_at(distribution, int(u * size))
    assert isinstance(distribution, Range)
    return at_share(distribution, u)
