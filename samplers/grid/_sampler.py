"""The grid sampler: it evaluates each point once, with any number of workers, also if they die.

Workers share out the points without locks, by what the storage makes unique:

1. Trial numbers are unique. Each place in the order belongs to the trial of this rank: its number
   minus the number of earlier trials that the sampler does not serve (enqueued ones and retries).
   This needs no communication.
2. A place is open if its trial failed, or if the trial found its point already evaluated. A trial
   without a place writes a claim to an open place, and then reads all claims. If it sees a rival's
   claim to the same place, it withdraws, unless it has the lower number and sees the rival
   withdraw. Because each trial writes before it reads, at least one of two rivals sees the other.
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

# System attribute of a study: {"v": 1, "shuffle": bool, "seed": int}, by its first worker.
_ORDER = "grid:order"

_PATIENCE = 2.0  # seconds in which a rival must withdraw, and a stale trial must be retried
# With more places ahead than this, no worker checks after its trial whether the grid is finished,
# because each check reads the study.
_FAR_FROM_THE_END = 64


class GridExhausted(RuntimeError):  # noqa: N818 - it is an end, not a fault
    """No point is left to offer: all are evaluated, given up, or held by other trials.

    Attributes:
        running: Number of points that other trials still hold. If one of these trials fails, its
            point is offered again. 0 means that the grid is finished.
    """

    def __init__(self, n_points: int, running: int) -> None:
        super().__init__(n_points, running)  # pickle restores the exception from these arguments
        self.running = running

    def __str__(self) -> str:
        n_points, n = self.args
        what = f"{n} of them are still held by other trials" if n else "it is finished"
        return f"no point of the grid of {n_points} is left to offer; {what}"


class _Known(Known):
    """What the sampler knows about one study."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger: Ledger | None = None
        self.offers: dict[int, dict[str, Value]] = {}  # number of a running trial -> its point


