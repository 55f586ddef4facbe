import csv
import io
import json
from dataclasses import replace

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from rich.console import Console
from written import write_run

from hpo_bench.analysis.endpoint import Endpoint
from hpo_bench.analysis.results import (
    MethodResult,
    RunResult,
    Spread,
    SuiteResult,
    collect,
    incumbent,
)
from hpo_bench.numbers import number
from hpo_bench.report import parts, table
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import runs_of
from hpo_bench.storage.opening import open_storage


@pytest.fixture
def result(toy_suite, tmp_path):
    suite = toy_suite(methods={"random": {}, "bohb": {}}, seeds=[0, 1])
    for run in runs_of(suite, tmp_path / "checkpoints"):
        execute(run)
    return collect(open_storage(suite.storage), "toy")


def test_results_are_those_of_the_trials(result, tmp_path):
    (run,) = [r for r in result.runs if (r.method, r.seed) == ("random", 1)]
    url = f"sqlite:///{tmp_path / 'toy.db'}"
    study = optuna.load_study(study_name="toy/random/seed-01", storage=url)
    assert run.validation == study.best_value
    assert run.incumbent == study.best_params
    assert run.test == 1.0
    assert (run.configurations, run.evaluations, run.epochs) == (10, 10, 30)
    assert run.finished == "epochs spent"
    assert run.wall_seconds == pytest.approx(
        sum(trial.user_attrs["wall_seconds"] for trial in study.trials)
    )
    assert run.rest_seconds >= run.storage_seconds > 0


def test_a_method_is_the_mean_of_its_runs_and_the_best_stands_first(result):
    assert [m.validation.mean for m in result.methods] == sorted(
        (m.validation.mean for m in result.methods), reverse=True
    )
    for method in result.methods:
        values = [run.validation for run in result.runs if run.method == method.method]
        assert method.seeds == 2
        assert method.validation.mean == pytest.approx(sum(values) / 2)
        assert method.validation.deviation == pytest.approx(abs(values[0] - values[1]) / 2**0.5)


def test_bohb_tells_how_it_picked(result):
    (bohb,) = [m for m in result.methods if m.method == "bohb"]
    assert set(bohb.picks) <= {"model", "random", "fallback"}
    assert sum(bohb.picks.values()) == bohb.configurations * 2
    (note,) = [n for n in table.notes(result) if n.startswith("bohb")]
    assert f"{bohb.picks['model']} of {sum(bohb.picks.values())} configurations" in note


def test_the_incumbent_is_the_best_at_full_fidelity():
    def trial(value, state):
        return create_trial(value=value, state=state)

    trials = [
        trial(0.9, TrialState.PRUNED),
        trial(0.5, TrialState.COMPLETE),
        trial(0.7, TrialState.COMPLETE),
        trial(None, TrialState.FAIL),
    ]
    assert incumbent(trials, StudyDirection.MAXIMIZE).value == 0.7
    assert incumbent(trials, StudyDirection.MINIMIZE).value == 0.5
    assert incumbent(trials[:1], StudyDirection.MAXIMIZE) is None


def test_a_single_seed_has_no_spread():
    assert Spread.of([0.5]) == Spread(0.5, None)
    assert Spread.of([]) is None


@pytest.mark.parametrize(
    ("spread", "told"),
    [
        (Spread(5.31e-05, 1.234e-05), "5.31e-05 ± 1.23e-05"),
        (Spread(0.87071, 0.00684), "0.8707 ± 0.0068"),
        (Spread(0.0, None), "| 0 |"),
    ],
)
def test_losses_are_told_apart_however_small(spread, told):
    times = dict.fromkeys(("train_seconds", "sampler_seconds", "rest_seconds", "wall_seconds"), 1.0)
    counts = dict.fromkeys(("configurations", "distinct", "evaluations", "epochs"), 1.0)
    method = MethodResult("pso", 2, 0, spread, None, spread, **counts, **times, failed=0, picks={})
    endpoint = Endpoint("validation", is_declared=True)
    made = SuiteResult("mine", "loss", endpoint, {}, [], [method], [], [])
    assert told in table.to_markdown(made)


