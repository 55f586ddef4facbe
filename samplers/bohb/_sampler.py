"""The BOHB sampler: its observations are what the study's trials report."""

from __future__ import annotations

import logging
import math
import secrets
import threading
import warnings
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ._arguments import checked_integer, checked_number, checked_space
from ._model import Array, Model, Settings
from ._space import Space
from ._storage import Known, Studies, agree_on, write_trial

if TYPE_CHECKING:
    from optuna.study import Study

# Below "optuna", whatever this package is called, so that `optuna.logging` reaches it.
_logger = optuna.logging.get_logger("optuna.hpo_bench_samplers.bohb")
# Without it, Python prints warnings where Optuna's handler is disabled and no other is there.
_logger.addHandler(logging.NullHandler())

_VERSION = 1
_PICK = "bohb:pick"  # of a trial: its point, and where it comes from
_SEED = "bohb:seed"  # of a study whose sampler was given none: the seed that was drawn

_WHOLE = "whole"  # the budget of evaluations that were not cut short


class BOHBSampler(BaseSampler):
    """BOHB's model, to be used with a pruner that stops trials early.

    Falkner, Klein and Hutter 2018, "BOHB: Robust and Efficient Hyperparameter Optimization at
    Scale": Hyperband decides how long each configuration is trained, and a model of the results so
    far, instead of chance, which configurations. Here a pruner of Optuna's does the former
    (`HyperbandPruner`, `SuccessiveHalvingPruner`), and this sampler the latter, by algorithm 2 of
    the paper as HpBandSter 0.7.4 has it. Without a pruner it is BOHB's model alone: a search by
    the ratio of two kernel density estimates, close kin to TPE.

    What counts as a result. Every step at which trials report is a budget, and a model is fitted on
    the results at one budget only: the largest that has enough of them. Whatever trial has
    reported at a step is a result there, be it COMPLETE, PRUNED, FAILed or still RUNNING, for what
    it reports will not change. The largest budget of all is the whole evaluation. There count the
    values of COMPLETE trials; FAILed ones (NaN included) as the worst, unless they have been
    retried; and what others have reported at the last step of the longest COMPLETE trial, for a
    pruner may stop them just there. Where trials report nothing it is the only budget. Infinite
    values count as failures, whatever their sign.

    `HyperbandPruner` shows samplers the trials of one bracket only. This sampler looks at all of
    them, as the paper's does: a result at a step is the same in every bracket.

    Every draw is a function of the seed, the trial's number and the results in the storage, so a
    study that is continued elsewhere goes on as if it had never been interrupted, and any number of
    workers may share one. (The brackets of `HyperbandPruner` hang on the study's name, too.)

    Parameters that a trial has not suggested are filled in from other trials, as in HpBandSter, so
    that with `search_space` conditional ones are modelled, too. Without it the model knows the
    parameters that all COMPLETE trials, and all that were PRUNED after a report, have in common;
    others are drawn at random, with one warning for each.

    Args:
        seed: Any integer; None draws one and keeps it with the study.
        search_space: Name to distribution; None takes what the trials have in common. With it the
            first trials are drawn jointly, too.
        min_points_in_model: The least size of the good and of the bad set, at least 1; None, or
            less than d + 1 in d dimensions, stands for d + 1. A budget needs twice as many results.
        top_n_percent: The share of the results that is good, from 1 to 99.
        num_samples: How many candidates the model compares, at least 1.
        random_fraction: How many picks are uniform draws all the same, in [0, 1].
        bandwidth_factor: How much wider than the good points lie candidates are drawn, above 0.
        min_bandwidth: In (0, 1], of the ranges: the model is never surer than that.
        warn_independent_sampling: Warn of parameters that the model does not know.

    Raises:
        ValueError: An argument that cannot be used; the text names it and says what is right.

    Example:
        >>> import optuna
        >>> from samplers.bohb import BOHBSampler
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> def objective(trial):
        ...     x = trial.suggest_float("x", -5, 5)
        ...     for epoch in range(1, 10):
        ...         trial.report((x - 2) ** 2 + 1 / epoch, epoch)
        ...         if trial.should_prune():
        ...             raise optuna.TrialPruned
        ...     return (x - 2) ** 2 + 1 / epoch
        >>> pruner = optuna.pruners.HyperbandPruner(max_resource=9)
        >>> study = optuna.create_study(study_name="s", sampler=BOHBSampler(seed=1), pruner=pruner)
        >>> study.optimize(objective, n_trials=60)
        >>> abs(study.best_params["x"] - 2) < 0.5
        True
    """

    state_in_storage = True
    """Whoever builds it anew on the same study goes on as if nothing had happened."""

    def __init__(
        self,
        *,
        seed: int | None = None,
        search_space: Mapping[str, BaseDistribution] | None = None,
        min_points_in_model: int | None = None,
        top_n_percent: int = 15,
        num_samples: int = 64,
        random_fraction: float = 1 / 3,
        bandwidth_factor: float = 3.0,
        min_bandwidth: float = 1e-3,
        warn_independent_sampling: bool = True,
    ) -> None:
        if min_points_in_model is not None:
            min_points_in_model = checked_integer(
                "min_points_in_model", min_points_in_model, ">= 1", lambda n: n >= 1
            )
        self._seed = None if seed is None else checked_integer("seed", seed, "or None")
        self._space = checked_space(search_space)
        self._settings = Settings(
            min_points_in_model,
            checked_integer("top_n_percent", top_n_percent, "from 1 to 99", lambda n: 1 <= n <= 99),
            checked_integer("num_samples", num_samples, ">= 1", lambda n: n >= 1),
            checked_number("random_fraction", random_fraction, "in [0, 1]", lambda x: 0 <= x <= 1),
            checked_number("bandwidth_factor", bandwidth_factor, "> 0", lambda x: 0 < x < math.inf),
            checked_number("min_bandwidth", min_bandwidth, "in (0, 1]", lambda x: 0 < x <= 1),
        )
        self._warn = bool(warn_independent_sampling)
        self._forget()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Take note of the trial, which asks next."""
        self._studies.born(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Give the space of the model."""
        self._raise_error_if_multi_objective(study)
        return self._space_of(study, trial.number)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw from the model or at random, or repeat the draw that the trial has."""
        self._raise_error_if_multi_objective(study)
        if not search_space:
            return {}
        with self._lock:
            known = self._studies.up_to(study, trial.number)
            results = self._results_of(study, search_space, known)
            stored = known.trials.known[trial.number].system_attrs.get(_PICK)
            if stored is not None and stored["space"] == results.mark:
                return results.space.decode(np.array(stored["x"]))
            x, kind, budget = self._draw(study, trial.number, results)
        pick = {
            "v": _VERSION,
            "space": results.mark,
            "pick": kind,
            "budget": budget,
            "x": x.tolist(),
        }
        write_trial(study, trial, _PICK, pick)
        return results.space.decode(x)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw a parameter that the model does not know."""
        self._raise_error_if_multi_objective(study)
        self._warn_of(study, trial, param_name)
        label = int.from_bytes(blake2b(param_name.encode(), digest_size=8).digest(), "big")
        rng = np.random.default_rng([self._seed_of(study), trial.number, label])
        space = Space({param_name: param_distribution})
        return space.decode(space.random(rng.random(1)))[param_name]

    def after_trial(
        self,
        study: Study,  # noqa: ARG002 - Optuna's signature
        trial: FrozenTrial,
        state: TrialState,  # noqa: ARG002
        values: Sequence[float] | None,  # noqa: ARG002
    ) -> None:
        """Warn of constraints, which the model does not know."""
        if trial.constraints:
            warnings.warn(
                f"Constraints have been set, but {type(self).__name__} does not use them.",
                stacklevel=2,
            )

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the configuration; the caches are built again from the storage."""
        caches = ("_studies", "_lock")
        return {k: v for k, v in self.__dict__.items() if k not in caches}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
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
                "the search space of the model. You can suppress this warning by setting "
                "`warn_independent_sampling` to `False` in the constructor of "
                f"`{type(self).__name__}` if this independent sampling is intended behavior. "
                "Later trials of this study are not warned of for this parameter."
            )

    def _draw(
        self, study: Study, number: int, results: _Results
    ) -> tuple[Array, str, int | str | None]:
        """Carry out algorithm 2; give a point, how it was picked, and the budget of its model."""
        rng = np.random.default_rng([self._seed_of(study), number])
        is_random = rng.random() < self._settings.random_fraction
        budget = None if is_random else results.budget
        if budget is not None:
            numbers, losses = results.at(budget)
            model = Model(
                results.points[numbers], losses, results.space.levels, self._settings, rng
            )
            x = model.propose(rng)
            if x is not None:
                return x, "model", budget
            if self._studies.of(study).is_news("model"):
                _logger.warning(
                    f"Trial#{number} is drawn at random, since the model of budget {budget} gives "
                    "none of its candidates a value. Of later trials of this study only their "
                    f"attribute `{_PICK}` tells it."
                )
        kind = "random" if budget is None else "fallback"
        return results.space.random(rng.random(len(results.space.levels))), kind, budget

    def _space_of(self, study: Study, number: int) -> dict[str, BaseDistribution]:
        """Give the space as it was when the trial of a number first asked."""
        space = self._space
        if space is None:
            with self._lock:
                known = self._studies.up_to(study, number)
                known.space.update(known.trials.known)
                space = known.space.space or {}
        return {name: d for name, d in sorted(space.items()) if not d.single()}

    def _results_of(
        self, study: Study, search_space: Mapping[str, BaseDistribution], known: _Known
    ) -> _Results:
        if known.results is None or known.results.space.distributions != search_space:
            needed = self._settings.points_needed(len(search_space))
            known.results = _Results(Space(search_space), study.direction, needed)
        known.results.update(known.trials.known)
        return known.results

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
        self.results: _Results | None = None  # in the space in which it was asked last


class _CommonSpace:
    """The parameters that all trials with a result have, with equal distributions.

    Those that were PRUNED are among them: with a strict pruner it is long until one is COMPLETE.
    """

    def __init__(self) -> None:
        self.space: dict[str, BaseDistribution] | None = None
        self._pending: list[int] = []
        self._n_read = 0

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        candidates = [*self._pending, *range(self._n_read, len(trials))]
        self._n_read = len(trials)
        self._pending = [n for n in candidates if not trials[n].state.is_finished()]
        for number in candidates:
            if _has_result(trials[number]):
                found = trials[number].distributions
                space = found if self.space is None else self.space
                self.space = {n: d for n, d in space.items() if found.get(n) == d}


def _has_result(trial: FrozenTrial) -> bool:
    pruned = trial.state == TrialState.PRUNED and bool(trial.intermediate_values)
    return pruned or trial.state == TrialState.COMPLETE


class _Results:
    """What the study's trials say of each budget, to be minimised; finished ones are read once.

    Args:
        space: Trials with values outside of it are left out.
        direction: The study's.
        needed: How many results of a budget make a model.
    """

    def __init__(self, space: Space, direction: StudyDirection, needed: int) -> None:
        self.space = space
        text = "".join(f"{n}{distribution_to_json(d)}" for n, d in space.distributions.items())
        self.mark = blake2b(text.encode(), digest_size=6).hexdigest()
        self.points = np.empty((0, len(space.levels)))  # by trial number
        self._sign = -1.0 if direction == StudyDirection.MAXIMIZE else 1.0
        self._needed = needed
        self._reports: dict[int, dict[int, float]] = {}  # step -> trial number -> loss
        self._largest = 0  # the largest step with a model; what is below it is not needed any more
        self._values: dict[int, float] = {}  # number of a COMPLETE or FAILed trial -> loss
        self._last_step = -1  # of the longest COMPLETE trial
        self._retried: set[int] = set()
        self._pending: list[int] = []
        self._n_read = 0

    @property
    def budget(self) -> int | str | None:
        """The largest budget with enough results for a model: "whole", a step, or None."""
        if len(self._whole()) >= self._needed:
            return _WHOLE
        return self._largest if len(self._at_step(self._largest)) >= self._needed else None

    def at(self, budget: int | str) -> tuple[Array, Array]:
        """Give the numbers of the trials with a result at a budget, ascending, and their losses.

        The order is that of the trials, not of the results' arrival, which a restart forgets.
        """
        results = self._at_step(budget) if isinstance(budget, int) else self._whole()
        numbers = np.fromiter(results.keys(), np.int64, len(results))
        losses = np.fromiter(results.values(), np.float64, len(results))
        order = np.argsort(numbers)
        return numbers[order], losses[order]

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        candidates = [*self._pending, *range(self._n_read, len(trials))]
        self._reserve(len(trials))
        for number in range(self._n_read, len(trials)):
            # What died with its worker says nothing of its configuration.
            for retried in trials[number].system_attrs.get("retry_history", ()):
                self._retried.add(retried)
                self._values.pop(retried, None)
        self._n_read = len(trials)
        self._pending = [n for n in candidates if not trials[n].state.is_finished()]
        for number in candidates:
            self._enter(trials[number])

    def _enter(self, trial: FrozenTrial) -> None:
        x = self.space.encode(trial.params)
        if x is None:
            return
        self.points[trial.number] = x
        for step, value in trial.intermediate_values.items():
            self._report(trial.number, step, value)
        if trial.state == TrialState.COMPLETE:
            self._values[trial.number] = self._loss(trial.value)
            self._last_step = max([self._last_step, *trial.intermediate_values])
        elif trial.state == TrialState.FAIL and trial.number not in self._retried:
            self._values[trial.number] = math.inf

    def _report(self, number: int, step: int, value: float) -> None:
        if step < self._largest:
            return
        results = self._reports.setdefault(step, {})
        results[number] = self._loss(value)
        if len(results) >= self._needed and step > self._largest:
            self._largest = step
            self._reports = {s: r for s, r in self._reports.items() if s >= step}

    def _loss(self, value: float | None) -> float:
        # HpBandSter takes whatever is not finite for a failure, minus infinity as well.
        return self._sign * value if value is not None and math.isfinite(value) else math.inf

    def _at_step(self, step: int) -> dict[int, float]:
        return self._reports.get(step, {})

    def _whole(self) -> dict[int, float]:
        return {**self._at_step(self._last_step), **self._values}

    def _reserve(self, n_trials: int) -> None:
        missing = n_trials - len(self.points)
        if missing > 0:
            room = np.full((max(missing, len(self.points)), self.points.shape[1]), np.nan)
            self.points = np.concatenate([self.points, room])
