"""Optuna's storage as a sampler needs it.

Optuna has no public way for samplers to keep attributes, or to see the trials that a pruner hides,
so its private names are used here and nowhere else. Each sampler's folder is a package of its own
and holds the same copy of this file.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from optuna.distributions import BaseDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

StudyIdentity = tuple["weakref.ref[BaseStorage]", int, str]

# Set at birth on the trials of enqueue_trial and of RetryHeartbeatStaleTrialCallback.
FOREIGN = frozenset({"fixed_params", "failed_trial"})

_FEW = 2  # trials that are read one by one: that many cost as much as a query for all


class AnotherStudy(Exception):  # noqa: N818 - it is a finding, not a fault
    """What is known of a study does not fit its storage: it was deleted, and is another one now."""


class Trials:
    """A study's trials by number, of which only those that can have changed are read again.

    Whatever asks the storage for all trials pays for each of them, at every trial.

    Raises:
        AnotherStudy: By every method, where a trial is not the one that was known by its number.
    """

    def __init__(self) -> None:
        self._trials: list[FrozenTrial] = []
        self._unfinished: set[int] = set()
        self._announced: FrozenTrial | None = None
        self._read_for: int | None = None

    @property
    def known(self) -> Sequence[FrozenTrial]:
        """The trials as they were when they were read last."""
        return self._trials

    def announce(self, trial: FrozenTrial) -> None:
        """Take the next trial as it was born, so that it need not be read."""
        if trial.number < len(self._trials):
            known = self._trials[trial.number]
            if known.state.is_finished() or not _is_same(known, trial):
                raise AnotherStudy
        self._announced = trial

    def up_to(self, study: Study, number: int) -> Sequence[FrozenTrial]:
        """Give the trials up to a number at least, as they were when it was first asked for."""
        if number != self._read_for:
            stale = [*sorted(self._unfinished), *range(len(self._trials), number + 1)]
            if len([n for n in stale if n != number]) > _FEW:
                self.all(study)
            else:
                if self._trials and not self._unfinished:
                    stale.insert(0, len(self._trials) - 1)  # to see whether it is still there
                for n in stale:
                    self._put(self._read(study, n, is_asking=n == number))
            self._read_for = number
        return self._trials

    def all(self, study: Study) -> Sequence[FrozenTrial]:
        """Give all trials as they are now."""
        trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
        if len(trials) < len(self._trials) or not all(map(_is_same, self._trials[:1], trials)):
            raise AnotherStudy
        self._trials = trials
        self._unfinished = {t.number for t in self._trials if not t.state.is_finished()}
        self._read_for = None
        return self._trials

    def _read(self, study: Study, number: int, *, is_asking: bool) -> FrozenTrial:
        known = self._announced
        if is_asking and known is not None and known.number == number:
            return known
        storage, study_id = study._storage, study._study_id
        try:
            trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
            return storage.get_trial(trial_id)
        except KeyError as error:
            raise AnotherStudy from error

    def _put(self, trial: FrozenTrial) -> None:
        if trial.number == len(self._trials):
            self._trials.append(trial)
        elif _is_same(self._trials[trial.number], trial):
            self._trials[trial.number] = trial
        else:
            raise AnotherStudy
        if trial.state.is_finished():
            self._unfinished.discard(trial.number)
        else:
            self._unfinished.add(trial.number)


def _is_same(known: FrozenTrial, trial: FrozenTrial) -> bool:
    """Say whether a trial is the one that was known by its number.

    SQLite gives the ids of trials that were deleted to others, but these start at another time.
    """
    if known._trial_id != trial._trial_id:
        return False
    before, now = known.datetime_start, trial.datetime_start
    if before is None or before == now:  # it was waiting, and has begun
        return True
    if now is None:
        return False
    # MySQL keeps whole seconds, while a new trial tells the fraction, too.
    keeps_seconds = 0 in (before.microsecond, now.microsecond)
    return keeps_seconds and abs(before - now) < timedelta(seconds=1)


class Known:
    """What a sampler knows of one study: nothing that the storage does not tell again."""

    def __init__(self) -> None:
        self.trials = Trials()
        self.seed: int | None = None
        self._warned_of: set[str] = set()

    def is_news(self, subject: str) -> bool:
        """Say whether nobody has been warned of a subject in this study; from now on it is old."""
        is_new = subject not in self._warned_of
        self._warned_of.add(subject)
        return is_new


_K = TypeVar("_K", bound=Known)


class Studies(Generic[_K]):
    """What a sampler knows of each study.

    A study that is deleted and made again has the same name and, from SQLite, the same id. What
    was known of the former one is forgotten as soon as a trial shows that it is gone.

    Args:
        make: Gives what is known of a study at the beginning.
    """

    def __init__(self, make: Callable[[], _K]) -> None:
        self._make = make
        self._known: dict[StudyIdentity, _K] = {}
        self._last: tuple[weakref.ref[Study], _K] | None = None  # asked for ten times a trial

    def of(self, study: Study) -> _K:
        """Give what is known of a study."""
        last = self._last
        if last is not None and last[0]() is study:
            return last[1]
        key = identity(study)
        known = self._known.get(key) or self._known.setdefault(key, self._make())
        self._last = weakref.ref(study), known
        return known

    def born(self, study: Study, trial: FrozenTrial) -> _K:
        """Take the trial that asks next as it was born, see `Trials.announce`."""
        return self._knowing(study, lambda trials: trials.announce(trial))

    def up_to(self, study: Study, number: int) -> _K:
        """Know the trials up to a number at least, see `Trials.up_to`."""
        return self._knowing(study, lambda trials: trials.up_to(study, number))

    def all(self, study: Study) -> _K:
        """Know all trials as they are now."""
        return self._knowing(study, lambda trials: trials.all(study))

    def _knowing(self, study: Study, look: Callable[[Trials], object]) -> _K:
        known = self.of(study)
        try:
            look(known.trials)
        except AnotherStudy:
            known = self._known[identity(study)] = self._make()
            self._last = None
            look(known.trials)
        return known


def identity(study: Study) -> StudyIdentity:
    """Give what tells a study from all others at one time; in-memory storages number from 0.

    A reference to a storage that is gone equals none to another, while an `id` may come again.
    """
    return weakref.ref(study._storage), study._study_id, study.study_name


def write_trial(study: Study, trial: FrozenTrial, key: str, value: Any) -> None:
    """Keep an attribute with a trial."""
    study._storage.set_trial_system_attr(trial._trial_id, key, value)


def fail_trial(study: Study, trial: FrozenTrial) -> None:
    """End a trial that must not be evaluated."""
    study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def agree_on(study: Study, key: str, value: Any) -> Any:
    """Give what the study keeps under a key; where there is nothing yet, let it keep `value`."""
    storage, study_id = study._storage, study._study_id
    if key not in storage.get_study_system_attrs(study_id):
        storage.set_study_system_attr(study_id, key, value)
    return storage.get_study_system_attrs(study_id)[key]


def retries_stale_trials(study: Study) -> bool:
    """Say whether the storage puts trials whose worker is gone into the study again."""
    callback = getattr(study._storage, "get_heartbeat_stale_trial_callback", lambda: None)
    return callback() is not None


def stop(study: Study) -> bool:
    """End the optimisation loop; say whether there is one."""
    try:
        study.stop()
    except RuntimeError:
        return False
    return True


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Say whether a distribution has a value."""
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (TypeError, ValueError, OverflowError):
        return False


def legal(name: str, value: Any, distribution: BaseDistribution) -> Any:
    """Give a value as a distribution has it.

    Raises:
        ValueError: The distribution does not have it, or a storage would make it another one.
    """
    if not contains(distribution, value):
        raise ValueError(
            f"search_space[{name!r}]: {value!r} cannot be used; the objective allows {distribution}"
        )
    kept = distribution.to_external_repr(distribution.to_internal_repr(value))
    if isinstance(distribution, IntDistribution) and kept != value:
        raise ValueError(
            f"search_space[{name!r}]: {value!r} cannot be used; Optuna keeps numbers as doubles, "
            f"and would make it {kept!r}"
        )
    return kept
