import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from written import SPACE, history, write_default, write_run, write_suite

from hpo_bench.analysis.history import History, Step
from hpo_bench.analysis.space import importances
from hpo_bench.analysis.summary import summarise
from hpo_bench.errors import InputError


@pytest.fixture
def storage():
    return optuna.storages.InMemoryStorage()


def test_curves_end_at_the_tables_median(storage):
    write_suite(storage)
    summary = summarise(storage, "written")
    for method in summary.methods:
        for axis in summary.curves:
            (curve,) = [c for c in summary.curves[axis] if c.method == method.name]
            ends = (curve.lower[-1], curve.median[-1], curve.upper[-1])
            assert ends == pytest.approx(method.quartiles)


def test_the_gap_is_by_how_much_validation_flatters(storage):
    for seed in range(6):
        write_run(storage, [0.5, 0.9], seed=seed, tests=[0.6, 0.8])
    (method,) = summarise(storage, "written").methods
    assert method.gap.mean == pytest.approx(0.1)
    assert method.area.mean == 0.5  # 0.9 comes with the end of the budget


@pytest.mark.parametrize(("direction", "expected"), [("maximize", [0.7, 0.9]), ("minimize", [0.5])])
def test_random_at_twice_the_budget_is_the_better_of_two_runs(storage, direction, expected):
    values = [0.5, 0.7, 0.9, 0.8, 0.99] if direction == "maximize" else [0.5, 0.7, 0.9]
    for seed, value in enumerate(values):  # the last has no other
        write_run(storage, [value], seed=seed, direction=direction)
    write_run(storage, [2.0], method="pso", direction=direction)
    twice = summarise(storage, "written").random_twice
    assert twice.n == len(expected)
    assert twice.mean == pytest.approx(np.mean(expected))


def test_what_is_no_accuracy_has_no_gap(storage):
    write_suite(storage, metric="loss")
    assert all(method.gap is None for method in summarise(storage, "written").methods)


def test_targets_can_be_given(storage):
    write_suite(storage, methods={"pso": 0.0})
    assert summarise(storage, "written").reached == []
    assert summarise(storage, "written").distributions == []
    summary = summarise(storage, "written", given_targets=[0.7, 0.65])
    assert summary.targets == {0.65: "given", 0.7: "given"}
    assert [found.target for found in summary.reached] == [0.65, 0.7]
    write_suite(storage, suite="losses", direction="minimize")
    targets = summarise(storage, "losses", given_targets=[0.65, 0.7]).targets
    assert list(targets) == [0.7, 0.65]  # the easiest first


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_region_of_equivalence_is_a_tenth_of_what_there_is_to_gain(storage, direction):
    best, default = (0.9, 0.6) if direction == "maximize" else (0.6, 0.9)
    for seed in range(6):
        found = [best if seed == 0 else 0.75]
        write_run(storage, found, seed=seed, tests=[0.8], direction=direction)
        write_default(storage, default, seed=seed, test=0.7, direction=direction)
    ropes = summarise(storage, "written").ropes
    assert ropes["validation"].span == pytest.approx(0.3)
    assert ropes["validation"].half == pytest.approx(0.03)
    assert ropes["test"].half == pytest.approx(0.01)
    given = summarise(storage, "written", rope=0.5).ropes["validation"]
    assert (given.half, given.span) == (0.5, pytest.approx(0.3))


def test_without_a_default_nothing_tells_the_region_of_equivalence(storage):
    write_suite(storage)
    assert summarise(storage, "written").ropes["validation"].half is None
    assert summarise(storage, "written", rope=0.5).comparisons["test"][0].verdict == "equivalent"


def test_runs_that_a_target_ended_are_compared_by_what_they_spent(storage):
    """The slower method ends with the better values, for it jumps over the target."""
    told = {"finished": "target reached"}
    for seed in range(8):
        budget = {"budget": {"epochs": 60, "target": 0.8}}
        fast = [0.5] * (1 + seed % 2) + [0.8]
        slow = [0.5] * (9 + seed % 3) + [0.95]
        write_run(storage, fast, method="fast", seed=seed, attributes=budget, **told)
        write_run(storage, slow, method="slow", seed=seed, attributes=budget, **told)
        write_run(storage, [0.5] * 20, method="never", seed=seed, attributes=budget)
        write_default(storage, 0.7, seed=seed)
    summary = summarise(storage, "written", given_targets=[0.6, 0.9])
    assert summary.stopped_at == 0.8
    assert list(summary.comparisons) == ["running_time"]
    found = {(c.first, c.second): c for c in summary.comparisons["running_time"]}
    assert found["fast", "slow"].verdict == "better"
    assert found["fast", "slow"].gain.mean == pytest.approx(9 + 0.875 + 1 - 2.5)
    # Twice what a run spent in vain.
    assert found["fast", "never"].gain.mean == pytest.approx(40 - 2.5)
    assert summary.against == []
    # Nobody was asked for 0.9.
    assert summary.targets == {0.6: "given", 0.8: "the budget's target, which ended the runs"}
    assert not summary.is_saturated


def test_a_target_that_nobody_reached_has_ended_nothing(storage):
    for seed in range(4):
        for method in ("pso", "tpe"):
            budget = {"budget": {"epochs": 6, "target": 0.99}}
            write_run(storage, [0.5, 0.6], method=method, seed=seed, attributes=budget)
    summary = summarise(storage, "written")
    assert summary.stopped_at is None
    assert "validation" in summary.comparisons


