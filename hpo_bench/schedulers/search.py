"""The schedules at work on a study: any sampler proposes, promoted trainings are continued.

All that is decided is a function of the trials that are recorded:

- One trial per configuration, in the order of their starts. It is RUNNING, and its checkpoint is
  kept, until it is decided that it goes no further: then it is PRUNED, with a value for each epoch,
  and the sampler sees it as it sees any pruned trial. COMPLETE: trained to the highest fidelity.
  FAIL: its evaluation failed.
- User attributes: `bracket` (from 0) and `rung` (from 0 in its bracket, the one that it was last
  handed out for). A trial with fewer results than that is under way: it is handed out again after
  a crash, before anything else.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import optuna
from optuna.pruners import NopPruner
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpo_bench.methods import Proposer
from hpo_bench.objectives import suggest
from hpo_bench.schedulers.rungs import Contender, Schedule
from hpo_bench.search import Job, Outcome, Search, Setup
from hpo_bench.startup import learns_from_pruned
from hpo_bench.storage.records import outcome_at
from hpo_bench.storage.studies import recorded, reopen, set_user_attrs, tell, unfinished


class ScheduledSearch(Search):
    """A sampler and a schedule at work on a study.

    Args:
        setup: What it works on.
        schedule: Decides how far configurations are trained.
        make: Makes the sampler, for any setup.
    """

    def __init__(
        self, setup: Setup, schedule: Schedule, make: Callable[[Setup], BaseSampler]
    ) -> None:
        self._setup = setup
        self._study = setup.study
        self._study.pruner = NopPruner()
        self._schedule = schedule
        sampler = make(setup)
        self._proposer = Proposer(setup, sampler, make)
        self._sign = -1 if self._study.direction == StudyDirection.MAXIMIZE else 1
        self.n_configurations = self._proposer.n_configurations
        self._count_costs(sampler)
        trials = self._study.get_trials(deepcopy=False)
        self._contenders = [self._contender(trial) for trial in trials]
        self._unfinished = deque(n for n, c in enumerate(self._contenders) if c.is_out)
        for trial in unfinished(self._study):
            self._settle(trial.number, self._last_outcome(trial))
        self._drop()

    @property
    def has_unfinished(self) -> bool:
        """Whether configurations that were left in the middle are still to be handed out."""
        return bool(self._unfinished)

    def prepare(self) -> None:
        """Import what asking takes."""
        self._proposer.prepare()

    def ask(self) -> Job | None:
        """What was left in the middle; else a promotion; else a new configuration."""
        if self._unfinished:
            return self._job(self._reopened(self._unfinished.popleft()))
        is_last = self._proposer.is_exhausted()
        decision = self._schedule.decide(self._contenders, is_last=is_last)
        if decision.promoted:
            return self._job(self._reopened(decision.promoted[0]))
        if is_last:
            return None
        trial = self._study.ask()
        self._contenders.append(Contender())
        return self._job(trial)

    def tell(self, job: Job, outcome: Outcome) -> None:
        """Take the outcome in, and settle every trial that it decides."""
        self._proposer.take_note_of_outcome()
        contender = self._contenders[job.trial.number]
        contender.losses.append(self._loss(outcome, job.until))
        contender.is_out = False
        self._settle(job.trial.number, outcome)
        self._drop()

    def close(self) -> None:
        """Settle those that wait for a decision: there will be none."""
        for number, contender in enumerate(self._contenders):
            if not contender.is_dropped:
                self._finish(number, TrialState.PRUNED)

    def _count_costs(self, sampler: BaseSampler) -> None:
        cycle = self._schedule.cycle
        started = sum(bracket.sizes[0] for bracket in cycle)
        completed = sum(bracket.sizes[-1] for bracket in cycle)
        self.epochs_each = sum(bracket.epochs for bracket in cycle) / started
        self.evaluations_each = sum(sum(bracket.sizes) for bracket in cycle) / started
        told = 1.0 if learns_from_pruned(sampler) else completed / started
        self.n_startup = math.ceil(self._proposer.n_startup / told)

    def _contender(self, trial: FrozenTrial) -> Contender:
        """What a recorded trial says of its configuration."""
        losses: list[float] = []
        for fidelity in self._schedule.place_of(trial.number)[1]:
            outcome = outcome_at(trial, fidelity)
            if outcome is None or math.inf in losses:
                break
            losses.append(self._loss(outcome, fidelity))
        is_finished = trial.state.is_finished()
        is_out = not is_finished and len(losses) <= trial.user_attrs.get("rung", 0)
        return Contender(losses, is_out, is_dropped=is_finished)

    def _loss(self, outcome: Outcome, fidelity: int) -> float:
        """To be minimised; infinite where there is no value at the rung."""
        value = outcome.value
        is_short = outcome.pruned or outcome.fidelity < fidelity
        if value is None or is_short or not math.isfinite(value):
            return math.inf
        return self._sign * float(value)

    def _reopened(self, number: int) -> optuna.Trial:
        return reopen(self._study, self._study.get_trials(deepcopy=False)[number])

    def _job(self, trial: optuna.Trial) -> Job:
        """Hand a trial out for its next rung; what is written says so after a crash."""
        configuration = suggest(trial, self._setup.space)
        contender = self._contenders[trial.number]
        bracket, fidelities = self._schedule.place_of(trial.number)
        rung = len(contender.losses)
        if recorded(trial).user_attrs.get("rung") != rung:
            set_user_attrs(trial, {"bracket": bracket, "rung": rung})
        contender.is_out = True
        return Job(trial, configuration, until=fidelities[rung])

    def _last_outcome(self, trial: FrozenTrial) -> Outcome | None:
        """What has become of a recorded trial at the rung that it was last handed out for."""
        losses = self._contenders[trial.number].losses
        _, fidelities = self._schedule.place_of(trial.number)
        return outcome_at(trial, fidelities[len(losses) - 1]) if losses else None

    def _settle(self, number: int, outcome: Outcome | None) -> None:
        """Finish a trial that failed, was stopped or has come to the highest rung."""
        losses = self._contenders[number].losses
        _, fidelities = self._schedule.place_of(number)
        if outcome is None or not losses:
            return
        if losses[-1] == math.inf:
            has_value = outcome.value is not None and math.isfinite(outcome.value)
            self._finish(number, TrialState.PRUNED if has_value else TrialState.FAIL)
        elif len(losses) == len(fidelities):
            self._finish(number, TrialState.COMPLETE, outcome.value)

    def _drop(self) -> None:
        """Finish the trials that go no further, so that the sampler learns of them."""
        is_last = self._proposer.is_exhausted()
        for number in self._schedule.decide(self._contenders, is_last=is_last).dropped:
            self._finish(number, TrialState.PRUNED)

    def _finish(self, number: int, state: TrialState, value: float | None = None) -> None:
        self._contenders[number].is_dropped = True
        tell(self._study, number, value, state)
