"""The base of all samplers, which keep their state in the study."""

from __future__ import annotations

import secrets
import threading
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from optuna.samplers import BaseSampler

from .private import agree_on
from .studies import Known, Studies

if TYPE_CHECKING:
    from optuna.study import Study

K = TypeVar("K", bound=Known)


class StudySampler(BaseSampler, Generic[K]):
    """A sampler that keeps its state in the study.

    Only its arguments are pickled. A copy reads the study again from the storage.
    """

    state_in_storage = True
    """True: a new sampler object for the same study continues as the old one would have."""

    @abstractmethod
    def _know_nothing(self) -> K:
        """Return the sampler's empty knowledge about a study that it has not read yet."""

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_studies", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        """Drop all knowledge about studies, and make a new lock, which cannot be pickled."""
        self._studies = Studies(self._know_nothing)
        self._lock = threading.RLock()


class SeededSampler(StudySampler[K]):
    """A sampler that draws a seed and stores it with the study, unless a seed is given."""

    _NAME: ClassVar[str]
    """Prefix of the study's system attribute that holds the seed."""

    _seed: int | None
    """The given seed; None if the study holds it."""

    def _seed_of(self, study: Study) -> int:
        """Return the given seed, or the one that the study holds."""
        if self._seed is not None:
            return self._seed
        known = self._studies.of(study)
        with self._lock:
            if known.seed is None:
                known.seed = agree_on(study, f"{self._NAME}:seed", secrets.randbits(63))
            return int(known.seed)
