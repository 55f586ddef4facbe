"""The particle swarm sampler: the swarm's memory is the study."""

from __future__ import annotations

import bisect
import copy
import logging
import math
import secrets
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ._arguments import checked_integer, checked_number, checked_space
from ._classic import ClassicSettings, ClassicSwarm
from ._space import Space, middle
from ._storage import FOREIGN, Known, Studies, agree_on, stop, write_trial
from ._swarm import Array, Cube, Evaluation, Move, Settings, Swarm

if TYPE_CHECKING:
    from optuna.study import Study

# Below "optuna", whatever this package is called, so that `optuna.logging` reaches it.
_logger = optuna.logging.get_logger("optuna.hpo_bench_samplers.pso")
# Without it, Python prints warnings where Optuna's handler is disabled and no other is there.
_logger.addHandler(logging.NullHandler())

_VERSION = 1
_MOVE = "pso:move"  # of a trial: its position and what the next moves must know of it
_SEED = "pso:seed"  # of a study whose sampler was given none: the seed that was drawn

_DIGITS = 12  # of a stored coordinate: what is stored is what is used, so none is lost


class _Engine(Protocol):
    """What the sampler needs of a swarm."""

    def see(self, turn: int, move: Move) -> None: ...
    def tell(self, evaluation: Evaluation, turn: int | None) -> None: ...
    def ask(
        self,
        number: int,
        turn: int,
        running: Iterable[Array] = (),
        fixed: Mapping[int, float] | None = None,
    ) -> Move: ...
    def has_converged(self, turns: int) -> bool: ...


