"""The base of samplers that draw all parameters of a trial together."""

from __future__ import annotations

import logging
import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from .arguments import checked_integer, checked_space
from .sampler import SeededSampler
from .spaces import StudySpace
from .studies import Known

if TYPE_CHECKING:
    from optuna.study import Study


class Memory(Protocol):
    """What an algorithm remembers of a study's trials, in one space."""

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        """Take account of what has changed; `trials` are those of the study, by number."""


M = TypeVar("M", bound=Memory)


class KnownInSpace(Known, Generic[M]):
    """What a relative sampler knows of one study.

    Args:
        seen: The space that the trials make up, as the sampler wants it.
    """

    def __init__(self, seen: StudySpace) -> None:
        super().__init__()
        self.seen = seen
        self.space: Mapping[str, BaseDistribution] = {}  # that was asked for last
        self.memory: M | None = None  # of that space


class RelativeSampler(SeededSampler[KnownInSpace[M]], Generic[M]):
    """A sampler that draws all parameters of a space together ("relative sampling" in Optuna).

    The space is an argument, or the one that the trials make up. Parameters outside of the
    space are drawn at random, with one warning for each.
    """

    _WHAT: ClassVar[str]  # has the search space, as the warnings call it
    _LOGGER: ClassVar[logging.Logger]

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Take note of the trial, which will ask for parameters next."""
        self._studies.born(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Give the space in which parameters are drawn together."""
        self._raise_error_if_multi_objective(study)
        return self._space_of(study, trial.number)

    @abstractmethod
    def _new_memory(self, study: Study, search_space: Mapping[str, BaseDistribution]) -> M:
        """Give a memory of a space that has seen no trial."""

    def _configure(self, seed: object, search_space: object, warn: object) -> None:
        self._seed = None if seed is None else checked_integer("seed", seed, "or None")
        self._space = checked_space(search_space)
        self._warn = bool(warn)
        self._forget()

    def _memory_of(
        self, study: Study, search_space: Mapping[str, BaseDistribution], known: KnownInSpace[M]
    ) -> M:
        """Give the memory of a space, up to date with the trials that are known."""
        if known.memory is None or known.space != search_space:
            known.space = dict(search_space)
            known.memory = self._new_memory(study, search_space)
        known.memory.update(known.trials.known)
        return known.memory

    def _space_of(self, study: Study, number: int | None = None) -> dict[str, BaseDistribution]:
        """Give the space as it is now, or as it was when the trial of a number first asked."""
        space = self._space
        if space is None:
            with self._lock:
                studies = self._studies
                known = studies.all(study) if number is None else studies.up_to(study, number)
                known.seen.update(known.trials.known)
                space = known.seen.space or {}
        return {name: d for name, d in sorted(space.items()) if not d.single()}

    def _generator(
        self, study: Study, number: int, parameter: str | None = None
    ) -> np.random.Generator:
        """Give the random generator of a trial, or of one of its parameters."""
        entropy = [self._seed_of(study) % 2**64, number]
        if parameter is not None:
            label = blake2b(parameter.encode(), digest_size=8).digest()
            entropy.append(int.from_bytes(label, "big"))
        return np.random.default_rng(entropy)

    def _warn_of_parameter(self, study: Study, trial: FrozenTrial, name: str) -> None:
        """Warn, once for each parameter of a study, of one that is drawn at random."""
        if not self._warn or trial.number == 0 or not self._space_of(study, trial.number):
            return
        if self._studies.of(study).is_news(f"parameter {name}"):
            sampler = type(self).__name__
            self._LOGGER.warning(
                f"The parameter `{name}` in Trial#{trial.number} is sampled independently "
                f"by random sampling instead of `{sampler}`, potentially degrading the "
                "optimization performance. This fallback happened because the parameter is not in "
                f"the search space of the {self._WHAT}. You can suppress this warning by setting "
                "`warn_independent_sampling` to `False` in the constructor of "
                f"`{sampler}` if this independent sampling is intended behavior. "
                "Later trials of this study are not warned of for this parameter."
            )

    def _warn_of_constraints(self, trial: FrozenTrial) -> None:
        if trial.constraints:
            warnings.warn(
                f"Constraints have been set, but {type(self).__name__} does not use them.",
                stacklevel=3,  # to name the caller of after_trial
            )
