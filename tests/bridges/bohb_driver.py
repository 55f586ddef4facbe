"""Plays the harness: asks, evaluates a synthetic function epoch by epoch, records, tells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpo_bench.bridges.hpbandster import HpBandSterSearch, bohb
from hpo_bench.search import Job, Outcome, Setup
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


def new_search(study: optuna.Study, *, space: Space = SPACE, seed: int = 0, **options: Any):
    options = {"max_epochs": 9, "num_samples": 16, "strict": True, **options}
    return bohb(Setup(study, space, seed, max_fidelity=options["max_epochs"]), **options)


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


def spent(study: optuna.Study) -> int:
    return sum(job.epochs for t in study.get_trials(deepcopy=False) for job in jobs_of(t))


def work(search: HpBandSterSearch, study: optuna.Study, epochs: int, function: Function = valley):
    """Yield every job when its evaluation is told, until `epochs` are spent in the study."""
    while spent(study) < epochs:
        job = search.ask()
        search.tell(job, evaluate(job, function))
        yield job


def run(study: optuna.Study, epochs: int, function: Function = valley, **options: Any) -> list[Job]:
    search = new_search(study, **options)
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
