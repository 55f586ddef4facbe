"""What a sampler knows of the studies that it serves."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from optuna.trial import FrozenTrial

from .private import StudyIdentity, identity
from .trials import AnotherStudy, Trials

if TYPE_CHECKING:
    from optuna.study import Study


class Known:
    """What a sampler knows of one study; all of it can be read from the storage again."""

    def __init__(self) -> None:
        self.trials = Trials()
        self.seed: int | None = None
        self._warned_of: set[str] = set()

    def is_news(self, subject: str) -> bool:
        """Say whether a subject comes up for the first time in this study, and note that it did."""
        is_new = subject not in self._warned_of
        self._warned_of.add(subject)
        return is_new


_K = TypeVar("_K", bound=Known)


class Studies(Generic[_K]):
    """What a sampler knows of each study.

    A study that is deleted and created again has the same name and, in SQLite, the same id. The
    sampler forgets the deleted study as soon as a trial shows that the study is another one.

    Args:
        make: Gives what is known of a study before it is read.
    """

    def __init__(self, make: Callable[[], _K]) -> None:
        self._make = make
        self._known: dict[StudyIdentity, _K] = {}
        self._last: tuple[weakref.ref[Study], _K] | None = None  # needed ten times a trial

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
        """Take the trial that was just created, see `Trials.announce`."""
        return self._knowing(study, lambda trials: trials.announce(trial))

    def up_to(self, study: Study, number: int) -> _K:
        """Know at least the trials up to a number, see `Trials.up_to`."""
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


def stop(study: Study) -> bool:
    """End the loop of `Study.optimize`; say whether there is one."""
    try:
        study.stop()
    except RuntimeError:
        return False
    return True
