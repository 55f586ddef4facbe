"""Whatever an objective does, its evaluation has ended, and the run goes on to its end."""

import odd
import pytest
from optuna.trial import TrialState

from hpo_bench.errors import REASON_LENGTH, HpoBenchError, InputError
from hpo_bench.running import evaluator
from hpo_bench.running.execution import execute
from hpo_bench.running.faults import TRACEBACK_LENGTH
from hpo_bench.running.runs import Run
from hpo_bench.storage.opening import open_storage
from hpo_bench.storage.studies import load_study


@pytest.fixture
def trials(toy_suite, tmp_path):
    """Run the grid of an odd objective to its end, twice; give the odd trial and the others."""

    def run(*, changes=(), **options):
        suite = toy_suite(
            objective={"name": "odd:Odd", "options": options},
            budget={"evaluations": 4},
            methods={"grid": {}},
            **dict(changes),
        )
        made = Run(suite, "grid", 0, tmp_path / "checkpoints")
        for _ in range(2):
            assert execute(made).finished
        found = load_study(open_storage(suite.storage), made.study_name).get_trials()
        assert sorted(trial.params["x"] for trial in found) == [0, 1, 2, 3]
        (odd_one,) = (trial for trial in found if trial.params["x"] == odd.ODD_AT)
        others = [trial for trial in found if trial is not odd_one]
        assert {trial.state for trial in others} == {TrialState.COMPLETE}
        return odd_one

    return run


def failed(trial):
    """The reason why a trial has failed."""
    assert trial.state is TrialState.FAIL
    return trial.user_attrs["error"]


@pytest.mark.parametrize(
    ("act", "told"),
    [
        ("mute", "MuteError: (it cannot be told as text: RuntimeError)"),
        ("unprintable", r"RuntimeError: half \ud800 and nothing \x00"),
        ("exit", "SystemExit: 3"),
        ("panic", "Panic: it panicked"),
        ("secret", "RuntimeError: no answer from postgresql://me:***@host/bench"),
    ],
)
def test_whatever_is_raised_is_the_reason(trials, act, told):
    trial = trials(act=act)
    assert failed(trial) == told
    assert "hunter2" not in trial.user_attrs["traceback"]


def test_a_long_reason_is_cut(trials):
    assert len(failed(trials(act="long"))) < REASON_LENGTH + 50


def test_a_traceback_begins_with_the_objectives_own_frames(trials):
    lines = trials(act="cause").user_attrs["traceback"].splitlines()
    files = [line.split('"')[1] for line in lines if line.startswith("  File")]
    assert lines[0] == "Traceback (most recent call last):"
    assert {path.rpartition("/")[2] for path in files} == {"odd.py"}
    assert "ValueError: invalid literal for int() with base 10: 'seven'" in lines
    assert "    ACTS[self.act]()" in lines
    assert lines[-1] == "RuntimeError: no number in the file"


@pytest.mark.parametrize("act", ["recursion", "long"])
def test_a_long_traceback_is_cut_in_its_middle(trials, act):
    text = trials(act=act).user_attrs["traceback"]
    assert len(text) < TRACEBACK_LENGTH + 50
    assert "    ACTS[self.act]()" in text.splitlines()
    assert "Error: " in text.splitlines()[-1]


def test_what_the_harness_finds_has_no_traceback(trials):
    assert "traceback" not in trials(value="text").user_attrs


@pytest.mark.parametrize("value", list(odd.VALUES)[:8])
def test_a_value_that_is_no_number_has_failed(trials, value):
    assert failed(trials(value=value))


@pytest.mark.parametrize("value", list(odd.VALUES)[8:])
def test_what_means_a_number_is_one(trials, value):
    if value == "NumPy's text":
        assert "expected a number, got" in failed(trials(value=value))
        return
    trial = trials(value=value)
    assert trial.state is TrialState.COMPLETE
    assert trial.value == (2.0 if value == "whole" else 0.5)


@pytest.mark.parametrize("measurement", list(odd.MEASUREMENTS)[:-1])
def test_a_measurement_that_cannot_be_recorded_has_failed(trials, measurement):
    told = failed(trials(measurement=measurement))
    assert "cannot be recorded" in told or measurement == "no mapping"


def test_measurements_keep_what_they_mean(trials):
    attributes = trials(measurement="good").user_attrs
    assert attributes["nan"] != attributes["nan"]
    assert (attributes["i"], attributes["f"], attributes["big"]) == (3, 0.5, 2.0**70)
    assert isinstance(attributes["i"], int)


@pytest.mark.parametrize("being", odd.BEINGS)
def test_an_evaluation_that_is_none_has_failed(trials, being, monkeypatch):
    monkeypatch.setattr(evaluator, "CHECKPOINT_SECONDS", 0.0)
    assert failed(trials(being=being, epochs=2 if being == odd.BEINGS[-1] else 1))


@pytest.mark.parametrize(("act", "told"), [("mute", "MuteError: "), ("exit", "SystemExit: 3")])
def test_side_by_side_one_that_fails_fails_alone(trials, act, told):
    assert failed(trials(act=act, changes={"batch_size": 4})).startswith(told)


@pytest.mark.parametrize("measurement", ["long name", "NUL"])
def test_postgresql_never_meets_what_it_would_refuse(trials, postgres_url, measurement):
    told = failed(trials(measurement=measurement, changes={"storage": postgres_url}))
    assert "expected a name of 1 to 512 characters" in told


def test_postgresql_records_reasons_with_nul(trials, postgres_url):
    assert "\\x00" in failed(trials(act="unprintable", changes={"storage": postgres_url}))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"searches": "NUL"}, r"space: 'a\\x00b' cannot be used; expected a name of 1 to 512"),
        ({"searches": "long"}, "space: 'xxx"),
        ({"searches": "half a character"}, "space: "),
        ({"searches": "tuple"}, r"space\.x: .*expected choices that are text, numbers"),
        ({"searches": "object"}, r"space\.x: .*expected choices that are text, numbers"),
        ({"metric": "a\0b"}, "metric_name: 'a"),
        ({"metric": 7}, "metric_name: 7 cannot be used"),
    ],
)
@pytest.mark.filterwarnings("ignore:Choices for a categorical")
def test_names_that_no_database_takes_are_refused_before_any_work(toy_suite, options, told):
    suite = toy_suite(objective={"name": "odd:Unstorable", "options": options})
    with pytest.raises(InputError, match=told):
        suite.check()


@pytest.mark.parametrize(
    ("says", "told"), [("array", "'data': Object of type ndarray"), ("NUL", "a name is 'a")]
)
def test_what_an_objective_says_of_itself_must_be_recordable(toy_suite, tmp_path, says, told):
    suite = toy_suite(objective={"name": "odd:Unstorable", "options": {"says": says}})
    with pytest.raises(HpoBenchError, match=rf"the objective's describe\(\): {told}"):
        execute(Run(suite, "random", 0, tmp_path))


def test_what_is_not_a_number_is_the_same_the_next_time(toy_suite, tmp_path):
    objective = {"name": "odd:Unstorable", "options": {"says": "not a number"}}
    suite = toy_suite(objective=objective, budget={"evaluations": 2})
    for _ in range(2):
        assert execute(Run(suite, "random", 0, tmp_path)).finished
