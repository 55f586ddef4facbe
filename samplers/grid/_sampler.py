"""The grid sampler: every point once, however many workers, however often they die.

Who evaluates which point is decided without locks, from what the storage makes unique:

1. Trial numbers are unique, so a place in the order belongs to the trial of that rank (its number
   less the trials that others have put there: enqueued ones and retries). No message is needed.
2. Places whose trial came to nothing (it failed, or its point was already done) are open. A trial
   that has no place of its own writes a claim to one of them and then reads again: whoever sees a
   rival's claim beside its own withdraws, unless it has the lower number and sees the rival
   withdraw. Write-then-read means that at least one of two rivals sees the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from samplers._base.arguments import checked_integer
from samplers._base.logs import logger_of
from samplers._base.private import agree_on, fail_trial, retries_stale_trials, write_trial
from samplers._base.sampler import StudySampler
from samplers._base.studies import Known, stop
from samplers._base.trials import fixed_params, is_enqueued
from samplers._base.values import legal

from ._axes import axes_of
from ._lattice import Lattice, Value
from ._ledger import CLAIM, SURPLUS, TOLD, VERSION, Ledger, Order, claimed

if TYPE_CHECKING:
    from optuna.study import Study

_T = TypeVar("_T")

_logger = logger_of("grid")

_ORDER = "grid:order"  # of a study: {"v": 1, "shuffle": bool, "seed": int}; the first one wins

_PATIENCE = 2.0  # seconds that a rival has to withdraw, and a stale trial to be retried
_FAR_FROM_THE_END = 64  # with more places ahead than this, no worker looks whether it is over


class GridExhausted(RuntimeError):  # noqa: N818 - it is an end, not a fault
    """There is no point to offer: all are evaluated, given up, or with other workers.

    Attributes:
        running: How many points other trials still hold; when one of them fails, its point can be
            asked for again. 0 means that the grid is finished.
    """

    def __init__(self, n_points: int, running: int) -> None:
        super().__init__(n_points, running)  # by which it is pickled
        self.running = running

    def __str__(self) -> str:
        n_points, n = self.args
        what = f"{n} of them are still held by other trials" if n else "it is finished"
        return f"no point of the grid of {n_points} is left to offer; {what}"


class _Known(Known):
    """What the sampler knows of one study."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger: Ledger | None = None
        self.offers: dict[int, dict[str, Value]] = {}  # of running trials, by number


