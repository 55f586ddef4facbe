"""BOHB by the real HpBandSter: its schedule and its model, on our objectives and Optuna's storage.

HpBandSter decides what runs next (`schedule`) and which configurations are worth trying
(`generator`); this module makes jobs of that and keeps the books, all of them in the study:

- One trial per configuration, opened RUNNING when it is first handed out, handed out again for
  every promotion. COMPLETE: evaluated on the largest budget. PRUNED: dropped by its rung, or
  still open when the budget of the run ended. FAIL: its evaluation failed.
- User attributes: `bracket` (from 0), `rung` (from 0, the one it was last handed out for) and
  `pick` ("model"; "random", meant to be; "fallback", random because the model failed).
- System attribute `hpbandster:v1`: HpBandSter's name of the configuration. All else is replayed:
  the schedule is asked again from the start, and every run whose result is stored is answered
  at once, from the storage. Configurations are never drawn again: each draw has its own seed.
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
    """BOHB (Falkner, Klein and Hutter 2018) as implemented by its authors, HpBandSter 0.7.4.

    Args:
        setup: What every method is given.
        min_epochs: The smallest budget, 1 or more; None: `max_epochs` divided by `eta` as often
            as that goes.
        max_epochs: The largest budget, which is the objective's own; None: that one.
        eta: 2 or more: one in `eta` goes on to the next rung, with `eta` times the epochs.
        min_points_in_model: How many results on one budget make a model, more than there are
            hyperparameters to search; None: one more.
        top_n_percent: How many of the results count as good, 1 to 99 percent.
        num_samples: How many candidates are drawn from the good ones' density for each pick, 1
            or more.
        random_fraction: How many of the picks are random, 0 to 1.
        bandwidth_factor: By how much that density is widened to draw from it, above 0.
        min_bandwidth: The least bandwidth, above 0 and at most 1, in the unit cube.
        strict: Raise an error when a model fails, instead of noting it and going on at random.

    Raises:
        InputError: An option out of its range, budgets that are no ladder, or a space in which
            nothing varies.
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
    """HpBandSter at work on one study; `bohb` builds it."""

    def __init__(
        self, setup: Setup, budgets: list[int], eta: int, model: ModelOptions, *, strict: bool
    ) -> None:
        self._setup = setup
        self._study = setup.study
        self._budgets = budgets
        self._eta = eta
        self._model = model
        self._strict = strict
        # A model is made of as many results on one budget; the lowest one has them first.
        self.n_startup = model.min_points_in_model or len(dimensions(setup.space)) + 1
        self.epochs_each = budgets[0]
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
        """Whether configurations that were left in the middle are still to be handed out."""
        return bool(self._unfinished)

    def prepare(self) -> None:
        """Import HpBandSter, which takes seconds."""
        _ = self._schedule

    def ask(self) -> Job:
        """The next job, for ever; what is stored but unfinished comes first.

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
        """Take the outcome in, and settle every trial that it decides.

        An outcome short of the job's fidelity, which is neither a result nor a failure, takes the
        configuration out of its rung and is kept from the model.
        """
        self._take(self._out.pop(job.trial.number), outcome)

    def close(self) -> None:
        """Settle what is still open: only what reached the largest budget is COMPLETE.

        A search built on a closed study goes on, but a configuration that was open can no longer
        be promoted: its bracket goes on without it.
        """
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if CONFIG_ID in trial.system_attrs:
                self._settle(_config_id(trial), *_closing(trial, self._budgets[-1]))

    @cached_property
    def _schedule(self) -> Schedule:
        """HpBandSter's objects; not made at once, because checking a suite needs none of them."""
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
        """Record a new configuration, in a single write: a crash leaves all of it or nothing."""
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
    """Whether it was handed out, for its first rung or another one, and has no result of that."""
    return len(jobs_of(trial)) < 1 + int(trial.user_attrs["rung"])


def _closing(trial: FrozenTrial, largest: int) -> tuple[TrialState, float | None]:
    """What to tell a trial that is still open when the budget of the run is spent."""
    outcome = outcome_at(trial, largest)
    if outcome is None or outcome.pruned:
        return TrialState.PRUNED, None
    if outcome.value is None or not math.isfinite(outcome.value):
        return TrialState.FAIL, None
    return TrialState.COMPLETE, outcome.value


def _stored_outcome(trial: FrozenTrial, run: Run) -> Outcome | None:
    """What became of a run before this search was built; None if it is still to be done."""
    outcome = outcome_at(trial, run.budget)
    if outcome is None and trial.state.is_finished():  # closed, the budget of the run spent
        return Outcome(trial.last_step or 0, None, pruned=True)
    return outcome
