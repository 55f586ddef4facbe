"""Exactly once, with real processes on one SQLite file, failures, and one killed in mid-trial."""

import multiprocessing
import os
from collections import Counter

import optuna
import sqlalchemy
from optuna.trial import TrialState

from samplers import GridSampler

N_WORKERS = 8
SPACE = {name: [0, 1, 2] for name in "abcd"}


def study_at(url):
    storage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})
    # Waiting for the disk costs this test minutes on a busy machine and tells it nothing.
    sqlalchemy.event.listen(
        storage.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=0")
    )
    return optuna.load_study(study_name="grid", storage=storage, sampler=GridSampler(SPACE))


def work(url, worker):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    asked = 0

    def objective(trial):
        nonlocal asked
        asked += 1
        value = sum(trial.suggest_int(name, 0, 2) for name in SPACE)
        if worker == 0 and asked == 3:
            os._exit(9)
        if worker in (1, 2) and asked in (2, 5):
            raise RuntimeError
        return value

    study_at(url).optimize(objective, catch=RuntimeError)


def test_eight_processes_complete_every_point_once(tmp_path):
    url = f"sqlite:///{tmp_path}/grid.db"
    optuna.create_study(study_name="grid", storage=url)
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=work, args=(url, worker)) for worker in range(N_WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert {worker.exitcode for worker in workers[1:]} == {0}

    study = study_at(url)
    lost = study.get_trials(states=[TrialState.RUNNING])
    assert len(lost) == (workers[0].exitcode == 9)
    for trial in lost:  # as one does who sweeps up after dead workers
        study.tell(trial.number, state=TrialState.FAIL)
    if lost:
        assert not study.sampler.is_exhausted(study)
        work(url, N_WORKERS)

    complete = study.get_trials(states=[TrialState.COMPLETE])
    times = Counter(tuple(trial.params[name] for name in SPACE) for trial in complete)
    assert len(times) == 81
    assert set(times.values()) == {1}
    assert study.sampler.is_exhausted(study)
