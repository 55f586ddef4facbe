"""The value that verdicts use is declared before a run begins, and recorded with it."""

import math

import optuna
import pytest
from recordings import LEVELS, columns, toy_table
from written import write_run

from hpo_bench import suite
from hpo_bench.analysis.across import across
from hpo_bench.analysis.change import compare_suites
from hpo_bench.analysis.results import collect
from hpo_bench.analysis.summary import summarise
from hpo_bench.errors import HpoBenchError, InputError
from hpo_bench.objectives.table import Table
from hpo_bench.report import content, table
from hpo_bench.report.sections.results import verdict
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import runs_of
from hpo_bench.storage.opening import open_existing


@pytest.fixture
def storage():
    return optuna.storages.InMemoryStorage()


def made_of(objective, **settings):
    return suite.parse(
        {
            "name": "toy",
            "objective": objective,
            "methods": {"random": {}},
            "budget": {"evaluations": 4},
            **settings,
        }
    )


def replayed(path):
    return {"name": "table", "options": {"table": str(path)}}


TRAINED = {"name": "toy:Curve"}


def test_the_default_is_what_flatters_least(tmp_path):
    """The winner's other trainings, trainings by fresh seeds, the test, and only then validation"""
    with_test = toy_table(tmp_path / "test.csv")
    once = toy_table(tmp_path / "once.csv", **columns(seeds=(0,)))
    for objective, settings, expected in (
        (replayed(with_test), {}, "held-out-test"),
        (replayed(with_test), {"confirm": 2}, "held-out-test"),
        (replayed(once), {}, "test"),
        (TRAINED, {"confirm": 2}, "retrained"),
        (TRAINED, {}, "validation"),
        (TRAINED, {"confirm": 2, "endpoint": "validation"}, "validation"),
    ):
        made = made_of(objective, **settings)
        assert made.endpoint_of(made.build_objective(0)) == expected


def test_an_endpoint_that_nothing_will_measure_is_refused():
    with pytest.raises(InputError, match=r"endpoint.*'retrained'.*here one of validation"):
        made_of(TRAINED, endpoint="retrained").check()


def test_what_is_held_out_leaves_out_trainings_that_failed(tmp_path):
    values = columns()["value"]
    failed = [math.nan if s == 1 else v for s, v in zip(columns()["seed"], values, strict=True)]
    replay = Table(toy_table(tmp_path / "toy.csv", value=failed), seed=3)
    for units in range(len(LEVELS["units"])):
        evaluation = replay.start({"units": units, "activation": "relu", "rate": 0})
        found = [evaluation.advance() for _ in range(3)]
        told = evaluation.measurements()
        if told["recorded_training"] != 1:
            assert told["held_out"] == pytest.approx(found[-1], abs=0.0021)
            assert told["held_out"] != found[-1]


def test_verdicts_of_a_replayed_suite_use_the_trainings_that_it_did_not_see(tmp_path):
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    made = made_of(
        replayed(toy_table(tmp_path / "toy.csv")),
        storage=url,
        seeds=3,
        methods={"random": {}, "tpe": {"sampler": "optuna.samplers:TPESampler"}},
    )
    for run in runs_of(made, tmp_path):
        execute(run)
    opened = open_existing(url)
    assert opened.get_study_user_attrs(1)["endpoint"] == "held-out-test"
    summary = summarise(opened, "toy")
    assert (summary.endpoint.measure, summary.endpoint.is_declared) == ("held_out_test", True)
    assert next(iter(summary.comparisons)) == "held_out_test"
    by_mean = [method.endpoint.mean for method in summary.methods]
    assert by_mean == sorted(by_mean, reverse=True)
    for method in summary.methods:
        assert method.gap.mean == pytest.approx(method.validation.mean - method.endpoint.mean)
    assert "Best mean test accuracy, held out" in verdict(summary)
    titles = [section.title for section in content.sections(summary, url)]
    assert "Validation and held-out test" in titles
    result = collect(opened, "toy")
    heading = table.to_markdown(result).splitlines()[0]
    assert heading.index("test accuracy, held out") < heading.index("validation accuracy")
    assert "recorded trainings that its run did not see" in " ".join(table.notes(result))


def test_an_endpoint_is_not_changed_when_results_are_there(tmp_path):
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    for settings in ({}, {"confirm": 1}):  # which changes what would be the default
        (run,) = runs_of(made_of(TRAINED, storage=url, seeds=1, **settings), tmp_path)
        execute(run)
    assert collect(open_existing(url), "toy").endpoint.name == "validation"
    (other,) = runs_of(
        made_of(TRAINED, storage=url, seeds=1, endpoint="retrained", confirm=2), tmp_path
    )
    with pytest.raises(HpoBenchError, match="endpoint: 'validation' there, 'retrained' here"):
        execute(other)


def test_an_endpoint_that_is_not_measured_yet_has_no_verdict(storage):
    for name in ("one", "two"):
        for seed in range(4):
            told = {"attributes": {"endpoint": "retrained-test"}}
            write_run(storage, [0.5, 0.9], suite=name, method="pso", seed=seed, **told)
            write_run(storage, [0.5, 0.8], suite=name, method="tpe", seed=seed, **told)
    summaries = [summarise(storage, name) for name in ("one", "two")]
    assert verdict(summaries[0]).startswith("The endpoint, test accuracy, confirmed, is not")
    with pytest.raises(HpoBenchError, match="several objectives"):
        across(summaries)


def test_runs_that_declare_different_endpoints_have_that_of_the_first(storage):
    for seed, (name, created) in enumerate((("test", "2026-02-02"), ("validation", "2026-01-01"))):
        told = {"attributes": {"endpoint": name}}
        study = write_run(storage, [0.5], seed=seed, tests=[0.4], **told)
        study.set_user_attr("created", created)
    result = collect(storage, "written")
    assert (result.endpoint.name, result.endpoint.is_unanimous) == ("validation", False)
    assert "Some runs declare another endpoint" in " ".join(table.notes(result))


def test_a_change_is_judged_by_the_endpoint_that_both_declare(storage):
    for name, endpoint in (("old", "test"), ("new", "test"), ("other", "validation")):
        for seed in range(4):
            told = {"attributes": {"endpoint": endpoint}}
            write_run(storage, [0.5], suite=name, seed=seed, tests=[0.4 + seed / 100], **told)
    assert compare_suites([((storage, "old"), (storage, "new"))]).measure == "test"
    with pytest.raises(HpoBenchError, match="their endpoints differ: test, validation"):
        compare_suites([((storage, "old"), (storage, "other"))])
