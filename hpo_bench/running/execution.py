"""The loop that works on a run: ask, evaluate, record, tell."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from hpo_bench.budget import spent_by
from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives import suggest
from hpo_bench.running import instant
from hpo_bench.running.checkpoints import Checkpoints
from hpo_bench.running.clock import Clock
from hpo_bench.running.crew import Alone, Crew, Post, Processes
from hpo_bench.running.evaluator import Evaluator
from hpo_bench.running.given import fresh_seeds
from hpo_bench.running.processes import staying_here
from hpo_bench.running.repeats import Repeats
from hpo_bench.running.runs import Retraining, Run, Status
from hpo_bench.running.simulation import Simulated
from hpo_bench.running.studies import has_ended, is_stored, open_study
from hpo_bench.running.tasks import Task, Work
from hpo_bench.search import Job, Outcome, Search, Setup
from hpo_bench.storage import records
from hpo_bench.storage.leases import holding
from hpo_bench.storage.opening import MeteredStorage, close, in_memory, open_storage, write_out
from hpo_bench.storage.studies import glance_at, recorded, unfinished

SHOW_SECONDS = 0.1
"""Between two signs of progress of a run whose evaluations are instant."""
MAX_FAILURES = 5
"""Failed evaluations in a row after which a run gives up."""


def execute(
    run: Run,
    *,
    worker: str = "main",
    notify: Callable[[Status], None] = lambda _status: None,
    should_stop: Callable[[], bool] = lambda: False,
    processes: Processes | None = None,
    create: bool = True,
) -> Status:
    """Work on a run until its budget is spent, or until told to stop.

    Then its incumbent is trained again as often as the suite asks for (`confirm`).
    Called again after any interruption, it goes on where the storage says that it was; a run
    that is finished is only reported.

    Args:
        run: What to execute.
        worker: Recorded with every trial that is evaluated in this process.
        notify: Called after every unit of fidelity; of instant evaluations ten times a second.
        should_stop: Asked before every unit of fidelity; once true, the evaluations under way are
            saved and the run left as it is.
        processes: Who evaluates where the suite asks for workers within a run; None starts them.
        create: Make the storage on first use; without it, it must be there.

    Raises:
        TakenError: Another process works on it.
        LeaseLostError: Another process has taken it over from this one.
        HpoBenchError: The storage holds a study of that name that was made otherwise, or too
            many evaluations failed in a row.
    """
    if processes is None:
        with Processes(worker) as own:
            return execute(
                run,
                worker=worker,
                notify=notify,
                should_stop=should_stop,
                processes=own,
                create=create,
            )
    with staying_here(), _storage_of(run, create=create) as storage:
        execution = _Execution(run, storage, worker, notify, should_stop)
        status = execution.execute(processes)
        again = execution.confirmation() if status.finished else None
    if again is None:
        return status
    unfinished = replace(status, finished=None)
    with staying_here(), _storage_of(again, create=False) as storage:
        confirming = _Execution(again, storage, worker, lambda _: notify(unfinished), should_stop)
        return status if confirming.execute(processes).finished else unfinished


@contextmanager
def _storage_of(run: Run, *, create: bool) -> Iterator[MeteredStorage]:
    """Open the storage for one run, and hold that run's lease unless it has ended.

    Its connections are closed then, which a server has few of.
    """
    patience = run.suite.storage_patience
    storage = open_storage(run.suite.storage, patience=patience, wait=True, create=create)
    lease = holding(storage, run.study_name, run.suite.lease_seconds)
    try:
        with nullcontext() if has_ended(run, storage) else lease:
            yield storage
    finally:
        close(storage)


@dataclass
class _UnderWay:
    """A job that is handed out and not told yet."""

    job: Job
    task: Task
    reached: int
    """The fidelity of the last value that was reported."""
    work: Work | None = None
    entry: records.JobRecord | None = None
    """What was recorded of the work."""
    repeats: int | None = None
    """The trial from whose record it is answered; None if it is done."""

    @property
    def epochs_to_do(self) -> int:
        """Those that the budget will pay for."""
        return 0 if self.repeats is not None else self.task.until - self.task.fidelity_before


class _Execution:
    def __init__(
        self,
        run: Run,
        storage: MeteredStorage,
        worker: str,
        notify: Callable[[Status], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self.run = run
        self.budget = run.budget  # which is made anew when it is asked for
        self.worker = worker
        self.notify = notify
        self.shown_at = -math.inf
        self.objective = run.build_objective()
        self.objective.prepare()
        self.final_storage = storage
        if self.objective.is_instant and not is_stored(run, storage):
            storage = in_memory()
        self.study = open_study(run, storage, self.objective)
        trials = self.study.get_trials(deepcopy=False)
        self.spent = spent_by(self.objective, trials)
        # What a function records beside its value comes from the call alone.
        free_repeats = 0 if self.objective.is_called else self.budget.free_repeats
        self.repeats = Repeats(free_repeats, trials)
        self.failures = 0
        run_id = self.study.user_attrs.get(records.RUN_ID)
        self.checkpoints = (
            instant.InMemoryCheckpoints()
            if storage is not self.final_storage and self.works_here()
            else Checkpoints(
                run.checkpoint_directory, run.study_name, run_id, run.suite.storage_patience
            )
        )
        self.storage = storage
        self.should_stop = should_stop
        self.under_way: dict[int, _UnderWay] = {}  # in the order in which they were handed out

    def execute(self, processes: Processes) -> Status:
        """Ask, evaluate, record, tell, until the budget is spent."""
        ended = self.run.ended(glance_at(self.study))
        if ended is not None:
            self.checkpoints.remove()  # whoever ended it may have died before that
            return self.status(ended)
        self.checkpoints.prepare()
        search = self.build_search()
        search.prepare()
        crew = self.crew(processes)
        self.clock = Clock(self.storage)
        while True:
            ended = self.hand_out(search, crew)
            if not self.under_way:
                break
            while (done := self.tellable()) is None:
                number, work = crew.next()
                if work is None:
                    return self.leave(crew, number)
                self.record(number, work)
            self.tell(search, done)
        search.close()
        self.study.set_user_attr(records.FINISHED, ended)
        self.keep()
        self.checkpoints.remove()
        return self.status(ended)

    def crew(self, processes: Processes) -> Crew:
        """Give who evaluates: this process, unless the suite asks for others that are real."""
        suite = self.run.suite
        if self.works_here():
            evaluator = Evaluator(self.objective, self.checkpoints, self.should_stop)
            if suite.workers_per_run > 1:
                return Simulated(evaluator, suite.workers_per_run)
            return Alone(evaluator, suite.batch_size)
        processes.open(
            Post(
                self.run.build_objective,
                self.checkpoints,
                may_prune=not isinstance(self.study.pruner, optuna.pruners.NopPruner),
            ),
            suite.workers_per_run,
            timeout=suite.evaluation_timeout,
            should_stop=self.should_stop,
        )
        return processes

    def works_here(self) -> bool:
        """Whether evaluations are done in this process."""
        suite = self.run.suite
        is_alone = suite.workers_per_run == 1 and suite.evaluation_timeout is None
        is_apart = self.run.apart and suite.batch_size == 1
        return (is_alone and not is_apart) or self.objective.is_simulated

    def hand_out(self, search: Search, crew: Crew) -> str:
        """Give everybody who is free a job, while there may be another; say why there is none."""
        while len(self.under_way) < crew.size and not crew.holds_results:
            if not search.has_unfinished and (ended := self.exhausted()) is not None:
                return ended
            with self.clock.sampling():
                job = search.ask()
            if job is None:
                return "nothing left to try"
            self.start(job, crew)
        return ""

    def exhausted(self) -> str | None:
        """Say which limit is reached once all that is under way is done."""
        epochs = sum(u.epochs_to_do for u in self.under_way.values())
        evaluations = sum(u.repeats is None for u in self.under_way.values())
        return self.spent.exhausts(self.budget, epochs, evaluations)

    def start(self, job: Job, crew: Crew) -> None:
        """Let somebody evaluate a job."""
        # What is evaluated is known to whoever goes on after a crash.
        write_out(self.storage)
        trial = recorded(job.trial)
        before = records.jobs_of(trial)
        task = Task(
            trial.number,
            job.configuration,
            job.until,
            fidelity_before=max((done.fidelity for done in before), default=0),
            seconds_before=sum(done.train_seconds for done in before),
            reported=trial.last_step or 0,
        )
        self.under_way[task.number] = _UnderWay(job, task, reached=task.fidelity_before)
        follower = _Follower(self, task.number, set(trial.intermediate_values))
        # What a call will suggest, and what it would return, is not known before.
        known = None if self.objective.is_called else self.repeats.answer(trial, job.until)
        if known is None:
            crew.start(task, follower)
        else:
            self.answer(task, follower, known)

    def answer(self, task: Task, follower: _Follower, known: FrozenTrial) -> None:
        """Answer a repeat from the record, epoch by epoch, so that it can be pruned as ever."""
        self.under_way[task.number].repeats = known.number
        fidelity, pruned = task.fidelity_before, False
        while fidelity < task.until and not pruned:
            fidelity += 1
            follower.report(fidelity, known.intermediate_values[fidelity], fidelity)
            pruned = fidelity < task.until and follower.should_prune()
        saved = self.checkpoints.load(known.number)
        if saved is not None and len(saved[0].values) == fidelity:
            self.checkpoints.save(task.number, *saved)  # should it go on to a higher fidelity
        is_full = fidelity == self.objective.max_fidelity
        value = known.intermediate_values[fidelity]
        measured = records.measurements_of(known) if is_full else {}
        self.record(task.number, Work(Outcome(fidelity, value, pruned), measurements=measured))

    def tellable(self) -> _UnderWay | None:
        """Take what the method is told next, one at a time: what it is asked then depends on it."""
        waiting = list(self.under_way.values())
        if self.run.suite.deterministic:
            waiting = waiting[:1]
        done = next((u for u in waiting if u.work is not None), None)
        return None if done is None else self.under_way.pop(done.task.number)

    def tell(self, search: Search, done: _UnderWay) -> None:
        """Tell the method what a job has come to, and count it."""
        assert done.work is not None
        assert done.entry is not None
        self.spent.add(done.entry)
        if self.budget.free_repeats:
            self.repeats.add(recorded(done.job.trial), is_repeat=done.entry.is_repeat)
        with self.clock.sampling():
            search.tell(done.job, done.work.outcome)
        self.tidy(done.work)

    def leave(self, crew: Crew, number: int) -> Status:
        """Wait until all that is under way is saved or done; the next one to come goes on."""
        unsaved = {n for n, u in self.under_way.items() if u.work is None} - {number}
        while unsaved:
            other, work = crew.next()
            if work is not None:
                self.record(other, work)
            unsaved.discard(other)
        return self.status()

    def build_search(self) -> Search:
        setup = Setup(
            self.study, self.objective.search_space, self.run.seed, self.objective.max_fidelity
        )
        return self.run.build_search(setup)

    def confirmation(self) -> Run | None:
        """Give what remains to be done when the search is finished, if anything."""
        run, trials = self.run, self.study.get_trials(deepcopy=False)
        best = records.incumbent(trials, self.study.direction)
        if isinstance(run, Retraining) or run.suite.confirm == 0 or best is None:
            return None
        return Retraining(
            run.suite,
            run.method,
            run.seed,
            run.checkpoint_directory,
            configuration=best.params,
            training_seeds=fresh_seeds(run.seed, run.suite.confirm),
            name=records.confirmation_name(run.study_name),
        )

    def record(self, number: int, work: Work) -> None:
        """Write what a job came to, which no crash can take back then."""
        done = self.under_way[number]
        elapsed = self.clock.read()
        elapsed["wall_seconds"] += work.earlier_seconds + work.simulated_seconds
        outcome, trial = work.outcome, done.job.trial
        entry = records.JobRecord(
            fidelity=outcome.fidelity,
            value=outcome.value,
            pruned=outcome.pruned,
            epochs=work.epochs,
            train_seconds=work.train_seconds,
            # A clock may be put back; the order of the jobs must not be.
            ended=max(time.time(), self.spent.ended),
            repeats=done.repeats,
            **elapsed,
        )
        told = {**work.measurements, "worker": work.worker or self.worker}
        if work.error is not None:
            told["error"] = work.error
        if work.traceback is not None:
            told["traceback"] = work.traceback
        before = records.jobs_of(recorded(trial))
        # What was answered by another trial's record has left no checkpoint that could be missing.
        if work.restarted and not any(job.is_repeat for job in before):
            told["restarted"] = "there was no usable checkpoint: trained again from the start"
        records.write(trial, [*before, entry], told)
        done.work, done.entry = work, entry

    def tidy(self, work: Work) -> None:
        """Drop what no trial will need again, and give up where everything fails."""
        if not self.checkpoints.is_empty():
            self.checkpoints.keep_only({trial.number for trial in unfinished(self.study)})
        self.failures = self.failures + 1 if work.error else 0
        if self.failures >= MAX_FAILURES:
            self.keep()
            raise HpoBenchError(
                f"{self.run.study_name}: {self.failures} evaluations in a row failed, "
                f"the last with {work.error}"
            )

    def keep(self) -> None:
        """Write a run that is in memory to its storage."""
        if self.storage is not self.final_storage:
            instant.write(self.study, self.final_storage)

    def show(self) -> None:
        """Tell how far the run has come; not so often that it takes a share of its time."""
        now = time.monotonic()
        if self.storage is self.final_storage or now - self.shown_at >= SHOW_SECONDS:
            self.shown_at = now
            self.notify(self.status())

    def status(self, finished: str | None = None) -> Status:
        epochs = sum(u.reached - u.task.fidelity_before for u in self.under_way.values())
        share = self.spent.share(self.budget, epochs_under_way=epochs)
        return Status(share, self.spent.evaluations, self.spent.best, finished)


class _Follower:
    """Writes down how an evaluation comes on, and asks the study's pruner about it."""

    def __init__(self, execution: _Execution, number: int, reported: set[int]) -> None:
        self._execution = execution
        self._under_way = execution.under_way[number]
        self._reported = reported
        self._has_suggested = False

    def suggest(self, name: str, dist: BaseDistribution) -> Any:
        self._has_suggested = True
        with self._execution.clock.sampling():
            return suggest(self._under_way.job.trial, {name: dist})[name]

    def report(self, step: int, value: float, reached: int) -> None:
        self._under_way.reached = max(self._under_way.reached, reached)
        if step not in self._reported:
            self._reported.add(step)
            self._under_way.job.trial.report(value, step)
            if self._has_suggested:  # what it evaluates is known to whoever goes on from here
                write_out(self._execution.storage)
                self._has_suggested = False
        self._execution.show()

    def should_prune(self) -> bool:
        with self._execution.clock.sampling():
            # Some of Optuna's pruners answer with a np.bool_, which JSON does not know.
            return bool(self._under_way.job.trial.should_prune())
