"""BOHB by HpBandSter itself: its schedule and model, on our objectives and Optuna's storage.

HpBandSter decides which evaluation is next (`schedule`) and which configurations to try
(`generator`). This module turns these decisions into jobs, and records them in the study:

- Each configuration is one trial. It becomes RUNNING when it is handed out first, and is handed out
  again for each promotion. COMPLETE: evaluated on the largest budget. PRUNED: dropped by its rung,
  or still open when the run's budget ended. FAIL: its evaluation failed.
- User attributes: `bracket` (from 0), `rung` (from 0, the last one that it was handed out for) and
  `pick` ("model"; "random", as intended; "fallback", random because the model failed).
- System attribute `hpbandster:v1`: HpBandSter's id of the configuration.

A resumed search replays the schedule from the start, and answers each evaluation that has a stored
result from the storage. It does not repeat draws, because each draw has a seed of its own.
"""

from __future__ import annotations

import math
import warnings
from functools import cached_property
from typing import TYPE_CHECKING

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo_bench.bridges.options import ModelOptions, ladder
from hpo_bench.bridges.unit_cube import Point, decode, dimensions, encode
from hpo_bench.errors import InputError
from hpo_bench.search import Job, Outcome, Search, Setup
from hpo_bench.storage.records import jobs_of, outcome_at
from hpo_bench.storage.studies import create_running, reopen, tell

if TYPE_CHECKING:  # HpBandSter is an extra, and takes seconds to import
    from hpo_bench.bridges.schedule import ConfigId, Run, Schedule

CONFIG_ID = "hpbandster:v1"
"""System attribute of a trial: bracket, rung of entry and place, as a list of three integers."""


def bohb(
    setup: Setup,
    *,
    min_epochs: int | None = None,
    max_epochs: int | None = None,
    eta: int = 3,
    min_points_in_model: int | None = None,
    top_n_percent: int = 15,
    num_samples: int = 64,
    random_fraction: float = 1 / 3,
    bandwidth_factor: float = 3,
    min_bandwidth: float = 1e-3,
    strict: bool = False,
) -> HpBandSterSearch:
    """BOHB (Falkner, Klein and Hutter 2018) by its authors' implementation, HpBandSter 0.7.4.

    Args:
        setup: Study, space, seed and fidelity of the search.
        min_epochs: The smallest budget in epochs, 1 or more; None: divide `max_epochs` by `eta` as
            long as the result is a whole number.
        max_epochs: The largest budget, which must be the objective's number of epochs; None means
            this number.
        eta: 2 or more: one of `eta` configurations goes to the next rung, with `eta` times the
            epochs.
        min_points_in_model: Number of results on one budget from which a model is made, larger
            than the number of hyperparameters that vary; None: this number plus 1.
        top_n_percent: Percentage of results that count as good, from 1 to 99.
        num_samples: Number of candidates that are drawn from the density of good configurations
            for each pick, 1 or more.
        random_fraction: Share of random picks, from 0 to 1.
        bandwidth_factor: Factor that widens the density's kernels for these draws, above 0.
        min_bandwidth: Smallest bandwidth in the unit cube, above 0 and at most 1.
        strict: Raise an error if the model fails, instead of a warning and a random configuration.

    Raises:
        InputError: An option is out of range, the budgets do not lead from the smallest to the
            largest by factors of `eta`, or no hyperparameter varies.
    """
    n_dimensions = len(dimensions(setup.space))
    if not n_dimensions:
        raise InputError("space", sorted(setup.space), "BOHB needs a hyperparameter that varies")
    if not isinstance(strict, bool):
        raise InputError("strict", strict, "expected true or false")
    model = ModelOptions(
        min_points_in_model=min_points_in_model,
        top_n_percent=top_n_percent,
        num_samples=num_samples,
        random_fraction=random_fraction,
        bandwidth_factor=bandwidth_factor,
        min_bandwidth=min_bandwidth,
    )
    model.check(n_dimensions)
    budgets = ladder(min_epochs, max_epochs, eta, setup.max_fidelity)
    if budgets[-1] != setup.max_fidelity:
        whole = f"expected {setup.max_fidelity}, the epochs of the objective: values after fewer"
        raise InputError("max_epochs", max_epochs, f"{whole} cannot be compared with others'")
    return HpBandSterSearch(setup, budgets, eta, model, strict=strict)


