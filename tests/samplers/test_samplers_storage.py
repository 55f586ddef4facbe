"""What a sampler reads of the storage: all that has changed, and not all of the study."""

from functools import partial
from unittest.mock import patch

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import IntDistribution
from optuna.trial import TrialState

from samplers import BOHBSampler, GridSampler, PSOSampler, RandomSampler
from samplers._base.trials import Trials

SPACE = {"x": IntDistribution(0, 99), "y": IntDistribution(0, 99)}
SAMPLERS = {
    "grid": lambda: GridSampler(SPACE),
    "random": lambda: RandomSampler(seed=1),
    "pso": lambda: PSOSampler(seed=1),
    "bohb": lambda: BOHBSampler(seed=1),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_worker_reads_all_trials_once(name):
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, sampler=SAMPLERS[name]())
    read, all_trials = [], storage.get_all_trials

    def spy(study_id, deepcopy=True, states=None):
        read.append(states is None)
        return all_trials(study_id, deepcopy, states)

    with patch.object(storage, "get_all_trials", spy):
        for _ in range(30):
            trial = study.ask(SPACE)
            study.tell(trial, trial.params["x"])
    assert sum(read) <= 1


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(["ask", "tell", "fail", "enqueue", "look"]), max_size=40))
def test_what_is_known_is_what_stands_in_the_storage(events):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    known, running = Trials(), []
    for event in events:
        if event in ("ask", "look"):
            trial = study.ask(SPACE)
            running.append(trial)
            if event == "look":
                known.announce(study.trials[trial.number])
                seen = known.up_to(study, trial.number)[: trial.number + 1]
                there = study.trials[: trial.number + 1]
                assert [(t.number, t.state, t.params) for t in seen] == [
                    (t.number, t.state, t.params) for t in there
                ]
        elif event == "enqueue":
            study.enqueue_trial({"x": 3})
        elif running:
            done = TrialState.FAIL if event == "fail" else TrialState.COMPLETE
            study.tell(running.pop(), None if event == "fail" else 1.0, state=done)
    assert list(known.all(study)) == study.trials


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_study_that_is_gone_says_nothing_to_the_next_one(name):
    """Python gives the address of a storage that is gone to one that is made after it."""
    sampler = SAMPLERS[name]()

    def search():
        study = optuna.create_study(study_name="again", sampler=sampler)
        for _ in range(6):
            trial = study.ask(SPACE)
            study.tell(trial, trial.params["x"])
        return [trial.params for trial in study.trials]

    first = search()
    assert [search() for _ in range(4)] == [first] * 4


@pytest.mark.parametrize(
    "make",
    [partial(GridSampler, SPACE), RandomSampler, PSOSampler, PSOSampler.classic, BOHBSampler],
)
def test_an_integer_of_numpys_is_a_seed(make, sqlite):
    def search(seed, storage):
        study = optuna.create_study(sampler=make(seed=seed), storage=storage)
        return [study.ask(SPACE).params for _ in range(3)]

    assert search(np.int64(7), sqlite()) == search(7, None)
