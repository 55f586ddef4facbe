import numpy as np
import optuna
import pytest
from written import write_again, write_run

from hpo_bench.analysis.change import compare_suites
from hpo_bench.errors import HpoBenchError


def write_noisy(shift, *, seeds=30, method="pso", draw=0, storage=None, **options):
    """Runs whose results scatter by seed (0.01), and by another draw of the same seed (0.005)."""
    storage = storage or optuna.storages.InMemoryStorage()
    for seed in range(seeds):
        common = np.random.default_rng(seed).normal(0.85, 0.01)
        own = np.random.default_rng([seed, draw]).normal(0, 0.005)
        write_run(storage, [0.5, common + own + shift], method=method, seed=seed, **options)
    return storage


def compared(old, new, measure="validation"):
    return compare_suites([((old, "written"), (new, "written"))], measure)


def verdict_of(old, new, measure="validation"):
    (change,) = compared(old, new, measure).methods
    return change.verdict


def test_a_planted_regression_of_one_percent_is_found():
    changes = compared(write_noisy(0.0), write_noisy(-0.01, draw=1))
    (change,) = changes.methods
    assert change.verdict == "worse"
    assert changes.exit_status == 1
    assert change.after - change.before == pytest.approx(change.comparison.gain.mean)
    assert change.comparison.gain.low < -0.01 < change.comparison.gain.high


def test_a_method_that_got_better_passes():
    old, new = write_noisy(0.0), write_noisy(0.01, draw=1)
    changes = compared(old, new)
    assert [change.verdict for change in changes.methods] == ["better"]
    assert changes.exit_status == 0


def test_runs_that_are_identical_do_not_differ():
    old = write_noisy(0.0)
    changes = compared(old, old)
    assert [change.verdict for change in changes.methods] == ["no difference shown"]
    assert changes.methods[0].comparison.gain.mean == 0
    assert changes.exit_status == 0


def test_the_same_method_drawn_again_seldom_raises_an_alarm():
    old = write_noisy(0.0, seeds=12)
    verdicts = [
        verdict_of(old, write_noisy(0.0, seeds=12, draw=1 + repetition)) for repetition in range(20)
    ]
    # Five in a hundred are to be expected; four of twenty and more come by chance in one of 60.
    assert sum(verdict != "no difference shown" for verdict in verdicts) <= 3


def test_few_seeds_are_no_pass():
    changes = compared(write_noisy(0.0, seeds=2), write_noisy(-0.1, seeds=2))
    assert [change.verdict for change in changes.methods] == ["too few seeds to say"]
    assert changes.exit_status == 3


def test_a_method_that_is_worse_counts_before_one_with_few_seeds():
    old, new = write_noisy(0.0), write_noisy(-0.02)
    for storage in (old, new):
        write_noisy(0.0, seeds=2, method="tpe", storage=storage)
    changes = compared(old, new)
    assert [change.verdict for change in changes.methods] == ["worse", "too few seeds to say"]
    assert changes.exit_status == 1


def test_less_is_better_where_it_is_minimised():
    loss = {"direction": "minimize", "metric": "loss"}
    old, new = write_noisy(-0.4, **loss), write_noisy(-0.5, **loss)
    assert verdict_of(old, new) == "better"
    assert verdict_of(new, old) == "worse"


def test_the_test_values_can_be_compared():
    old, new = optuna.storages.InMemoryStorage(), optuna.storages.InMemoryStorage()
    for seed in range(8):
        write_run(old, [0.5], seed=seed, tests=[0.9 + 0.001 * seed])
        write_run(new, [0.5], seed=seed, tests=[0.8])
    assert verdict_of(old, new) == "no difference shown"
    assert verdict_of(old, new, "test") == "worse"


def test_what_was_trained_again_can_be_compared():
    old, new = optuna.storages.InMemoryStorage(), optuna.storages.InMemoryStorage()
    for seed in range(8):
        for storage, again in ((old, 0.7 + 0.001 * seed), (new, 0.6)):
            write_run(storage, [0.9], seed=seed)
            write_again(storage, [again, again], seed=seed)
    assert verdict_of(old, new) == "no difference shown"
    assert verdict_of(old, new, "confirmed") == "worse"
    assert compared(old, new, "confirmed").metric == "validation accuracy, confirmed"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("budget", {"epochs": 7}),
        ("objective_options", {"epochs": 9}),
        ("search_space", {"x": {"low": 0, "high": 9}}),
        ("data_sha256", "abc"),
    ],
)
def test_suites_that_differ_otherwise_are_not_compared(name, value):
    old = write_noisy(0.0, seeds=2)
    new = write_noisy(0.0, seeds=2, attributes={name: value})
    with pytest.raises(HpoBenchError, match=f"cannot be compared(?s:.*){name}: "):
        compared(old, new)


