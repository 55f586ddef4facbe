"""The BOHB sampler: its observations are what the study's trials report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from samplers._base.arguments import checked_integer, checked_number
from samplers._base.logs import logger_of
from samplers._base.private import write_trial
from samplers._base.relative import KnownInSpace, RelativeSampler
from samplers._base.spaces import CommonSpace

from ._model import Array, Model, Settings
from ._results import Results, has_result
from ._space import Space

if TYPE_CHECKING:
    from optuna.study import Study

_VERSION = 1
_PICK = "bohb:pick"  # of a trial: its point, and where it comes from


class BOHBSampler(RelativeSampler[Results]):
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

    _NAME = "bohb"
    _WHAT = "model"
    _LOGGER = logger_of("bohb")

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
        self._configure(seed, search_space, warn_independent_sampling)
        self._settings = Settings(
            min_points_in_model,
            checked_integer("top_n_percent", top_n_percent, "from 1 to 99", lambda n: 1 <= n <= 99),
            checked_integer("num_samples", num_samples, ">= 1", lambda n: n >= 1),
            checked_number("random_fraction", random_fraction, "in [0, 1]", lambda x: 0 <= x <= 1),
            checked_number("bandwidth_factor", bandwidth_factor, "> 0", lambda x: 0 < x < math.inf),
            checked_number("min_bandwidth", min_bandwidth, "in (0, 1]", lambda x: 0 < x <= 1),
        )

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw from the model or at random, or repeat the draw that the trial has."""
        self._raise_error_if_multi_objective(study)
        if not search_space:
            return {}
        with self._lock:
            known = self._studies.up_to(study, trial.number)
            results = self._memory_of(study, search_space, known)
            stored = known.trials.known[trial.number].system_attrs.get(_PICK)
            if stored is not None and stored["space"] == results.digest:
                return results.space.decode(np.array(stored["x"]))
            x, kind, budget = self._draw(study, trial.number, results)
        pick = {
            "v": _VERSION,
            "space": results.digest,
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
        self._warn_of_parameter(study, trial, param_name)
        rng = self._generator(study, trial.number, param_name)
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
        self._warn_of_constraints(trial)

    def _know_nothing(self) -> KnownInSpace[Results]:
        return KnownInSpace(CommonSpace(has_result))

    def _new_memory(self, study: Study, search_space: Mapping[str, BaseDistribution]) -> Results:
        needed = self._settings.points_needed(len(search_space))
        return Results(Space(search_space), study.direction, needed)

    def _draw(
        self, study: Study, number: int, results: Results
    ) -> tuple[Array, str, int | str | None]:
        """Carry out algorithm 2; give a point, how it was picked, and the budget of its model."""
        rng = self._generator(study, number)
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
                self._LOGGER.warning(
                    f"Trial#{number} is drawn at random, since the model of budget {budget} gives "
                    "none of its candidates a value. Of later trials of this study only their "
                    f"attribute `{_PICK}` tells it."
                )
        kind = "random" if budget is None else "fallback"
        return results.space.random(rng.random(len(results.space.levels))), kind, budget
