"""The base of all samplers: their memory is the study."""

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
    """A sampler whose memory is the study.

    It is pickled as its arguments. What it knows of a study is read again from the storage.
    """

    state_in_storage = True
    """A new sampler object for the same study continues as the old one would have."""

    @abstractmethod
    def _know_nothing(self) -> K:
        """Give what the sampler knows of a study that it has not read yet."""

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_studies", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._studies = Studies(self._know_nothing)
        self._lock = threading.RLock()


class SeededSampler(StudySampler[K]):
    """A sampler whose seed, where it is given none, is drawn and kept with the study."""

    _NAME: ClassVar[str]  # the key of the seed begins with it

    _seed: int | None

    def _seed_of(self, study: Study) -> int:
        """Give the seed that was given, or the one that the study keeps."""
        if self._seed is not None:
            return self._seed
        known = self._studies.of(study)
        with self._lock:
            if known.seed is None:
                known.seed = agree_on(study, f"{self._NAME}:seed", secrets.randbits(63))
            return int(known.seed)
