"""Plays the harness: asks, evaluates a synthetic function epoch by epoch, records, tells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage

from hpo_bench.search import Job, Outcome, Search
from hpo_bench.spaces import Configuration, Space
from hpo_bench.storage.records import JobRecord, jobs_of, write
from hpo_bench.storage.studies import recorded

Function = Callable[[Configuration, int], float | None]

SPACE: Space = {
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "kind": CategoricalDistribution(["a", "b", None]),
    "fixed": IntDistribution(3, 3),
}


def valley(configuration: Configuration, epoch: int) -> float:
    """To be minimised; the best is rate = 0.01, kind = "b"; better with every epoch."""
    penalty = {"a": 0.3, "b": 0.0, None: 0.6}[configuration["kind"]]
    return (math.log10(configuration["rate"]) + 2) ** 2 + penalty + 1 / epoch


def new_study(direction: str = "minimize", storage: Any = None) -> optuna.Study:
    pruner = optuna.pruners.NopPruner()
    return optuna.create_study(
        study_name="s", direction=direction, storage=storage, pruner=pruner, load_if_exists=True
    )


def evaluate(job: Job, function: Function = valley) -> Outcome:
    """Go on from where the storage says that the trial stands, as from a checkpoint."""
    done = job.trial.storage.get_trial(job.trial._trial_id).intermediate_values
    value = None
    for epoch in range(1, job.until + 1):
        value = function(job.configuration, epoch)
        if value is None:
            return _recorded(job, epoch - 1, None)
        if epoch not in done:
            job.trial.report(value, epoch)
    return _recorded(job, job.until, value)


def _recorded(job: Job, fidelity: int, value: float | None) -> Outcome:
    before = jobs_of(recorded(job.trial))
    epochs = fidelity - max((done.fidelity for done in before), default=0)
    kept = None if value is None or not math.isfinite(value) else value  # as the harness keeps it
    done = JobRecord(fidelity, kept, False, epochs, 0.0, 0.0, 0.0, 0.0, ended=0.0)
    write(job.trial, [*before, done], {})
    return Outcome(fidelity, value)


def flaky(configuration: Configuration, epoch: int) -> float | None:
    """Fails now and then, and later for some than for others."""
    if configuration["kind"] == "a" and configuration["rate"] < 1e-3:
        return None if epoch > 1 else 1.0
    return float("nan") if configuration["rate"] > 0.08 else valley(configuration, epoch)


def spent(study: optuna.Study) -> int:
    return sum(job.epochs for t in study.get_trials(deepcopy=False) for job in jobs_of(t))


def work(search: Search, study: optuna.Study, epochs: int, function: Function = valley):
    """Yield every job when its evaluation is told, until `epochs` are spent in the study."""
    while spent(study) < epochs:
        job = search.ask()
        search.tell(job, evaluate(job, function))
        yield job


def run(new_search, study: optuna.Study, epochs: int, function: Function = valley) -> list[Job]:
    """Work until the epochs are spent, and close the search."""
    search = new_search(study)
    jobs = list(work(search, study, epochs, function))
    search.close()
    return jobs


def record(study: optuna.Study) -> list[str]:
    """All that a run leaves in its study, without the times; as text, where NaN equals NaN."""
    return [
        f"{t.params} {sorted(t.user_attrs.items())} {t.system_attrs} {t.intermediate_values} "
        f"{t.state} {t.values}"
        for t in study.get_trials(deepcopy=False)
    ]


def sequence(jobs: list[Job]) -> Iterator[tuple[int, int]]:
    return ((job.trial.number, job.until) for job in jobs)


WRITES = [
    "create_new_trial",
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
]


class Killed(BaseException):
    pass


def kill_before_write(study: optuna.Study, n: int) -> None:
    """Let `n` writes through, then let no other happen."""
    storage = study._storage
    left = iter(range(n))

    def mortal(write):
        def attempt(*args, **kwargs):
            if next(left, None) is None:
                raise Killed
            return write(*args, **kwargs)

        return attempt

    for name in WRITES:
        setattr(storage, name, mortal(getattr(storage, name)))


def n_writes(new_search, epochs: int, function: Function) -> int:
    """Count what a run on a new study writes."""
    study = new_study()
    count = 0

    def counted(write):
        def attempt(*args, **kwargs):
            nonlocal count
            count += 1
            return write(*args, **kwargs)

        return attempt

    for name in WRITES:
        setattr(study._storage, name, counted(getattr(study._storage, name)))
    run(new_search, study, epochs, function)
    return count


def cut_and_resume(new_search, storage, reopened, cut: int, epochs: int, function: Function):
    """Run to the cut, then to the end; all jobs that were finished, and how many before it."""
    study = new_study(storage=storage)
    finished = []
    search = new_search(study)
    kill_before_write(study, cut)
    try:
        for job in work(search, study, epochs, function):
            finished.append(job)
        search.close()
    except Killed:
        pass
    resumed = new_study(storage=reopened(storage))
    before = len(finished)
    finished += run(new_search, resumed, epochs, function)
    return resumed, finished, before


def check_resumed_at_cuts(
    new_search, epochs: int, function: Function, first: int = 0, step: int = 1
) -> None:
    """See that a run goes on as if it had never been stopped, at every `step`-th write."""
    whole = new_study()
    expected = list(sequence(run(new_search, whole, epochs, function)))
    cuts = range(first, n_writes(new_search, epochs, function) + 1, step)
    assert len(cuts) > 80 // step
    for cut in cuts:
        resumed, finished, before = cut_and_resume(
            new_search, InMemoryStorage(), memory, cut, epochs, function
        )
        assert record(resumed) == record(whole), cut
        jobs = list(sequence(finished))
        # A job whose last write was its own is finished in the storage, though never told.
        known = expected[:before] + expected[len(expected) - (len(jobs) - before) :]
        assert jobs == known, cut
        assert len(expected) - len(jobs) <= 1, cut


def memory(_storage):
    """The same storage with its methods whole again."""
    for name in WRITES:
        _storage.__dict__.pop(name, None)
    return _storage
