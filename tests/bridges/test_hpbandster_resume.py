import optuna
import pytest
from bohb_driver import new_search, new_study, record, run, sequence, valley, work
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

pytest.importorskip("hpbandster")

EPOCHS = 40
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


def flaky(configuration, epoch):
    """Fails now and then, and later for some than for others."""
    if configuration["kind"] == "a" and configuration["rate"] < 1e-3:
        return None if epoch > 1 else 1.0
    return float("nan") if configuration["rate"] > 0.08 else valley(configuration, epoch)


def n_writes(function) -> int:
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
    run(study, EPOCHS, function)
    return count


def cut_and_resume(storage, reopened, cut: int, function):
    """Run to the cut, then to the end; all jobs that were finished, in order."""
    study = new_study(storage=storage)
    finished = []
    search = new_search(study)
    kill_before_write(study, cut)
    try:
        for job in work(search, study, EPOCHS, function):
            finished.append(job)
        search.close()
    except Killed:
        pass
    resumed = new_study(storage=reopened(storage))
    before = len(finished)
    finished += run(resumed, EPOCHS, function)
    return resumed, finished, before


def memory(_storage):
    """The same storage with its methods whole again."""
    for name in WRITES:
        _storage.__dict__.pop(name, None)
    return _storage


@pytest.mark.parametrize("function", [valley, flaky])
def test_resumed_at_every_cut_it_goes_on_as_if_never_stopped(function):
    whole = new_study()
    expected = list(sequence(run(whole, EPOCHS, function)))
    cuts = range(n_writes(function) + 1)
    assert len(cuts) > 80
    for cut in cuts:
        resumed, finished, before = cut_and_resume(InMemoryStorage(), memory, cut, function)
        assert record(resumed) == record(whole), cut
        jobs = list(sequence(finished))
        # A job whose last write was its own is finished in the storage, though never told.
        known = expected[:before] + expected[len(expected) - (len(jobs) - before) :]
        assert jobs == known, cut
        assert len(expected) - len(jobs) <= 1, cut


@pytest.mark.parametrize("share", [0.35, 0.85])
def test_resumed_from_a_database_file(tmp_path, share):
    whole = new_study()
    run(whole, EPOCHS)
    url = f"sqlite:///{tmp_path}/study.db"
    cut = int(share * n_writes(valley))
    resumed, _, _ = cut_and_resume(url, lambda storage: storage, cut, valley)
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
