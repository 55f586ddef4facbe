from dataclasses import asdict

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from toy import Curve

from hpo_bench.budget import Budget, Spent, spent_by
from hpo_bench.storage.records import JobRecord

MAXIMIZE, MINIMIZE = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE


@pytest.mark.parametrize(
    ("budget", "spent", "ended"),
    [
        (Budget(epochs=10), Spent(MAXIMIZE, 9, epochs=9), None),
        (Budget(epochs=10), Spent(MAXIMIZE, 9, epochs=10), "epochs spent"),
        (Budget(evaluations=3), Spent(MAXIMIZE, 9, evaluations=3), "evaluations spent"),
        (Budget(seconds=1.5), Spent(MAXIMIZE, 9, seconds=2.0), "seconds spent"),
        (Budget(epochs=9, target=0.7), Spent(MAXIMIZE, 9, best=0.7), "target reached"),
        (Budget(epochs=9, target=0.7), Spent(MAXIMIZE, 9, best=0.6), None),
        (Budget(epochs=9, target=0.7), Spent(MINIMIZE, 9, best=0.6), "target reached"),
        (
            Budget(epochs=9, evaluations=2),
            Spent(MAXIMIZE, 9, epochs=1, evaluations=2),
            "evaluations spent",
        ),
    ],
)
def test_a_run_ends_at_whichever_limit_comes_first(budget, spent, ended):
    assert spent.exhausts(budget) == ended


def test_configurations_are_those_that_may_start():
    assert Budget(epochs=10).configurations(3) == 4
    assert Budget(epochs=9, evaluations=2).configurations(3) == 2
    assert Budget(evaluations=13).configurations(3, evaluations_each=13 / 9) == 9
    assert Budget(seconds=3).configurations(3) is None


def test_share_is_that_of_the_nearest_limit():
    spent = Spent(MAXIMIZE, 9, epochs=5, evaluations=3)
    assert spent.share(Budget(epochs=10, evaluations=4)) == 0.75
    assert spent.share(Budget(epochs=10), epochs_under_way=2) == 0.7
    assert Spent(MAXIMIZE, 9, epochs=12).share(Budget(epochs=10)) == 1.0


def test_what_trials_recorded_is_added_up_and_only_full_values_are_the_best():
    def trial(state, *jobs):
        entries = [
            asdict(JobRecord(fidelity, value, False, epochs, 0.0, 0.0, 0.0, seconds))
            for fidelity, value, epochs, seconds in jobs
        ]
        value = jobs[-1][1] if jobs else None
        return create_trial(value=value, state=state, user_attrs={"jobs": entries})

    spent = spent_by(
        Curve(epochs=9),
        [
            trial(TrialState.COMPLETE, (1, 0.8, 1, 0.5), (3, 0.7, 2, 0.5), (9, 0.5, 6, 1.0)),
            trial(TrialState.PRUNED, (1, 0.9, 1, 0.5)),
            trial(TrialState.FAIL),
        ],
    )
    assert (spent.epochs, spent.evaluations, spent.seconds, spent.best) == (10, 4, 2.5, 0.5)


def test_a_study_without_trials_has_spent_nothing():
    spent = spent_by(Curve(), optuna.create_study().trials)
    assert (spent.epochs, spent.evaluations, spent.best) == (0, 0, None)