def test_every_format_tells_the_same(result):
    records = list(csv.DictReader(io.StringIO(table.to_csv(result))))
    assert len(records) == 4
    assert {float(r["validation"]) for r in records} == {r.validation for r in result.runs}
    assert "incumbent.x" in records[0]
    loaded = json.loads(table.to_json(result))
    assert [RunResult(**run) for run in loaded["runs"]] == result.runs
    shown = io.StringIO()
    table.print_table(result, Console(file=shown, width=120))
    for method in result.methods:
        cell = f"{method.validation.mean:.4f} ± {method.validation.deviation:.4f}"
        assert cell in table.to_markdown(result)
        assert cell in shown.getvalue()


@pytest.mark.parametrize("is_simulated", [False, True])
def test_no_width_loses_a_digit_or_a_column_in_silence(result, is_simulated):
    result = replace(result, is_simulated=is_simulated)
    headings, rows = table.rows(result)
    for width in (26, 40, 60, 80, 101, 120, 10_000):
        shown = io.StringIO()
        table.print_table(result, Console(file=shown, width=width))
        printed = " ".join(shown.getvalue().split())
        assert "…" not in printed
        assert max(map(len, shown.getvalue().splitlines())) <= width
        told = printed.partition("Too narrow for: ")[2].partition(". A wider")[0]
        left_out = told.split(", ") if told else []
        assert headings[len(headings) - len(left_out) :] == left_out
        assert left_out or width > 60
        assert not left_out or width < 110 or is_simulated
        n_shown = len(headings) - len(left_out)
        for row in (headings, *rows) if width >= 40 else ():
            assert {word for cell in row[:n_shown] for word in cell.split()} <= set(printed.split())
        for method in result.methods:
            for value in (method.validation.mean, method.validation.deviation):
                assert f"{value:.4f}" in printed


def test_the_best_configuration_of_each_method_is_named(result):
    shown = io.StringIO()
    table.print_table(result, Console(file=shown, width=120))
    for method in result.methods:
        runs = (run for run in result.runs if run.method == method.method)
        best = max(runs, key=lambda run: run.validation)
        told = parts.configuration(best.incumbent)
        (line,) = [line for line in shown.getvalue().splitlines() if told in line]
        assert line.split()[:2] == [method.method, str(best.seed)]
        assert f"| {method.method} | {best.seed} | " in table.to_markdown(result)
        assert f"{number(best.validation)} | {told} |" in table.to_markdown(result)


def test_the_levels_of_a_recorded_table_show_as_the_values_and_its_seconds_as_simulated():
    storage = optuna.storages.InMemoryStorage()
    study = write_run(storage, [], attributes={"objective_options": {"clock": "simulated"}})
    dist = {"c1": IntDistribution(0, 3), "act": CategoricalDistribution(["relu", "tanh"])}
    attrs = {"recorded_c1": 24, "recorded_act": "no number"}
    study.add_trial(
        create_trial(
            value=0.5, params={"c1": 2, "act": "relu"}, distributions=dist, user_attrs=attrs
        )
    )
    shown = io.StringIO()
    table.print_table(collect(storage, "written"), Console(file=shown, width=200))
    assert "c1 24, act relu" in shown.getvalue()
    assert "simulated wall s  simulated train s  sampler s" in shown.getvalue()
    assert "nobody waited for them" in shown.getvalue()


def test_unfinished_runs_are_said_to_be_so(toy_suite, tmp_path):
    suite = toy_suite()
    (run,) = runs_of(suite, tmp_path / "checkpoints")
    calls = iter(range(100))
    execute(run, should_stop=lambda: next(calls) == 4)
    result = collect(open_storage(suite.storage), "toy")
    assert result.runs[0].finished is None
    assert "random: 1 of 1 runs not finished." in table.notes(result)
