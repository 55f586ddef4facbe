import math

import optuna
import pytest
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from hpo_bench.storage.opening import backend_of, open_storage
from hpo_bench.storage.rdb import BulkStorage
from hpo_bench.storage.studies import recorded, study_names

SPACE = {
    "x": FloatDistribution(1e-3, 1, log=True),
    "n": IntDistribution(0, 8, step=2),
    "kind": CategoricalDistribution(["a", None, 3, True]),
}


@pytest.fixture
def url(any_url):
    return any_url


@pytest.fixture
def study(url):
    """Trials of every state, with whatever a trial may hold."""
    study = optuna.create_study(storage=url, study_name="every", sampler=None)
    for number, kind in enumerate(SPACE["kind"].choices):
        trial = create_trial(
            params={"x": 0.1, "n": 2 * number, "kind": kind},
            distributions=SPACE,
            value=[1.5, math.inf, -math.inf, 0.0][number],
            user_attrs={"jobs": [{"a": 1, "b": None}], "text": "ä", "number": number},
            system_attrs={"own:state": {"v": 1}},
            intermediate_values={1: 0.5, 2: math.nan, 3: math.inf},
        )
        study.add_trial(trial)
    study.enqueue_trial({"x": 0.5})
    study.add_trial(create_trial(state=TrialState.FAIL))
    study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values={1: 2.0}))
    study.ask(SPACE)
    study.ask().suggest_int("other", 1, 3)
    return study


def as_shown(trials):
    """Everything, with the attributes in no order, and with nan equal to nan."""
    return [
        repr({n: sorted(v.items()) if n.endswith("attrs") else v for n, v in fields.items()})
        for fields in ({n.strip("_"): v for n, v in vars(t).items()} for t in trials)
    ]


def test_a_study_is_read_as_optuna_reads_it(study, url):
    usual, bulk = RDBStorage(url), BulkStorage(url)
    theirs = usual.get_all_trials(study._study_id)
    assert len(theirs) == 8
    assert as_shown(bulk.get_all_trials(study._study_id)) == as_shown(theirs)
    for states in [(TrialState.COMPLETE,), (TrialState.RUNNING, TrialState.WAITING)]:
        ours = bulk.get_all_trials(study._study_id, states=states)
        assert as_shown(ours) == as_shown(usual.get_all_trials(study._study_id, states=states))


def test_what_is_added_later_is_read_too(study, url):
    storage = open_storage(url)
    read = optuna.load_study(study_name="every", storage=storage)
    assert len(read.trials) == 8
    (running, *_) = read.get_trials(states=(TrialState.RUNNING,))
    study.tell(running.number, 3.0)
    study.add_trial(create_trial(value=2.0))
    assert as_shown(read.trials) == as_shown(study.trials)


def test_a_study_that_is_not_there_or_empty_is_told_as_such(url):
    optuna.create_study(storage=url, study_name="empty")
    bulk = BulkStorage(url)
    assert bulk.get_all_trials(bulk.get_study_id_from_name("empty")) == []
    with pytest.raises(KeyError):
        bulk.get_all_trials(999)


def test_names_are_read_alone(url):
    for name in ("s/m/seed-00", "s/m/seed-01", "t/m/seed-00", "somebody's"):
        optuna.create_study(storage=url, study_name=name)
    assert study_names(open_storage(url), "s") == ["s/m/seed-00", "s/m/seed-01"]
    assert BulkStorage(url).study_names() == [
        "s/m/seed-00",
        "s/m/seed-01",
        "t/m/seed-00",
        "somebody's",
    ]


def test_a_trial_that_is_told_while_it_is_read_is_never_taken_for_a_finished_one_in_part(url):
    writing = optuna.create_study(storage=open_storage(url), study_name="s")
    for statement in range(7):
        trial = writing.ask({"x": SPACE["x"]})
        storage = open_storage(url)
        read = optuna.load_study(study_name="s", storage=storage)
        statements = iter(range(statement))

        @sqlalchemy.event.listens_for(backend_of(storage).engine, "before_cursor_execute")
        def tell(*_, trial=trial, statements=statements):
            if next(statements, None) is None and not recorded(trial).state.is_finished():
                trial.report(0.5, 1)
                trial.set_user_attr("a", 1)
                writing.tell(trial, 1.0)

        seen = read.trials[trial.number]
        if seen.state.is_finished():
            assert as_shown([seen]) == as_shown([recorded(trial)])
        assert as_shown(read.trials) == as_shown(writing.trials)
