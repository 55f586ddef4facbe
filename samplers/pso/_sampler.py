"""The particle swarm sampler: the swarm's memory is the study."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from samplers._base.arguments import checked_integer, checked_number
from samplers._base.logs import logger_of
from samplers._base.private import write_trial
from samplers._base.relative import KnownInSpace, RelativeSampler
from samplers._base.spaces import CommonSpace, SeenSpace
from samplers._base.studies import stop
from samplers._base.trials import is_enqueued

from ._classic import ClassicSettings, ClassicSwarm
from ._cube import Cube
from ._memory import MOVE, Engine, Memory
from ._space import Space, clipped, middle
from ._swarm import Settings, Swarm

if TYPE_CHECKING:
    from optuna.study import Study


class PSOSampler(RelativeSampler[Memory]):
    """Particle swarm optimisation, asynchronous, for budgets of tens to hundreds of trials.

    A particle moves as soon as somebody asks on its turn, from where its own last finished trial
    left it: no generations, no barrier, no lock. What it does is a function of the finished trials
    in the storage, the seed and the trial's number, so a study that is continued elsewhere goes on
    as if it had never been interrupted, and any number of workers may share one.

    The move is that of Kennedy and Eberhart (1995) with an inertia (Shi and Eberhart 1998). Its
    random factors are taken along the eigenvectors of the personal bests. The particle that holds
    the best point samples around it instead (after van den Bergh and Engelbrecht 2002). The swarm
    restarts when the personal bests lie within a hundredth of the ranges and two rounds have found
    nothing better, or when they lie within a hundred thousandth.

    A surrogate model chooses among `n_candidates` draws of each move:

    - "rbf": a cubic radial basis function on the ranks of the nearest trials (after Regis 2014).
    - "gp": the same, but a Gaussian process (Rasmussen and Williams 2006) chooses every other
      trial, or every third if no parameter has levels or choices. Beside the moves it considers
      points near the best ones and points anywhere, and takes the largest expected improvement
      (Ament et al. 2023). It assumes that running trials come out at its mean. It also chooses half
      of the startup trials; the others are the centre of the space and a scrambled Halton sequence.
      If it finds noise, its mean decides which of a particle's points is the best.
    - None, or one candidate: the pure swarm.

    Finished trials: COMPLETE ones move the swarm, including enqueued ones and those of others. A
    PRUNED one does not move its particle, which tries again from where it was. The Gaussian process
    estimates its value by what the trials with similar reports came to; the radial functions take
    it for worse than all others. A FAILed one (NaN included) leaves no trace. The swarm proposes a
    discrete configuration that is COMPLETE, PRUNED or running again only if redrawing finds no
    other one, first among the neighbours of the particle's best and then anywhere.

    Categorical parameters adopt, one by one, the choice of the particle, of its personal best or
    of the best, with the weights of the velocity's terms: choices get no order.

    Trials may have different parameters. The space is the union of those that COMPLETE trials had,
    and a range that changes is as wide as all of its ranges together. The swarm learns which
    choices go with which parameters. A parameter that was never seen is drawn at random, with one
    warning. The pure swarm and the classic one use the parameters that all COMPLETE trials share.

    An enqueued trial with some parameters fixed takes no particle's turn, and draws the others for
    itself: no two such trials are one point.

    Args:
        seed: Any integer; None draws one and keeps it with the study.
        search_space: Name to distribution; None takes what COMPLETE trials had. A trial may lack
            some of it.
        swarm_size: Particles, at least 2; None for round(6 + 2 ln d) in d dimensions.
        inertia: w, in [0, 1).
        cognitive: c1, the pull of the particle's own best, at least 0.
        social: c2, the pull of the swarm's best, at least 0.
        max_velocity: In shares of a range, in (0, 1].
        surrogate: "gp", "rbf" or None: what chooses among the candidates.
        n_candidates: Moves that it chooses from, at least 1.
        warn_independent_sampling: Warn of parameters that are drawn at random.

    Raises:
        ValueError: An argument that cannot be used; the text names it and says what is right.

    Example:
        >>> import optuna
        >>> from samplers.pso import PSOSampler
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> study = optuna.create_study(sampler=PSOSampler(seed=1))
        >>> study.optimize(lambda trial: (trial.suggest_float("x", -5, 5) - 2) ** 2, n_trials=50)
        >>> study.best_value < 1e-3
        True
    """

    _NAME = "pso"
    _WHAT = "swarm"
    _LOGGER = logger_of("pso")

    def __init__(
        self,
        *,
        seed: int | None = None,
        search_space: Mapping[str, BaseDistribution] | None = None,
        swarm_size: int | None = None,
        inertia: float = 0.4,
        cognitive: float = 1.6,
        social: float = 2.0,
        max_velocity: float = 0.2,
        surrogate: Literal["gp", "rbf"] | None = "gp",
        n_candidates: int = 32,
        warn_independent_sampling: bool = True,
    ) -> None:
        if swarm_size is not None:
            swarm_size = checked_integer("swarm_size", swarm_size, ">= 2", lambda s: s >= 2)
        self._variant: _Modern | _Classic = _Modern(
            swarm_size,
            checked_number("inertia", inertia, "in [0, 1)", lambda w: 0 <= w < 1),
            checked_number("cognitive", cognitive, ">= 0", lambda c: 0 <= c < math.inf),
            checked_number("social", social, ">= 0", lambda c: 0 <= c < math.inf),
            checked_number("max_velocity", max_velocity, "in (0, 1]", lambda v: 0 < v <= 1),
            checked_integer("n_candidates", n_candidates, ">= 1", lambda n: n >= 1),
            _checked_surrogate(surrogate),
        )
        self._configure(seed, search_space, warn_independent_sampling)

    @classmethod
    def classic(
        cls,
        *,
        seed: int | None = None,
        search_space: Mapping[str, BaseDistribution] | None = None,
        swarm_size: int = 10,
        inertia: float = 0.73,
        phi_l: float = 1.5,
        phi_g: float = 1.5,
        epsilon: float = 1e-3,
        warn_independent_sampling: bool = True,
    ) -> PSOSampler:
        """Give Algorithm 3 of Goulas and Hocquette, "Deep Learning Project Report" (ICE, P24).

        Generations of `swarm_size` trials, zero initial velocity, and per generation one draw of
        u_l ~ U[0, phi_l] towards the best point of the last generation and one of u_g ~ U[0, phi_g]
        towards the best of all. The study ends when the norm of the velocities of a whole
        generation, in shares of the ranges, is below epsilon: `Study.optimize` then stops, and
        `is_exhausted` tells it to others.

        Args:
            seed: Any integer; None draws one and keeps it with the study.
            search_space: Name to distribution; None takes what all COMPLETE trials have in common.
            swarm_size: S, at least 2.
            inertia: w, in [0, 1).
            phi_l: At least 0.
            phi_g: At least 0.
            epsilon: At least 0; with 0 the study does not end by itself.
            warn_independent_sampling: Warn of parameters that are drawn at random.

        Raises:
            ValueError: An argument that cannot be used; the text names it and says what is right.
        """
        settings = ClassicSettings(
            checked_integer("swarm_size", swarm_size, ">= 2", lambda s: s >= 2),
            checked_number("inertia", inertia, "in [0, 1)", lambda w: 0 <= w < 1),
            checked_number("phi_l", phi_l, ">= 0", lambda u: 0 <= u < math.inf),
            checked_number("phi_g", phi_g, ">= 0", lambda u: 0 <= u < math.inf),
            checked_number("epsilon", epsilon, ">= 0", lambda e: 0 <= e < math.inf),
        )
        sampler = cls.__new__(cls)
        sampler._variant = _Classic(settings)
        sampler._configure(seed, search_space, warn_independent_sampling)
        return sampler

    def n_startup_trials(self, search_space: Mapping[str, BaseDistribution]) -> int:
        """Say how many points are spread over a space before the swarm moves there.

        A study of no more trials is that spread and no search: give it a smaller `swarm_size`.
        """
        n_moving = sum(not distribution.single() for distribution in search_space.values())
        return self._variant.n_startup_trials(n_moving)

    def is_exhausted(self, study: Study) -> bool:
        """Say whether a classic swarm has converged; the default one never ends by itself."""
        if not isinstance(self._variant, _Classic):
            return False
        space = self._space_of(study)
        if not space:
            return False
        with self._lock:
            memory = self._memory_of(study, space, self._studies.all(study))
            return memory.engine.has_converged(memory.turns_over())

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Move a particle, or repeat the move that the trial has."""
        self._raise_error_if_multi_objective(study)
        if not search_space:
            return {}
        with self._lock:
            known = self._studies.up_to(study, trial.number)
            memory = self._memory_of(study, search_space, known)
            born = known.trials.known[trial.number]
            stored = memory.stored(born)
            if stored is not None:
                return memory.space.decode(stored[1].x)
            turn, move = memory.ask(born)
        write_trial(study, trial, MOVE, memory.to_json(turn, move))
        return memory.space.decode(move.x)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw a parameter that the swarm does not know; the first trial takes the middle."""
        self._raise_error_if_multi_objective(study)
        is_first = trial.number == 0 and not is_enqueued(trial)
        if is_first and isinstance(self._variant, _Modern):
            return middle(param_distribution)
        moved = self._moved(study, trial, param_name)
        if moved is not None:  # the range has changed, and does not reach as far
            return clipped(param_distribution, moved)
        self._warn_of_parameter(study, trial, param_name)
        rng = self._generator(study, trial.number, param_name)
        return Space({param_name: param_distribution}).decode(rng.random(1))[param_name]

    def _moved(self, study: Study, trial: FrozenTrial, name: str) -> Any:
        """Give what the trial's move says of a parameter; None where it says nothing."""
        space = self._space_of(study, trial.number) if self._variant.takes_parts else {}
        if name not in space:
            return None
        with self._lock:
            memory = self._memory_of(study, space, self._studies.up_to(study, trial.number))
        stored = memory.stored(trial)
        return None if stored is None else memory.space.decode(stored[1].x)[name]

    def recommend(self, study: Study) -> dict[str, Any]:
        """Give the configuration that is believed to be the best one that was evaluated.

        Where the Gaussian process finds noise, that is the one of the five best values' with the
        best posterior mean; otherwise, the configuration of `study.best_trial`.

        Raises:
            ValueError: No trial is complete.
        """
        best, space = study.best_trial, self._space_of(study)
        if not space:
            return best.params
        with self._lock:
            known = self._studies.all(study)
            number = self._memory_of(study, space, known).engine.recommend()
            return best.params if number is None else dict(known.trials.known[number].params)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """End the study when a classic swarm has converged."""
        self._warn_of_constraints(trial)
        if not isinstance(self._variant, _Classic):
            return
        space = self._space_of(study, trial.number)
        if not space:
            return
        with self._lock:
            known = self._studies.all(study)
            trials, memory = list(known.trials.known), self._memory_of(study, space, known)
            size = self._variant.settings.swarm_size
            if memory.turns_over(trial.number) // size == memory.turns_over() // size:
                return  # no further generation is whole
            # The trial is not finished in the storage yet, so a memory of its own is asked.
            memory = self._new_memory(study, space)
            finished = copy.copy(trial)
            finished.state = state
            finished.values = values if state == TrialState.COMPLETE else None
            trials[trial.number] = finished
            memory.update(trials)
            if memory.engine.has_converged(memory.turns_over()):
                stop(study)

    def _know_nothing(self) -> KnownInSpace[Memory]:
        kind = SeenSpace if self._variant.takes_parts else CommonSpace
        return KnownInSpace(kind(lambda trial: trial.state == TrialState.COMPLETE))

    def _new_memory(self, study: Study, search_space: Mapping[str, BaseDistribution]) -> Memory:
        space = Space(search_space)
        engine = self._variant.engine(space.cube, self._seed_of(study) % 2**64)
        return Memory(space, engine, study.direction, takes_parts=self._variant.takes_parts)