def test_only_finished_runs_count_and_the_others_are_told():
    old, new = write_noisy(0.0, seeds=8), write_noisy(0.0, seeds=8)
    write_run(new, [0.1], method="pso", seed=8, finished=None)
    write_run(new, [0.1], method="tpe", seed=0)
    changes = compared(old, new)
    (change,) = changes.methods
    assert change.comparison.gain.n == 8
    assert "pso: 1 of 9 new runs are not finished." in changes.notes
    assert "pso: 1 of its seeds left out, in one of the two only." in changes.notes
    assert "tpe: only in the new." in changes.notes


def test_what_changed_is_told():
    old = write_noisy(0.0, seeds=2, attributes={"method_options": {"swarm_size": 8}, "optuna": "5"})
    new = write_noisy(0.0, seeds=2, attributes={"method_options": {"swarm_size": 9}, "optuna": "6"})
    (note,) = compared(old, new).notes
    assert note == "pso: method_options {'swarm_size': 8} → {'swarm_size': 9}; optuna '5' → '6'."


def test_nothing_in_common_is_an_error():
    with pytest.raises(HpoBenchError, match="nothing to compare"):
        compared(write_noisy(0.0, seeds=2), write_noisy(0.0, method="tpe"))


def test_objectives_are_judged_together():
    """Two methods on three objectives: one regression is found, and all six are one family."""
    old, new = optuna.storages.InMemoryStorage(), optuna.storages.InMemoryStorage()
    names = [f"many.{objective}" for objective in "abc"]
    for name in names:
        for method in ("pso", "tpe"):
            shift = -0.02 if (name, method) == ("many.b", "tpe") else 0.0
            write_noisy(0.0, storage=old, suite=name, method=method)
            write_noisy(shift, storage=new, suite=name, method=method, draw=1)
    write_run(new, [0.5, 0.5], suite="many.c", method="grid")
    changes = compare_suites([((old, name), (new, name)) for name in names])
    worse = [(c.suite, c.method) for c in changes.methods if c.verdict == "worse"]
    assert worse == [("many.b", "tpe")]
    assert len(changes.methods) == 6
    by = {(c.suite, c.method): c.comparison for c in changes.methods}
    (alone,) = compare_suites([((old, "many.a"), (new, "many.a"))]).methods[:1]
    (together,) = (c for key, c in by.items() if key == ("many.a", alone.method))
    assert together.p == alone.comparison.p
    assert together.adjusted_p > alone.comparison.adjusted_p
    for found in by.values():
        assert (found.verdict == "no difference shown") == (found.gain.low <= 0 <= found.gain.high)
    assert changes.notes == ["many.c: grid: only in the new."]


def test_more_test_accuracy_is_better_where_the_value_is_a_loss():
    old, new = optuna.storages.InMemoryStorage(), optuna.storages.InMemoryStorage()
    for seed in range(8):
        for storage, test in ((old, 0.8), (new, 0.9)):
            write_run(storage, [0.5], seed=seed, tests=[test], direction="minimize", metric="loss")
    assert verdict_of(old, new, "test") == "better"


def test_only_methods_that_both_have_must_agree():
    old, new = write_noisy(0.0, seeds=8), write_noisy(0.0, seeds=8)
    write_run(new, [0.5], method="another", attributes={"budget": {"epochs": 99}})
    assert verdict_of(old, new) == "no difference shown"


def test_every_run_of_a_method_must_agree():
    old, new = write_noisy(0.0, seeds=8), write_noisy(0.0, seeds=8)
    for storage, budget in ((old, 6), (new, 60)):
        write_run(storage, [0.5], method="tpe", attributes={"budget": {"epochs": budget}})
    with pytest.raises(HpoBenchError, match=r"'epochs': 6} in the old, .* 60} in the new \(tpe\)"):
        compared(old, new)
