"""What is not sound in a storage is left out by name, and takes nothing else with it."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from optuna.distributions import FloatDistribution
from written import history, job, write_again, write_suite

from hpo_bench.analysis.change import compare_suites
from hpo_bench.analysis.history import Step
from hpo_bench.analysis.means import deviation, mean
from hpo_bench.analysis.results import collect
from hpo_bench.analysis.space import importances, points
from hpo_bench.analysis.stored import read_suite
from hpo_bench.errors import HpoBenchError
from hpo_bench.storage.opening import open_existing, open_storage
from hpo_bench.storage.rows import UnsoundError
from hpo_bench.storage.studies import load_study

JOB = json.dumps([{"fidelity": 3, "value": 0.5, "pruned": False, "epochs": 3}])
OF_TRIAL = "trial_id = (SELECT min(trial_id) FROM trials)"
OF_STUDY = "study_id = 1"
USER = f"UPDATE trial_user_attributes SET value_json = ? WHERE {OF_TRIAL} AND key = "


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "sound.db"
    storage = open_storage(f"sqlite:///{path}")
    write_suite(storage, seeds=2, evaluations=2)
    write_again(storage, [0.5, 0.6])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


@pytest.fixture
def changed(sound, tmp_path):
    """Change a sound storage by SQL, and open it."""
    path = tmp_path / "changed.db"

    def make(*statements):
        path.write_bytes(sound)
        with closing(sqlite3.connect(path)) as connection:
            for statement in statements:
                text, *values = statement if isinstance(statement, tuple) else (statement,)
                connection.execute(text, values)
            connection.commit()
        return open_existing(f"sqlite:///{path}")

    return make


@pytest.mark.parametrize(
    ("statement", "trial", "field"),
    [
        (f"UPDATE trials SET state = 'ODD' WHERE {OF_TRIAL}", 0, "trial"),
        (f"UPDATE trials SET datetime_start = 'then' WHERE {OF_TRIAL}", 0, "trial"),
        (f"UPDATE trials SET number = 1 WHERE {OF_TRIAL}", 1, "number"),
        (f"UPDATE trial_params SET distribution_json = '{{' WHERE {OF_TRIAL}", 0, "parameter 'x'"),
        (f"UPDATE trial_params SET param_name = NULL WHERE {OF_TRIAL}", 0, "parameter None"),
        (f"UPDATE trial_values SET value = NULL WHERE {OF_TRIAL}", 0, "value 0"),
        (f"UPDATE trial_values SET value_type = 'INF_POS' WHERE {OF_TRIAL}", 0, "value"),
        (f"DELETE FROM trial_values WHERE {OF_TRIAL}", 0, "value"),
        ((f"{USER}'jobs'", "{"), 0, "attribute 'jobs'"),
        ((f"{USER}'jobs'", "5"), 0, "jobs"),
        ((f"{USER}'jobs'", JOB), 0, "jobs.0.train_seconds"),
        ((f"{USER}'test_accuracy'", f"1{400 * '0'}"), 0, "test_accuracy"),
        ((f"{USER}'test_accuracy'", '"good"'), 0, "test_accuracy"),
        ((f"{USER}'jobs'", "[" * 100_000), 0, "attribute 'jobs'"),
        ((f"{USER}'jobs'", b"\xff"), 0, "attribute 'jobs'"),
        (f"UPDATE study_directions SET direction = 'ODD' WHERE {OF_STUDY}", None, "direction"),
        (f"UPDATE study_directions SET direction = 'MINIMIZE' WHERE {OF_STUDY}", None, "direction"),
        ("INSERT INTO study_directions VALUES (99, 'MAXIMIZE', 1, 1)", None, "direction"),
        (
            f"UPDATE study_user_attributes SET value_json = '\"2\"' WHERE {OF_STUDY} "
            "AND key = 'max_fidelity'",
            None,
            "max_fidelity",
        ),
        (
            f"UPDATE study_user_attributes SET value_json = 'x' WHERE {OF_STUDY} AND key = 'cpu'",
            None,
            "attribute 'cpu'",
        ),
        (
            f"UPDATE study_system_attributes SET value_json = '[1]' WHERE {OF_STUDY}",
            None,
            "metric.0",
        ),
        (
            "UPDATE studies SET study_name = 'written/random/seed-1' WHERE study_id = 1",
            None,
            "name",
        ),
    ],
)
def test_what_is_not_sound_is_named_and_left_out(changed, statement, trial, field):
    found = collect(changed(statement), "written")
    (fault,) = found.left_out
    assert (fault.trial, fault.field) == (trial, field)
    assert fault.study.startswith("written/random/seed-")
    assert len(found.runs) == (4 if trial is not None else 3)
    assert sum(run.evaluations for run in found.runs) == (7 if trial is not None else 6)


def test_a_newer_versions_record_is_read(changed):
    storage = changed()
    attributes = load_study(storage, "written/random/seed-00").trials[0].user_attrs
    newer = json.dumps([{**attributes["jobs"][0], "joules": 5.0}])
    storage = changed((f"{USER}'jobs'", newer))
    assert collect(storage, "written").left_out == []


def test_a_confirmation_that_is_not_sound_leaves_its_run(changed):
    found = (
        collect(changed("UPDATE studies SET study_name = 'x' WHERE 0"), "written"),
        collect(
            changed(
                "UPDATE study_directions SET direction = 'ODD' WHERE study_id = "
                "(SELECT study_id FROM studies WHERE study_name LIKE '%+confirm')"
            ),
            "written",
        ),
    )
    assert [run.confirmations for run in found[0].runs] == [0, 0, 2, 0]
    assert [run.confirmations for run in found[1].runs] == [0, 0, 0, 0]
    assert [fault.field for fault in found[1].left_out] == ["direction"]


def test_a_suite_of_which_nothing_is_sound_says_why(changed):
    storage = changed("UPDATE study_directions SET direction = 'ODD'")
    with pytest.raises(UnsoundError, match="written/pso/seed-00: direction: 'ODD' is none of"):
        read_suite(storage, "written")


def test_who_works_on_a_study_hears_what_is_not_sound(changed):
    storage = changed(f"UPDATE study_directions SET direction = 'ODD' WHERE {OF_STUDY}")
    with pytest.raises(UnsoundError, match="written/random/seed-00: direction: 'ODD'"):
        load_study(storage, "written/random/seed-00")
    storage = changed(f"UPDATE trials SET state = 'ODD' WHERE {OF_TRIAL}")
    with pytest.raises(HpoBenchError, match=r"seed-00, trial 0: trial: .*state is 'ODD'"):
        load_study(storage, "written/random/seed-00").get_trials(deepcopy=False)


def test_a_comparison_of_less_than_all_is_no_success(changed):
    storage = changed(f"UPDATE study_directions SET direction = 'ODD' WHERE {OF_STUDY}")
    found = compare_suites([((storage, "written"), (storage, "written"))])
    assert [fault.field for fault in found.left_out] == ["direction"] * 2
    assert found.exit_status == 1


def test_values_outside_of_the_space_are_neither_drawn_nor_judged():
    stepped = {"x": FloatDistribution(0, 4, step=1.0), "y": FloatDistribution(0, 4, step=1.0)}
    steps = [
        Step(n, {"x": x, "y": 1.0}, job(0.1 * n), None)
        for n, x in enumerate([*[float(n % 5) for n in range(40)], 0.5, 5.0, "a"])
    ]
    run = replace(history([]), steps=tuple(steps), space=stepped)
    assert importances([run]).evaluations == 40
    assert len(points([run], stepped)) == 41


def test_means_of_what_sums_are_beyond_a_float():
    assert mean([1.7e308, 1.7e308]) == 1.7e308
    assert mean([1.7e308, -1.7e308]) == 0
    assert mean([1.7e308, float("inf")]) == float("inf")
    assert str(mean([float("-inf"), float("inf")])) == "nan"
    assert deviation([1.7e308, -1.7e308]) == float("inf")
    assert str(deviation([1.0, float("inf")])) == "nan"
