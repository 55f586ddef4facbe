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
    """What an algorithm remembers about the trials of a study, in one search space."""

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        """Enter the changes since the last call; `trials` are those of the study, by number."""


M = TypeVar("M", bound=Memory)


class KnownInSpace(Known, Generic[M]):
    """What a relative sampler knows about one study.

    Args:
        seen: The search space that the sampler derives from the trials.
    """

    def __init__(self, seen: StudySpace) -> None:
        super().__init__()
        self.seen = seen
        self.space: Mapping[str, BaseDistribution] = {}  # the space of `memory`
        self.memory: M | None = None


class RelativeSampler(SeededSampler[KnownInSpace[M]], Generic[M]):
    """A sampler that draws all parameters of a space together ("relative sampling" in Optuna).

    The space is an argument, or is derived from the trials. Parameters outside of the space are
    drawn at random, with one warning for each.
    """

    _WHAT: ClassVar[str]
    """The algorithm's part that has the search space, in words for warnings."""
    _LOGGER: ClassVar[logging.Logger]
    """The logger of the sampler."""

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Note the new trial, which will ask for parameters next."""
        self._studies.born(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the space in which the trial's parameters are drawn together.

        Raises:
            ValueError: The study has several objectives.
        """
        self._raise_error_if_multi_objective(study)
        return self._space_of(study, trial.number)

    @abstractmethod
    def _new_memory(self, study: Study, search_space: Mapping[str, BaseDistribution]) -> M:
        """Return a memory for a search space that has seen no trial."""

    def _configure(self, seed: object, search_space: object, warn: object) -> None:
        """Check and store the arguments that all relative samplers have."""
        self._seed = None if seed is None else checked_integer("seed", seed, "or None")
        self._space = checked_space(search_space)
        self._warn = bool(warn)
        self._forget()

    def _memory_of(
        self, study: Study, search_space: Mapping[str, BaseDistribution], known: KnownInSpace[M]
    ) -> M:
        """Return the memory for a search space, updated by all known trials.

        Only the memory of the latest space is kept.
        """
        if known.memory is None or known.space != search_space:
            known.space = dict(search_space)
            known.memory = self._new_memory(study, search_space)
        known.memory.update(known.trials.known)
        return known.memory

    def _space_of(self, study: Study, number: int | None = None) -> dict[str, BaseDistribution]:
        """Return the search space, without parameters of a single value, sorted by name.

        Args:
            study: The study.
            number: A trial's number: the space is the one at this trial's first request. None: the
                space is the current one.
        """
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
        """Return the random generator of a trial, or of one of its parameters.

        It depends on the sampler's seed, the trial's number and the parameter's name only.
        """
        entropy = [self._seed_of(study) % 2**64, number]  # NumPy takes no negative entropy
        if parameter is not None:
            # Python's own hash of a text changes from process to process.
            label = blake2b(parameter.encode(), digest_size=8).digest()
            entropy.append(int.from_bytes(label, "big"))
        return np.random.default_rng(entropy)

    def _warn_of_parameter(self, study: Study, trial: FrozenTrial, name: str) -> None:
        """Warn that a parameter is drawn at random, once per parameter and study."""
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
                stacklevel=3,  # the warning names the caller of after_trial
            )