@pytest.mark.parametrize("rope", [0.0, -1.0, float("nan")])
def test_a_region_of_equivalence_has_a_width(storage, rope):
    with pytest.raises(InputError, match="rope"):
        summarise(storage, "written", rope=rope)


def test_runs_that_are_empty_or_failed_are_counted_as_such(storage):
    write_suite(storage, seeds=2)
    write_run(storage, [], method="pso", seed=2, finished=None)
    write_run(storage, [None], method="grid", seed=0, finished=None)
    methods = {method.name: method for method in summarise(storage, "written").methods}
    assert methods["pso"].states == {"empty": 1, "finished": 2}
    assert methods["pso"].validation.n == 2
    assert methods["grid"].states == {"failed": 1}
    assert methods["grid"].validation is None


def test_statistics_are_of_finished_runs(storage):
    write_suite(storage, seeds=7)
    whole = summarise(storage, "written")
    write_run(storage, [0.99], method="pso", seed=7, finished=None, tests=[0.99])
    write_run(storage, [0.99], method="grid", seed=0, finished=None)
    summary = summarise(storage, "written")
    assert [method.name for method in summary.methods][-1] == "grid"
    for before, after in zip(whole.methods, summary.methods, strict=False):
        assert after.validation == before.validation
        assert after.area == before.area
        assert after.means == before.means
    assert summary.comparisons == whole.comparisons
    assert summary.reached == whole.reached
    assert [c.runs for c in summary.curves["epochs"]] == [7, 7]
    assert len(summary.runs) == 16


def test_importance_is_found_where_it_is():
    rng = np.random.default_rng(0)
    template = history(rng.uniform(size=100).tolist())
    steps = [
        Step(s.trial, {"x": s.job.value, "y": float(10 ** -rng.uniform(0, 3))}, s.job, None)
        for s in template.steps
    ]
    fields = {**vars(template), "steps": tuple(steps), "space": SPACE}
    run = History(**{name: fields[name] for name in History.__dataclass_fields__})
    found = importances([run])
    assert list(found.shares) == ["x", "y"]
    assert found.shares["x"] > 0.9
    assert (found.evaluations, found.source) == (100, "random search")


def test_few_evaluations_or_a_single_hyperparameter_tell_no_importance():
    assert importances([history([])]) is None
    one = {"x": FloatDistribution(0, 1)}
    steps = tuple(Step(n, {"x": 0.5}, history([0.5]).steps[0].job, None) for n in range(40))
    assert importances([History("random", 0, "", "", steps, 1, True, {}, one)]) is None


def test_more_test_accuracy_is_better_where_the_value_is_a_loss(storage):
    for seed in range(8):
        for method, loss in (("pso", 0.1 + 0.001 * seed), ("random", 0.2)):
            write_run(
                storage, [loss], method=method, seed=seed, tests=[1 - loss], direction="minimize"
            )
    compared = summarise(storage, "written").comparisons
    assert {found.verdict for pairs in compared.values() for found in pairs} == {"better"}


def test_a_test_value_that_is_no_number_is_none(storage):
    for seed in range(8):
        write_run(storage, [0.9], seed=seed, tests=[float("nan") if seed == 3 else 0.8])
    (method,) = summarise(storage, "written").methods
    assert (method.test.n, method.test.mean) == (7, pytest.approx(0.8))
    assert method.validation.n == 8


def test_a_search_with_a_pruner_is_no_random_search(storage):
    halving = {"method": "random", "pruner": "optuna.pruners:SuccessiveHalvingPruner"}
    for seed in range(6):
        write_run(storage, [0.5 + 0.01 * seed, 0.4], seed=seed)
        write_run(storage, [0.9, 0.9], method="halving", seed=seed, attributes=halving)
    summary = summarise(storage, "written")
    assert max(summary.targets) < 0.9
    assert summary.random_twice.mean == pytest.approx((0.51 + 0.53 + 0.55) / 3)


def test_of_two_random_searches_one_is_taken(storage):
    for seed in range(6):
        for method in ("random", "once-more"):
            write_run(
                storage,
                [0.5 + 0.01 * seed],
                method=method,
                seed=seed,
                attributes={"method": "random"},
            )
    assert summarise(storage, "written").random_twice.n == 3


def test_a_method_has_its_budget_before_any_run_of_it_is_finished(storage):
    write_run(storage, [0.5])
    larger = {"method": "random", "budget_factor": 2}
    write_run(storage, [0.6], method="random-2x", attributes=larger, finished=None)
    assert {m.name: m.budget_factor for m in summarise(storage, "written").methods} == {
        "random": 1,
        "random-2x": 2,
    }


def test_the_same_draws_with_a_larger_budget_do_not_count_twice_for_importance(storage):
    larger = {"method": "random", "budget_factor": 2}
    write_run(storage, [*np.linspace(0, 1, 40)])
    write_run(storage, [*np.linspace(0, 1, 80)], method="random-2x", attributes=larger)
    write_run(storage, [*np.linspace(0, 1, 40)], seed=1, finished=None)
    assert summarise(storage, "written").importances.evaluations == 40


def test_a_target_keeps_the_easiest_of_its_names(storage):
    write_run(storage, [0.9] * 30 + [0.5] * 70)
    told = summarise(storage, "written").targets
    assert told == {0.5: "one random configuration in 2", 0.9: "one random configuration in 5"}