class HpBandSterSearch(Search):
    """A search by HpBandSter on one study; `bohb` builds it.

    Args:
        setup: Study, space, seed and fidelity of the search.
        budgets: The budgets in epochs, ascending, each `eta` times the one before.
        eta: One of `eta` configurations goes to the next rung.
        model: The options of the model.
        strict: Raise an error if the model fails.
    """

    def __init__(
        self, setup: Setup, budgets: list[int], eta: int, model: ModelOptions, *, strict: bool
    ) -> None:
        self._setup = setup
        self._study = setup.study
        self._budgets = budgets
        self._eta = eta
        self._model = model
        self._strict = strict
        # A model needs so many results on one budget; the lowest budget is the first to have them.
        self.n_startup = model.min_points_in_model or len(dimensions(setup.space)) + 1
        self.epochs_each = budgets[0]
        # HpBandSter minimises.
        self._sign = -1 if self._study.direction == StudyDirection.MAXIMIZE else 1
        self._trials: dict[ConfigId, FrozenTrial] = {}
        for trial in self._study.get_trials(deepcopy=False):
            if CONFIG_ID in trial.system_attrs:
                self._trials[_config_id(trial)] = trial
        self._open = {key for key, trial in self._trials.items() if not trial.state.is_finished()}
        self._unfinished = {key for key in self._open if _is_under_way(self._trials[key])}
        self._out: dict[int, Run] = {}

    @property
    def has_unfinished(self) -> bool:
        """Whether the search will hand out configurations whose evaluation was interrupted."""
        return bool(self._unfinished)

    def prepare(self) -> None:
        """Import HpBandSter, which takes seconds."""
        _ = self._schedule

    def ask(self) -> Job:
        """Return the next job; there is always one, and interrupted jobs come first.

        Raises:
            HpoBenchError: The model failed, in strict mode.
        """
        while True:
            run = self._schedule.next_run()
            if run.config_id not in self._trials:
                self._open_trial(run)
            trial = self._trials[run.config_id]
            outcome = _stored_outcome(trial, run)
            if outcome is None:
                return self._job(trial, run)
            self._take(run, outcome)

    def tell(self, job: Job, outcome: Outcome) -> None:
        """Enter an outcome, and finish each trial that it decides.

        An outcome below the job's fidelity is neither a result nor a failure: it removes the
        configuration from its rung, and the model does not learn it.
        """
        self._take(self._out.pop(job.trial.number), outcome)

    def close(self) -> None:
        """Finish all open trials; those that reached the largest budget become COMPLETE.

        A new search on the same study can go on, but never promotes these configurations: their
        brackets go on without them.
        """
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if CONFIG_ID in trial.system_attrs:
                self._settle(_config_id(trial), *_closing(trial, self._budgets[-1]))

    @cached_property
    def _schedule(self) -> Schedule:
        """HpBandSter's objects, made on first use: the check of a suite does not need them."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from hpo_bench.bridges.generator import Generator
            from hpo_bench.bridges.schedule import Schedule

        space = self._setup.space
        generator = Generator(space, self._model, self._setup.seed, strict=self._strict)

        def sample(key: ConfigId) -> tuple[Point, str]:
            if key not in self._trials:
                return generator.draw(key)
            trial = self._trials[key]
            return encode(space, trial.params), trial.user_attrs["pick"]

        return Schedule(generator, sample, self._budgets, self._eta)

    def _open_trial(self, run: Run) -> None:
        """Create the trial of a new configuration, in one transaction: all or nothing."""
        template = create_trial(
            state=TrialState.RUNNING,
            params=decode(self._setup.space, run.point),
            distributions=self._setup.space,
            user_attrs={"bracket": run.bracket, "rung": run.rung, "pick": run.pick},
            system_attrs={CONFIG_ID: list(run.config_id)},
        )
        self._trials[run.config_id] = create_running(self._study, template)
        self._open.add(run.config_id)

    def _job(self, stored: FrozenTrial, run: Run) -> Job:
        trial = reopen(self._study, stored)
        if stored.user_attrs["rung"] != run.rung:
            trial.set_user_attr("rung", run.rung)
        self._unfinished.discard(run.config_id)
        self._out[stored.number] = run
        return Job(trial, dict(stored.params), until=run.budget)

    def _take(self, run: Run, outcome: Outcome) -> None:
        """Enter the outcome of a run into the schedule, and finish the trials that it decides."""
        value = outcome.value
        if value is not None and not math.isfinite(value):
            value = None
        short = outcome.pruned or (outcome.fidelity < run.budget and value is not None)
        if short:
            self._settle(run.config_id, TrialState.PRUNED)
        elif value is None:
            self._settle(run.config_id, TrialState.FAIL)
        elif run.budget == self._budgets[-1]:
            self._settle(run.config_id, TrialState.COMPLETE, value)
        loss = None if short or value is None else self._sign * float(value)
        for dropped in self._schedule.register(run, loss, learn=not short):
            self._settle(dropped, TrialState.PRUNED)

    def _settle(self, key: ConfigId, state: TrialState, value: float | None = None) -> None:
        if key in self._open:
            tell(self._study, self._trials[key].number, value, state)
            self._open.remove(key)


def _config_id(trial: FrozenTrial) -> ConfigId:
    bracket, rung, place = trial.system_attrs[CONFIG_ID]
    return bracket, rung, place


def _is_under_way(trial: FrozenTrial) -> bool:
    """Return whether a trial was handed out for a rung and has no result of this rung yet."""
    return len(jobs_of(trial)) < 1 + int(trial.user_attrs["rung"])


def _closing(trial: FrozenTrial, largest: int) -> tuple[TrialState, float | None]:
    """Return the final state and value of a trial that is open when the run's budget is spent."""
    outcome = outcome_at(trial, largest)
    if outcome is None or outcome.pruned:
        return TrialState.PRUNED, None
    if outcome.value is None or not math.isfinite(outcome.value):
        return TrialState.FAIL, None
    return TrialState.COMPLETE, outcome.value


def _stored_outcome(trial: FrozenTrial, run: Run) -> Outcome | None:
    """Return the outcome of a run that an earlier search has done; None if it is to be done."""
    outcome = outcome_at(trial, run.budget)
    if outcome is None and trial.state.is_finished():  # `close` finished it without a result
        return Outcome(trial.last_step or 0, None, pruned=True)
    return outcome
