"""What a sampler knows about the studies that it serves."""

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
    """What a sampler knows about one study; it can read all of it from the storage again."""

    def __init__(self) -> None:
        self.trials = Trials()
        self.seed: int | None = None
        self._warned_of: set[str] = set()

    def is_news(self, subject: str) -> bool:
        """Return whether this is the first call for a subject in this study."""
        is_new = subject not in self._warned_of
        self._warned_of.add(subject)
        return is_new


_K = TypeVar("_K", bound=Known)


class Studies(Generic[_K]):
    """What a sampler knows about each study.

    A study that is deleted and created again has the same name and, in SQLite, the same id. The
    sampler forgets the deleted study as soon as a trial shows that the study is another one.

    Args:
        make: Returns the empty knowledge about a study that has not been read.
    """

    def __init__(self, make: Callable[[], _K]) -> None:
        self._make = make
        self._known: dict[StudyIdentity, _K] = {}
        self._last: tuple[weakref.ref[Study], _K] | None = None  # asked for ten times per trial

    def of(self, study: Study) -> _K:
        """Return the knowledge about a study, without reading it."""
        last = self._last
        if last is not None and last[0]() is study:
            return last[1]
        key = identity(study)
        known = self._known.get(key) or self._known.setdefault(key, self._make())
        self._last = weakref.ref(study), known
        return known

    def born(self, study: Study, trial: FrozenTrial) -> _K:
        """Enter a trial that was just created, see `Trials.announce`; return the knowledge."""
        return self._knowing(study, lambda trials: trials.announce(trial))

    def up_to(self, study: Study, number: int) -> _K:
        """Read at least the trials up to a number, see `Trials.up_to`; return the knowledge."""
        return self._knowing(study, lambda trials: trials.up_to(study, number))

    def all(self, study: Study) -> _K:
        """Read all trials as they are now; return the knowledge."""
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
    """End the loop of `Study.optimize`; return False if there is no such loop."""
    try:
        study.stop()
    except RuntimeError:
        return False
    return True