class GridSampler(StudySampler[_Known]):
    """Evaluates every point of a grid exactly once.

    Any number of workers may share one storage: each point becomes COMPLETE (or PRUNED, which
    counts as evaluated) once. A point whose trial failed or was left behind and failed by a
    heartbeat is offered again to exactly one worker, up to `max_retries` times. A trial that is
    still RUNNING holds its point. Nothing is kept in the process that the storage does not have.

    Under `Study.optimize` the study stops when nothing is left; a worker that has already asked
    then gets a PRUNED trial without evaluation. Under ask-and-tell `is_exhausted` tells, and
    asking on fails the trial and raises `GridExhausted`.

    A point is known by its values, each to 1e-8 of the gap to the next one on its axis. With values
    added to an axis, or an axis given in another order, only the points that no trial of the study
    has evaluated are evaluated. Enqueued trials that lie on the grid count as its points; one with
    some parameters fixed gets a point with these values that no other trial has, while there is
    one. A new sampler object for the same study takes the order that the study began with.

    Args:
        search_space: Name to values, or to an Optuna distribution: an integer range, a float range
            with a step, or a categorical stands for all its values that Optuna accepts; any range
            for `levels` of them. Values are None, bool, int, float or str, or NumPy's.
        levels: How many values a range is given, at least 1: for all ranges, or by name. Evenly
            spaced from end to end, geometrically where the range is log; rounded to the integers
            or steps of the range, duplicates dropped.
        shuffle: Walk the grid in an order shuffled by `seed`, so that a part of the grid is a fair
            sample of it. False: lexicographically, the last parameter fastest.
        seed: The order's key. All workers of a study share the order of the first of them.
        max_retries: How often a failing point is offered again, at least 0; then it is given up
            and reported by `given_up`.

    Raises:
        ValueError: An argument that cannot be used; the text names it and says what is right.

    Example:
        >>> import optuna
        >>> from samplers.grid import GridSampler
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> y = optuna.distributions.IntDistribution(0, 3)
        >>> sampler = GridSampler({"x": [-1, 0, 2], "y": y})
        >>> study = optuna.create_study(sampler=sampler)
        >>> study.optimize(lambda t: t.suggest_int("x", -2, 2) ** 2 + t.suggest_int("y", 0, 3))
        >>> sampler.n_points, len(study.trials), study.best_params
        (12, 12, {'x': 0, 'y': 0})
    """

    def __init__(
        self,
        search_space: Mapping[str, Sequence[Value] | NDArray[Any] | BaseDistribution],
        *,
        levels: int | Mapping[str, int] | None = None,
        shuffle: bool = True,
        seed: int = 0,
        max_retries: int = 3,
    ) -> None:
        self._max_retries = checked_integer("max_retries", max_retries, ">= 0", lambda n: n >= 0)
        self._seed = checked_integer("seed", seed)
        self._shuffle = bool(shuffle)
        self._lattice = Lattice(axes_of(search_space, levels))
        self._forget()

    @property
    def n_points(self) -> int:
        """How many points the grid has."""
        return self._lattice.size

    def is_exhausted(self, study: Study) -> bool:
        """Say whether every point is evaluated or given up; a point still running is neither."""
        return self._look(study, lambda ledger: ledger.is_finished)

    def is_all_taken(self, study: Study) -> bool:
        """Say whether asking now would be in vain: what is left is with running trials."""
        return self._look(study, lambda ledger: not ledger.has_offer)

    def given_up(self, study: Study) -> list[dict[str, Value]]:
        """Give the points that failed more than `max_retries` times, in the order of the grid."""
        return self._look(study, lambda led: [led.order.point(p) for p in sorted(led.given_up)])

    def infer_relative_search_space(
        self,
        study: Study,
        trial: FrozenTrial,  # noqa: ARG002 - Optuna's signature
    ) -> dict[str, BaseDistribution]:
        """Give nothing: the values are handed out one by one, so that each can be checked."""
        self._raise_error_if_multi_objective(study)
        return {}

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,  # noqa: ARG002 - Optuna's signature
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:
        """Give nothing, see `infer_relative_search_space`."""
        self._raise_error_if_multi_objective(study)
        return {}

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Decide on the trial's point, or take the one that it has.

        Raises:
            GridExhausted: There is none, and this is not inside `Study.optimize`.
        """
        known = self._studies.born(study, trial)
        if len(study.directions) > 1:
            return
        if is_enqueued(trial) and fixed_params(trial).keys() >= self._lattice.axes.keys():
            return
        claim = claimed(trial)
        if claim is not None and (trial.params or self._keeps(study, trial.number, claim)):
            known.offers[trial.number] = claim
            return
        self._find(study, trial)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Give the parameter's value at the trial's point.

        Raises:
            ValueError: The grid does not have the parameter, or a value that its range excludes.
            optuna.TrialPruned: No point was left for the trial (inside `Study.optimize`).
        """
        self._raise_error_if_multi_objective(study)
        if param_name not in self._lattice.axes:
            raise ValueError(
                f"search_space: there is no parameter {param_name!r} in the grid; "
                f"it has {', '.join(self._lattice.axes)}"
            )
        return legal(param_name, self._offer(study, trial)[param_name], param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,  # noqa: ARG002 - Optuna's signature
    ) -> None:
        """End the study once nothing is left to offer after this trial."""
        known = self._studies.of(study)
        known.offers.pop(trial.number, None)
        if state == TrialState.FAIL and claimed(trial) is not None:
            write_trial(study, trial, TOLD, True)
        if known.ledger is not None and known.ledger.n_ahead > _FAR_FROM_THE_END:
            return
        if self._look(study, lambda ledger: ledger.is_over_after(trial.number, state)):
            stop(study)

    def _know_nothing(self) -> _Known:
        return _Known()

    def _offer(self, study: Study, trial: FrozenTrial) -> dict[str, Value]:
        known = self._studies.of(study).offers.get(trial.number) or claimed(trial)
        if known is not None:
            return known
        if SURPLUS in trial.system_attrs:
            raise optuna.TrialPruned("no point of the grid was left for this trial")
        return self._find(study, trial)

    def _find(self, study: Study, trial: FrozenTrial) -> dict[str, Value]:
        """Settle on a point for a trial that has none, and write it down."""
        number = trial.number
        choice = self._look(study, lambda ledger: _choose(ledger, trial), number)
        while True:
            point, at_home, wait = choice
            if point is not None:
                write_trial(study, trial, CLAIM, {"v": VERSION, "point": point})
                if at_home or self._keeps(study, number, point):
                    self._studies.of(study).offers[number] = point
                    return point
                write_trial(study, trial, CLAIM, None)
            elif wait > 0:
                time.sleep(wait)
            else:
                return self._refuse(study, trial)
            choice = self._look(study, lambda ledger: _choose(ledger, trial))

    def _keeps(self, study: Study, number: int, point: dict[str, Value]) -> bool:
        """Say, after the claim is written, whether the point is this trial's alone."""
        give_up = time.monotonic() + _PATIENCE
        while time.monotonic() < give_up:
            verdict = self._look(study, lambda ledger: ledger.verdict(number, point))
            if verdict is not None:
                return verdict
            time.sleep(0.02)
        return False

    def _refuse(self, study: Study, trial: FrozenTrial) -> dict[str, Value]:
        write_trial(study, trial, SURPLUS, True)
        if stop(study):
            # The loop cannot be left from here; the first suggestion ends the trial as PRUNED.
            return {}
        fail_trial(study, trial)
        raise GridExhausted(self.n_points, self._look(study, lambda ledger: ledger.n_running))

    def _look(
        self, study: Study, question: Callable[[Ledger], _T], number: int | None = None
    ) -> _T:
        """Ask the study's ledger, while no other thread changes it.

        It knows all trials, or with a number those up to it as they were when that trial was born:
        enough to tell whether its home is free, since only trials before it can have claimed that.
        """
        with self._lock:
            studies = self._studies
            known = studies.all(study) if number is None else studies.up_to(study, number)
            if known.ledger is None:
                shuffle, seed = _agree_on_order(study, self._shuffle, self._seed)
                known.ledger = Ledger(
                    Order(self._lattice, shuffle=shuffle, seed=seed),
                    max_retries=self._max_retries,
                    grace=_PATIENCE if retries_stale_trials(study) else 0.0,
                )
            known.ledger.update(known.trials.known)
            return question(known.ledger)


def _agree_on_order(study: Study, shuffle: bool, seed: int) -> tuple[bool, int]:
    """Take the order that the study began with, or begin it."""
    order = agree_on(study, _ORDER, {"v": VERSION, "shuffle": shuffle, "seed": seed})
    if (order["shuffle"], order["seed"]) != (shuffle, seed):
        _logger.warning(
            f"The study began its grid with shuffle={order['shuffle']}, seed={order['seed']}; "
            "it goes on so, since workers with different orders would repeat points."
        )
    return order["shuffle"], order["seed"]


def _choose(ledger: Ledger, trial: FrozenTrial) -> tuple[dict[str, Value] | None, bool, float]:
    """Give a point for a trial or None, whether no rival can have it, and how long to wait."""
    number = trial.number
    if is_enqueued(trial):
        point, is_new = ledger.complete(number, fixed_params(trial))
        return point, not is_new, 0.0
    place, at_home = ledger.choose(number)
    if place is None:
        return None, False, ledger.seconds_to_wait(number)
    return ledger.order.point(place), at_home, 0.0