class GridSampler(StudySampler[_Known]):
    """Evaluates each point of a grid exactly once.

    Any number of workers can share one storage: each point becomes COMPLETE (or PRUNED, which also
    counts as evaluated) once. If the trial of a point fails, or a heartbeat finds it stale, exactly
    one worker gets the point again, up to `max_retries` times. A RUNNING trial holds its point. The
    process has no state that the storage does not have.

    Under `Study.optimize` the study stops when no point is left; a worker that has already asked
    for a trial then gets a PRUNED trial without an evaluation. Under ask-and-tell, `is_exhausted`
    tells the end; a further `ask` fails its trial and raises `GridExhausted`.

    A point is identified by its values, each with a tolerance of 1e-8 of the gap to the next value
    on its axis. If values are added to an axis, or its order changes, only points are evaluated
    that no trial of the study has evaluated. An enqueued trial on the grid counts as its point. An
    enqueued trial with some fixed parameters gets a point with these values that no other trial
    has, as long as there is one. A new sampler object for the same study uses the order with which
    the study began.

    Args:
        search_space: Name to values, or to an Optuna distribution. An integer range, a float range
            with a step, or a categorical distribution stands for all its values that Optuna
            accepts, and any range for `levels` values of it. Values are None, bool, int, float or
            str, also as NumPy's types.
        levels: Number of values of a range, at least 1, for all ranges or by name. The values are
            spread evenly from end to end, geometrically if the range is log. They are rounded to
            the integers or steps of the range, without duplicates.
        shuffle: Whether the order of the grid is shuffled by `seed`, so that a part of the grid is
            a fair sample of it. If False, the order is lexicographic, with the last parameter
            fastest.
        seed: Key of the shuffled order. All workers of a study use the order of the first one.
        max_retries: How often a failing point is offered again, at least 0; then it is given up,
            and `given_up` reports it.

    Raises:
        ValueError: An argument cannot be used; the text names it and a correct value.

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
        """Number of points of the grid."""
        return self._lattice.size

    def is_exhausted(self, study: Study) -> bool:
        """Return whether all points are evaluated or given up; a running point is neither."""
        return self._look(study, lambda ledger: ledger.is_finished)

    def is_all_taken(self, study: Study) -> bool:
        """Return whether an `ask` would get no point now: running trials hold all that are left."""
        return self._look(study, lambda ledger: not ledger.has_offer)

    def given_up(self, study: Study) -> list[dict[str, Value]]:
        """Return the points that failed more than `max_retries` times, in the grid's order."""
        return self._look(study, lambda led: [led.order.point(p) for p in sorted(led.given_up)])

    def infer_relative_search_space(
        self,
        study: Study,
        trial: FrozenTrial,  # noqa: ARG002 - Optuna's signature
    ) -> dict[str, BaseDistribution]:
        """Return an empty space: values are given one by one, so that each can be checked.

        Raises:
            ValueError: The study has several objectives.
        """
        self._raise_error_if_multi_objective(study)
        return {}

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,  # noqa: ARG002 - Optuna's signature
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:
        """Return no value, see `infer_relative_search_space`."""
        self._raise_error_if_multi_objective(study)
        return {}

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Choose the trial's point, unless the trial already has one.

        Raises:
            GridExhausted: No point is left, and `Study.optimize` is not running.
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
        """Return the parameter's value at the trial's point.

        Raises:
            ValueError: The grid does not have the parameter, the objective's range does not contain
                the value, or the study has several objectives.
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
        """Stop the study if nothing is left to offer after this trial."""
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
        """Return the point of a trial; choose one if nobody called `before_trial`."""
        known = self._studies.of(study).offers.get(trial.number) or claimed(trial)
        if known is not None:
            return known
        if SURPLUS in trial.system_attrs:
            raise optuna.TrialPruned("no point of the grid was left for this trial")
        return self._find(study, trial)

    def _find(self, study: Study, trial: FrozenTrial) -> dict[str, Value]:
        """Choose a point for a trial that has none, and store it as the trial's claim."""
        number = trial.number
        choice = self._look(study, lambda ledger: _choose(ledger, trial), number)
        while True:
            point, at_home, wait = choice
            if point is not None:
                write_trial(study, trial, CLAIM, {"v": VERSION, "point": point})
                if at_home or self._keeps(study, number, point):
                    self._studies.of(study).offers[number] = point
                    return point
                # Withdraw at once: a rival with a lower number waits for it.
                write_trial(study, trial, CLAIM, None)
            elif wait > 0:
                time.sleep(wait)
            else:
                return self._refuse(study, trial)
            choice = self._look(study, lambda ledger: _choose(ledger, trial))

    def _keeps(self, study: Study, number: int, point: dict[str, Value]) -> bool:
        """Return, after the claim is stored, whether the trial keeps the point."""
        give_up = time.monotonic() + _PATIENCE
        while time.monotonic() < give_up:
            verdict = self._look(study, lambda ledger: ledger.verdict(number, point))
            if verdict is not None:
                return verdict
            time.sleep(0.02)
        return False

    def _refuse(self, study: Study, trial: FrozenTrial) -> dict[str, Value]:
        """End a trial for which no point is left: stop the study, or raise GridExhausted."""
        write_trial(study, trial, SURPLUS, True)
        if stop(study):
            # A sampler cannot leave the loop here: the first suggestion will end the trial as
            # PRUNED.
            return {}
        fail_trial(study, trial)
        raise GridExhausted(self.n_points, self._look(study, lambda ledger: ledger.n_running))

    def _look(
        self, study: Study, question: Callable[[Ledger], _T], number: int | None = None
    ) -> _T:
        """Ask the study's ledger a question, while no other thread changes it.

        Args:
            study: The study.
            question: A function of the ledger.
            number: A trial's number: read only the trials up to it, as of its first request. Only
                earlier trials can have claimed its home, so this suffices to see whether the home
                is free. None: read all trials.
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
    """Return the shuffle and the seed with which the study began; store them in a new study."""
    order = agree_on(study, _ORDER, {"v": VERSION, "shuffle": shuffle, "seed": seed})
    if (order["shuffle"], order["seed"]) != (shuffle, seed):
        _logger.warning(
            f"The study began its grid with shuffle={order['shuffle']}, seed={order['seed']}; "
            "it goes on so, since workers with different orders would repeat points."
        )
    return order["shuffle"], order["seed"]


def _choose(ledger: Ledger, trial: FrozenTrial) -> tuple[dict[str, Value] | None, bool, float]:
    """Choose a point for a trial.

    Returns:
        The point or None, whether no rival can have it, and the seconds to wait for a point.
    """
    number = trial.number
    if is_enqueued(trial):
        point, is_new = ledger.complete(number, fixed_params(trial))
        return point, not is_new, 0.0
    place, at_home = ledger.choose(number)
    if place is None:
        return None, False, ledger.seconds_to_wait(number)
    return ledger.order.point(place), at_home, 0.0