def _checked_surrogate(surrogate: object) -> str | None:
    if surrogate not in ("gp", "rbf", None):
        raise ValueError(
            f"surrogate: {surrogate!r} cannot be used; give 'gp', 'rbf', or None for the pure swarm"
        )
    return None if surrogate is None else str(surrogate)


@dataclass(frozen=True)
class _Modern:
    """The default swarm, its size still to be fitted to the space."""

    swarm_size: int | None
    inertia: float
    cognitive: float
    social: float
    max_velocity: float
    n_candidates: int
    surrogate: str | None

    def engine(self, cube: Cube, seed: int) -> Engine:
        return Swarm(cube, self._settings(len(cube)), seed)

    @property
    def takes_parts(self) -> bool:
        """Whether trials that lack parameters of the space are taken into account."""
        return self._settings(1).surrogate is not None

    def n_startup_trials(self, n_dimensions: int) -> int:
        return self._settings(n_dimensions).n_spread if n_dimensions else 0

    def _settings(self, n_dimensions: int) -> Settings:
        n_candidates = 1 if self.surrogate is None else self.n_candidates
        return Settings(
            self.swarm_size or round(6 + 2 * math.log(n_dimensions)),
            self.inertia,
            self.cognitive,
            self.social,
            self.max_velocity,
            n_candidates,
            self.surrogate if n_candidates > 1 else None,
        )


@dataclass(frozen=True)
class _Classic:
    """The report's swarm."""

    settings: ClassicSettings
    takes_parts = False

    def engine(self, cube: Cube, seed: int) -> Engine:
        return ClassicSwarm(cube, self.settings, seed)

    def n_startup_trials(self, n_dimensions: int) -> int:
        return self.settings.swarm_size if n_dimensions else 0
