import pytest
from bohb_driver import new_search, run
from driver import (
    check_resumed_at_cuts,
    cut_and_resume,
    flaky,
    n_writes,
    new_study,
    record,
    sequence,
    valley,
    work,
)
from optuna.trial import TrialState

pytest.importorskip("hpbandster")

EPOCHS = 40


@pytest.mark.parametrize("function", [valley, flaky])
def test_resumed_at_every_cut_it_goes_on_as_if_never_stopped(function):
    check_resumed_at_cuts(new_search, EPOCHS, function)


@pytest.mark.parametrize("share", [0.35, 0.85])
def test_resumed_from_a_database_file(tmp_path, share):
    whole = new_study()
    run(whole, EPOCHS)
    url = f"sqlite:///{tmp_path}/study.db"
    cut = int(share * n_writes(new_search, EPOCHS, valley))
    resumed, _, _ = cut_and_resume(new_search, url, lambda storage: storage, cut, EPOCHS, valley)
    assert [t.params for t in resumed.trials] == [t.params for t in whole.trials]
    assert record(resumed) == record(whole)


def test_what_is_unfinished_is_handed_out_first():
    study = new_study()
    search = new_search(study)
    jobs = work(search, study, EPOCHS)
    for _ in range(10):
        next(jobs)
    abandoned = search.ask()
    again = new_search(study).ask()
    assert abandoned.trial.number == again.trial.number
    assert abandoned.until == again.until == 3
    assert abandoned.configuration == again.configuration


def test_jobs_that_were_out_together_are_handed_out_again():
    study = new_study()
    search = new_search(study)
    out = [search.ask() for _ in range(4)]
    resumed = new_search(study)
    again = [resumed.ask() for _ in range(4)]
    assert list(sequence(out)) == list(sequence(again))
    assert len(study.trials) == 4


def test_a_killed_run_can_be_closed_without_going_on():
    study = new_study()
    for _ in zip(range(11), work(new_search(study), study, EPOCHS), strict=False):
        pass
    new_search(study).close()
    assert not study.get_trials(states=[TrialState.RUNNING])


@pytest.mark.parametrize("epochs", [3, 10, 12, 15, 22, 30])
def test_a_closed_study_can_go_on(epochs):
    study = new_study()
    first = run(study, epochs)
    more = run(study, EPOCHS)
    assert not study.get_trials(states=[TrialState.RUNNING])
    assert len({*sequence(first), *sequence(more)}) == len(first) + len(more)
    assert sum(trial.last_step for trial in study.trials) >= EPOCHS