class PSOSampler(BaseSampler):
    """Particle swarm optimisation, asynchronous, for budgets of tens to hundreds of trials.

    A particle moves as soon as somebody asks on its turn, from where its own last finished trial
    left it: no generations, no barrier, no lock. What it does is a function of the finished trials
    in the storage, the seed and the trial's number, so a study that is continued elsewhere goes on
    as if it had never been interrupted, and any number of workers may share one.

    The swarm starts from the best of twice as many initial points (the centre of the space, then a
    scrambled Halton sequence). The move is that of Kennedy and Eberhart (1995) with an inertia
    (Shi and Eberhart 1998), its random factors taken along the eigenvectors of the personal bests.
    The particle that holds the best point samples around it instead (after van den Bergh and
    Engelbrecht 2002). Of `n_candidates` draws of a move, the one that a cubic radial basis
    function on the ranks of the nearest trials predicts best is evaluated (after Regis 2014);
    1 leaves the pure swarm. When the personal bests lie within a hundredth of the ranges and two
    rounds have found nothing better, or within a hundred thousandth, the swarm starts again.

    What finished trials mean: COMPLETE ones move the swarm, enqueued or others' ones too. A PRUNED
    one is no position of its particle, which tries again from where it was; the model takes it for
    worse than all others. A FAILed one (NaN included) leaves no trace. A discrete configuration
    that was COMPLETE, PRUNED or is running is proposed again only if redrawing, first among the
    neighbours of the particle's best, then anywhere, finds no other: the space is all but used up.

    Categorical parameters adopt, one by one, the choice of the particle, of its personal best or
    of the best, with the weights of the velocity's terms: no order of the choices is made up, and
    a choice spreads as fast as a number would. Parameters outside the common space of all COMPLETE
    trials (conditional ones) are drawn at random, with one warning for each of them.

    An enqueued trial with some parameters fixed takes no particle's turn, and draws the others for
    itself: no two such trials are one point.

    Args:
        seed: Any integer; None draws one and keeps it with the study.
        search_space: Name to distribution; None takes what all COMPLETE trials have in common.
        swarm_size: Particles, at least 2; None for round(6 + 2 ln d) in d dimensions. Until twice
            as many trials are done the swarm does not move (`n_startup_trials`).
        inertia: w, in [0, 1).
        cognitive: c1, the pull of the particle's own best, at least 0.
        social: c2, the pull of the swarm's best, at least 0.
        max_velocity: In shares of a range, in (0, 1].
        n_candidates: At least 1.
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

    state_in_storage = True
    """Whoever builds it anew on the same study goes on as if nothing had happened."""

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
        n_candidates: int = 32,
        warn_independent_sampling: bool = True,
    ) -> None:
        if swarm_size is not None:
            swarm_size = checked_integer("swarm_size", swarm_size, ">= 2", lambda s: s >= 2)
        variant = _Modern(
            swarm_size,
            checked_number("inertia", inertia, "in [0, 1)", lambda w: 0 <= w < 1),
            checked_number("cognitive", cognitive, ">= 0", lambda c: 0 <= c < math.inf),
            checked_number("social", social, ">= 0", lambda c: 0 <= c < math.inf),
            checked_number("max_velocity", max_velocity, "in (0, 1]", lambda v: 0 < v <= 1),
            checked_integer("n_candidates", n_candidates, ">= 1", lambda n: n >= 1),
        )
        self._configure(seed, search_space, warn_independent_sampling, variant)

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
        sampler._configure(seed, search_space, warn_independent_sampling, _Classic(settings))
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

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Take note of the trial, which asks next."""
        self._studies.born(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Give the space in which particles move."""
        self._raise_error_if_multi_objective(study)
        return self._space_of(study, trial.number)

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
        write_trial(study, trial, _MOVE, memory.to_json(turn, move))
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
        is_first = trial.number == 0 and "fixed_params" not in trial.system_attrs
        if is_first and isinstance(self._variant, _Modern):
            return middle(param_distribution)
        self._warn_of(study, trial, param_name)
        label = int.from_bytes(blake2b(param_name.encode(), digest_size=8).digest(), "big")
        rng = np.random.default_rng([self._seed_of(study), trial.number, label])
        return Space({param_name: param_distribution}).decode(rng.random(1))[param_name]

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """End the study when a classic swarm has converged."""
        if trial.constraints:
            warnings.warn(
                f"Constraints have been set, but {type(self).__name__} does not use them.",
                stacklevel=2,
            )
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
            memory = self._fresh_memory(study, space)
            finished = copy.copy(trial)
            finished.state = state
            finished.values = values if state == TrialState.COMPLETE else None
            trials[trial.number] = finished
            memory.update(trials)
            if memory.engine.has_converged(memory.turns_over()):
                stop(study)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the configuration; the caches are built again from the storage."""
        caches = ("_studies", "_lock")
        return {k: v for k, v in self.__dict__.items() if k not in caches}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _configure(
        self,
        seed: int | None,
        search_space: Mapping[str, BaseDistribution] | None,
        warn: bool,
        variant: _Modern | _Classic,
    ) -> None:
        self._seed = None if seed is None else checked_integer("seed", seed, "or None")
        self._space = checked_space(search_space)
        self._warn = bool(warn)
        self._variant = variant
        self._forget()

    def _forget(self) -> None:
        self._studies = Studies(_Known)
        self._lock = threading.RLock()

    def _warn_of(self, study: Study, trial: FrozenTrial, name: str) -> None:
        """Warn, once for each parameter of a study, of one that is drawn at random."""
        if not self._warn or trial.number == 0 or not self._space_of(study, trial.number):
            return
        if self._studies.of(study).is_news(f"parameter {name}"):
            _logger.warning(
                f"The parameter `{name}` in Trial#{trial.number} is sampled independently "
                f"by random sampling instead of `{type(self).__name__}`, potentially degrading the "
                "optimization performance. This fallback happened because the parameter is not in "
                "the search space of the swarm. You can suppress this warning by setting "
                "`warn_independent_sampling` to `False` in the constructor of "
                f"`{type(self).__name__}` if this independent sampling is intended behavior. "
                "Later trials of this study are not warned of for this parameter."
            )

    def _space_of(self, study: Study, number: int | None = None) -> dict[str, BaseDistribution]:
        """Give the space as it is now, or as it was when the trial of a number first asked."""
        space = self._space
        if space is None:
            with self._lock:
                studies = self._studies
                known = studies.all(study) if number is None else studies.up_to(study, number)
                known.space.update(known.trials.known)
                space = known.space.space or {}
        return {name: d for name, d in sorted(space.items()) if not d.single()}

    def _memory_of(
        self, study: Study, search_space: Mapping[str, BaseDistribution], known: _Known
    ) -> _Memory:
        if known.memory is None or known.memory.space.distributions != search_space:
            known.memory = self._fresh_memory(study, search_space)
        known.memory.update(known.trials.known)
        return known.memory

    def _fresh_memory(self, study: Study, search_space: Mapping[str, BaseDistribution]) -> _Memory:
        space = Space(search_space)
        engine = self._variant.engine(space.cube, self._seed_of(study) % 2**64)
        return _Memory(space, engine, study.direction)

    def _seed_of(self, study: Study) -> int:
        if self._seed is not None:
            return self._seed % 2**64
        known = self._studies.of(study)
        with self._lock:
            if known.seed is None:
                known.seed = agree_on(study, _SEED, secrets.randbits(63))
            return int(known.seed)


class _Known(Known):
    """What the sampler knows of one study."""

    def __init__(self) -> None:
        super().__init__()
        self.space = _CommonSpace()
        self.memory: _Memory | None = None  # of the space in which it was asked last


@dataclass(frozen=True)
class _Modern:
    """The default swarm, its size still to be fitted to the space."""

    swarm_size: int | None
    inertia: float
    cognitive: float
    social: float
    max_velocity: float
    n_candidates: int

    def engine(self, cube: Cube, seed: int) -> _Engine:
        return Swarm(cube, self._settings(len(cube)), seed)

    def n_startup_trials(self, n_dimensions: int) -> int:
        return self._settings(n_dimensions).n_initial if n_dimensions else 0

    def _settings(self, n_dimensions: int) -> Settings:
        return Settings(
            self.swarm_size or round(6 + 2 * math.log(n_dimensions)),
            self.inertia,
            self.cognitive,
            self.social,
            self.max_velocity,
            self.n_candidates,
        )


@dataclass(frozen=True)
class _Classic:
    """The report's swarm."""

    settings: ClassicSettings

    def engine(self, cube: Cube, seed: int) -> _Engine:
        return ClassicSwarm(cube, self.settings, seed)

    def n_startup_trials(self, n_dimensions: int) -> int:
        return self.settings.swarm_size if n_dimensions else 0


class _CommonSpace:
    """The parameters that all COMPLETE trials have, with equal distributions."""

    def __init__(self) -> None:
        self.space: dict[str, BaseDistribution] | None = None
        self._pending: list[int] = []
        self._n_read = 0

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        candidates = [*self._pending, *range(self._n_read, len(trials))]
        self._n_read = len(trials)
        self._pending = [n for n in candidates if not trials[n].state.is_finished()]
        for number in candidates:
            if trials[number].state == TrialState.COMPLETE:
                found = trials[number].distributions
                space = found if self.space is None else self.space
                self.space = {n: d for n, d in space.items() if found.get(n) == d}


class _Memory:
    """A swarm, told what the study's trials say; finished trials are told once."""

    def __init__(self, space: Space, engine: _Engine, direction: StudyDirection) -> None:
        self.space = space
        self.engine = engine
        self._sign = -1.0 if direction == StudyDirection.MAXIMIZE else 1.0
        text = "".join(f"{n}{distribution_to_json(d)}" for n, d in space.distributions.items())
        self._mark = blake2b(text.encode(), digest_size=6).hexdigest()
        self._foreign: list[int] = []
        self._pending: dict[int, Array | None] = {}  # number -> where it is, if it has moved
        self._n_read = 0

    def turns_over(self, with_number: int | None = None) -> int:
        """Count the turns, from the first on, whose trials are finished, or taken to be."""
        running = (self._turn(n) for n in self._pending if n != with_number)
        return min(running, default=self._turn(self._n_read))

    def _turn(self, number: int) -> int:
        """Give a trial's number less the trials before it that others have put there."""
        return number - bisect.bisect_left(self._foreign, number)

    def _turn_of(self, trial: FrozenTrial) -> int:
        # The retry of a trial that died before it moved makes up for that trial's turn.
        return self._turn(trial.system_attrs.get("failed_trial", trial.number))

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        for number in range(self._n_read, len(trials)):
            self._pending[number] = None
            if not FOREIGN.isdisjoint(trials[number].system_attrs):
                self._foreign.append(number)
        self._n_read = len(trials)
        for number in list(self._pending):
            self._enter(trials[number])

    def _enter(self, trial: FrozenTrial) -> None:
        stored = self.stored(trial)
        if stored is not None and stored[0] != self._turn_of(trial):
            stored = None  # a move of another study, from which the trial was taken over
        is_enqueued = "fixed_params" in trial.system_attrs
        if stored is not None and not is_enqueued:
            self.engine.see(*stored)
        if not trial.state.is_finished():
            self._pending[trial.number] = None if stored is None else stored[1].x
            return
        del self._pending[trial.number]
        if trial.state == TrialState.FAIL:
            return
        turn, move = stored if stored is not None else (None, None)
        x = self.space.encode(trial.params)
        if x is None:
            return
        if move is None or is_enqueued or not self._stands_for(move.x, trial):
            turn, move = None, Move(x)  # somebody else's choice, at least in part
        complete = trial.state == TrialState.COMPLETE and trial.value is not None
        value = self._sign * trial.value if complete and trial.value is not None else None
        self.engine.tell(Evaluation(trial.number, value, move), turn)

    def _stands_for(self, x: Array, trial: FrozenTrial) -> bool:
        return all(trial.params[name] == value for name, value in self.space.decode(x).items())

    def ask(self, trial: FrozenTrial) -> tuple[int, Move]:
        """Give the turn of a trial and its move, as it is stored."""
        number, turn = trial.number, self._turn_of(trial)
        running = [x for n, x in self._pending.items() if x is not None and n != number]
        given = trial.system_attrs.get("fixed_params")
        fixed = None if given is None else self.space.coordinates(given)
        move = self.engine.ask(number, turn, running, fixed)
        v = None if move.v is None else np.round(move.v, _DIGITS)
        return turn, move._replace(x=np.round(move.x, _DIGITS), v=v)

    def to_json(self, turn: int, move: Move) -> dict[str, Any]:
        return {
            "v": _VERSION,
            "space": self._mark,
            "turn": turn,
            "x": move.x.tolist(),
            "dx": None if move.v is None else move.v.tolist(),
            "particle": move.particle,
            "incumbent": move.incumbent,
            "radius": move.radius,
            "since": list(move.since),
        }

    def stored(self, trial: FrozenTrial) -> tuple[int, Move] | None:
        """Give the turn and move of a trial that has moved in this space."""
        kept = trial.system_attrs.get(_MOVE)
        if kept is None or kept["space"] != self._mark:
            return None
        v = None if kept["dx"] is None else np.array(kept["dx"])
        number, turn = kept["since"]
        move = Move(
            np.array(kept["x"]),
            v,
            kept["particle"],
            kept["incumbent"],
            kept["radius"],
            (number, turn),
        )
        return kept["turn"], move
