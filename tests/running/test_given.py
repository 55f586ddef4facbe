"""What is trained outside of the searches: incumbents again, and the objective's default."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean, stdev

import pytest
from cuts import Killed, Writes
from hypothesis import given
from hypothesis import strategies as st
from recordings import toy_table

from hpo_bench import suite
from hpo_bench.analysis.results import collect
from hpo_bench.analysis.stored import DEFAULT
from hpo_bench.analysis.summary import summarise
from hpo_bench.errors import HpoBenchError, InputError
from hpo_bench.report import figures, table
from hpo_bench.running.execution import execute
from hpo_bench.running.given import fresh_seeds
from hpo_bench.running.runs import runs_of
from hpo_bench.storage.opening import open_storage
from hpo_bench.storage.records import (
    FIRST_FRESH_SEED,
    baseline_name,
    confirmation_name,
    default_name,
)
from hpo_bench.storage.studies import load_study, study_names

NOISY = {"name": "toy:Curve", "options": {"noise": 2.0}}


def run_all(made, tmp_path, **options):
    runs = runs_of(made, tmp_path / "checkpoints")
    return [execute(run, **options) for run in runs]


def again_of(made, method="random", seed=0):
    name = confirmation_name(f"{made.name}/{method}/seed-{seed:02d}")
    return load_study(open_storage(made.storage), name)


def trained(log):
    return [json.loads(line) for line in Path(log).read_text().splitlines()]


def found(study):
    """What a study holds, without its times."""
    return [
        (t.number, t.state, t.params, t.value, t.user_attrs["training_seed"]) for t in study.trials
    ]


@given(st.integers(0, FIRST_FRESH_SEED - 1), st.integers(1, 50), st.integers(0, 50))
def test_fresh_seeds_are_no_suites_distinct_and_grow_by_appending(seed, count, more):
    seeds = fresh_seeds(seed, count)
    assert len(set(seeds)) == len(seeds) == count
    assert all(FIRST_FRESH_SEED <= fresh < 2**32 for fresh in seeds)
    assert fresh_seeds(seed, count + more)[:count] == seeds


def test_a_suite_cannot_have_a_fresh_seed(toy_suite):
    with pytest.raises(HpoBenchError, match=r"seeds\.0.*less than 2147483648"):
        toy_suite(seeds=[FIRST_FRESH_SEED])


def test_the_incumbent_is_trained_again_by_fresh_seeds(toy_suite, tmp_path):
    made = toy_suite(objective=NOISY, confirm=4)
    run_all(made, tmp_path)
    search = load_study(open_storage(made.storage), "toy/random/seed-00")
    again = again_of(made)
    assert [trial.params for trial in again.trials] == [search.best_params] * 4
    seeds = [trial.user_attrs["training_seed"] for trial in again.trials]
    assert seeds == list(fresh_seeds(0, 4))
    for trial, seed in zip(again.trials, seeds, strict=True):
        objective = made.build_objective(seed)
        assert trial.value == objective.evaluate(search.best_params)
        assert len(trial.intermediate_values) == 3
        assert trial.user_attrs["test_accuracy"] == 1.0
    assert again.user_attrs["configuration"] == search.best_params


def test_the_search_does_not_know_of_it(toy_suite, tmp_path):
    """Neither its trials nor its budget, nor what is listed as runs of the suite."""
    without = toy_suite(objective=NOISY, methods={"pso": {}})
    run_all(without, tmp_path / "a")
    changes = {"storage": f"sqlite:///{tmp_path / 'b.db'}", "confirm": 2}
    confirmed = toy_suite(objective=NOISY, methods={"pso": {}}, **changes)
    run_all(confirmed, tmp_path / "b")
    storages = [open_storage(made.storage) for made in (without, confirmed)]
    names = [study_names(storage) for storage in storages]
    assert names == [["toy/pso/seed-00"]] * 2
    studies = [load_study(storage, "toy/pso/seed-00") for storage in storages]
    assert [t.params for t in studies[0].trials] == [t.params for t in studies[1].trials]
    assert studies[0].user_attrs.keys() == studies[1].user_attrs.keys()


def test_adding_it_to_a_finished_suite_does_nothing_else(toy_suite, tmp_path):
    log = tmp_path / "log"
    objective = {"name": "toy:Curve", "options": {"noise": 2.0, "log": str(log)}}
    searched = 30
    for confirm, units in ((0, 0), (2, 2), (5, 5), (5, 5), (3, 5)):
        statuses = run_all(toy_suite(objective=objective, confirm=confirm), tmp_path)
        assert [status.finished for status in statuses] == ["epochs spent"]
        assert len(trained(log)) == searched + 3 * units
    assert len(found(again_of(toy_suite()))) == 5


def test_it_waits_for_the_end_of_the_search(toy_suite, tmp_path):
    made = toy_suite(objective=NOISY, confirm=2)
    calls = iter(range(1000))
    (status,) = run_all(made, tmp_path, should_stop=lambda: next(calls) == 10)
    assert status.finished is None
    with pytest.raises(KeyError):
        again_of(made)


def test_it_is_left_and_taken_up_again(toy_suite, tmp_path):
    log = tmp_path / "log"
    objective = {"name": "toy:Curve", "options": {"noise": 2.0, "log": str(log)}}
    made = toy_suite(objective=objective, confirm=3)
    calls = iter(range(1000))
    (status,) = run_all(made, tmp_path, should_stop=lambda: next(calls) == 34)
    assert status.finished is None
    assert len(trained(log)) == 34
    (status,) = run_all(made, tmp_path)
    assert status.finished == "epochs spent"
    assert len(trained(log)) == 30 + 9
    assert [seed for *_, seed in found(again_of(made))] == list(fresh_seeds(0, 3))


def test_cut_after_any_storage_write_it_ends_as_if_never_stopped(toy_suite, tmp_path, monkeypatch):
    writes = Writes(monkeypatch)

    def a_suite(place):
        objective = {"name": "toy:Curve", "options": {"noise": 2.0, "epochs": 1}}
        return toy_suite(
            objective=objective,
            budget={"epochs": 1},
            confirm=2,
            storage=f"sqlite:///{tmp_path / place}.db",
        )

    whole = a_suite("whole")
    run_all(whole, tmp_path / "whole")
    expected, n_writes = found(again_of(whole)), writes.count
    for cut in range(n_writes // 2, n_writes, 4):
        made = a_suite(f"cut-{cut}")
        writes.allow(cut)
        with pytest.raises(Killed):
            run_all(made, tmp_path / f"cut-{cut}")
        writes.allow()
        run_all(made, tmp_path / f"cut-{cut}")
        assert found(again_of(made)) == expected, f"cut after write {cut} of {n_writes}"


def test_a_killed_command_repeats_none_of_it(tmp_path):
    log = tmp_path / "log"
    (tmp_path / "toy.toml").write_text(
        f"""
        seeds = 1
        confirm = 6
        [objective]
        name = "toy:Curve"
        options = {{ noise = 2.0, unit_seconds = 0.1, log = "{log}" }}
        [budget]
        evaluations = 2
        [methods.random]
        """
    )
    command = [sys.executable, "-m", "hpo_bench", "run", "toy.toml"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "support")}
    options = {"cwd": tmp_path, "env": environment, "stdout": subprocess.DEVNULL}
    process = subprocess.Popen(command, start_new_session=True, **options)
    deadline = time.monotonic() + 120
    while not log.exists() or len(trained(log)) < 6 + 3 * 3:
        assert time.monotonic() < deadline, "the command does not get going"
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = len(trained(log))
    subprocess.run(command, check=True, timeout=120, **options)
    storage = open_storage(f"sqlite:///{tmp_path / 'hpo-bench.db'}")
    again = load_study(storage, "toy/random/seed-00+confirm")
    assert [seed for *_, seed in found(again)] == list(fresh_seeds(0, 6))
    assert all(trial.state.is_finished() for trial in again.trials)
    # What was under way when it was killed, at most, is trained twice.
    assert before < len(trained(log)) <= 3 * (2 + 6) + 3


def test_with_several_workers_in_a_run_they_share_it(toy_suite, tmp_path):
    made = toy_suite(objective=NOISY, confirm=4, workers_per_run=2, deterministic=True)
    run_all(made, tmp_path)
    again = again_of(made)
    assert [seed for *_, seed in found(again)] == list(fresh_seeds(0, 4))
    for trial in again.trials:
        objective = made.build_objective(trial.user_attrs["training_seed"])
        assert trial.value == objective.evaluate(trial.params)
    assert len({trial.user_attrs["worker"] for trial in again.trials}) == 2


def test_replayed_trainings_are_confirmed_from_others_of_the_table(tmp_path):
    options = {"table": str(toy_table(tmp_path / "toy.csv")), "clock": "simulated"}
    made = suite.parse(
        {
            "name": "replay",
            "objective": {"name": "table", "options": options},
            "budget": {"evaluations": 6},
            "seeds": [0],
            "methods": {"random": {}},
            "confirm": 20,
            "storage": f"sqlite:///{tmp_path / 'replay.db'}",
        }
    )
    run_all(made, tmp_path)
    again = again_of(made)
    assert len(again.trials) == 20
    assert len({trial.user_attrs["recorded_training"] for trial in again.trials}) > 1
    assert run_all(made, tmp_path)[0].finished
    assert len(again_of(made).trials) == 20


def test_a_training_that_fails_is_recorded_and_not_counted(toy_suite, tmp_path, monkeypatch):
    import toy

    made = toy_suite(objective=NOISY, confirm=3)
    real = toy._Climb.advance
    bad = fresh_seeds(0, 3)[1]

    def advance(self):
        if self.curve.seed == bad:
            raise RuntimeError("it diverges")
        return real(self)

    monkeypatch.setattr(toy._Climb, "advance", advance)
    run_all(made, tmp_path)
    failed = again_of(made).trials[1]
    assert failed.user_attrs["error"] == "RuntimeError: it diverges"
    result = collect(open_storage(made.storage), "toy")
    (run,) = result.runs
    assert (run.confirmations, run.unconfirmed) == (2, 1)
    told = "1 training of incumbents by fresh seeds failed: left out of what is confirmed."
    assert told in table.notes(result)


def test_results_say_what_it_came_to(toy_suite, tmp_path):
    made = toy_suite(objective=NOISY, confirm=3, seeds=[0, 1])
    run_all(made, tmp_path)
    result = collect(open_storage(made.storage), "toy")
    for run in result.runs:
        values = [trial.value for trial in again_of(made, seed=run.seed).trials]
        assert run.confirmations == 3
        assert run.confirmed == pytest.approx(fmean(values))
        assert run.confirmed_deviation == pytest.approx(stdev(values))
        assert (run.confirmed_test, run.confirmed_test_deviation) == (1.0, 0.0)
    (method,) = result.methods
    assert method.confirmed.mean == pytest.approx(fmean(run.confirmed for run in result.runs))
    assert f"{method.confirmed.mean:.4f} ± " in table.to_markdown(result)
    records = list(csv.DictReader(io.StringIO(table.to_csv(result))))
    assert [float(r["confirmed"]) for r in records] == [run.confirmed for run in result.runs]


def test_the_default_is_trained_once_by_each_seed(toy_suite, tmp_path):
    log = tmp_path / "log"
    options = {"noise": 2.0, "has_default": True, "log": str(log)}
    made = toy_suite(
        objective={"name": "toy:Curve", "options": options},
        methods={"random": {}, "pso": {}},
        seeds=[0, 3],
        budget={"evaluations": 2},
    )
    for _ in range(2):
        run_all(made, tmp_path)
        assert len(trained(log)) == 2 * 2 * 2 * 3 + 2 * 3
    storage = open_storage(made.storage)
    assert len(study_names(storage)) == 4
    result = collect(storage, "toy")
    assert [(run.method, run.seed) for run in result.baselines] == [(DEFAULT, 0), (DEFAULT, 3)]
    for run in result.baselines:
        (trial,) = load_study(storage, default_name("toy", run.seed)).trials
        assert trial.params == run.incumbent == {"x": 1, "y": 1.0}
        assert run.validation == made.build_objective(run.seed).evaluate({"x": 1, "y": 1.0})
    assert f"| {DEFAULT} |" in table.to_markdown(result)
    assert table.to_csv(result).count(DEFAULT) == 2
    assert {method.method for method in result.methods} == {"random", "pso"}


def test_a_fixed_configuration_is_a_baseline_in_tables_curves_and_verdicts(toy_suite, tmp_path):
    made = toy_suite(
        objective={"name": "toy:Curve", "options": {"noise": 0.1}},
        methods={"random": {}},
        baselines={"best": {"x": 0, "y": 0.0}, "far": {"x": 4, "y": -4.0}},
        seeds=3,
        budget={"evaluations": 2},
    )
    assert made.check() == []
    for _ in range(2):  # the second time there is nothing left to do
        run_all(made, tmp_path)
    storage = open_storage(made.storage)
    (trial,) = load_study(storage, baseline_name("toy", 2, "best")).trials
    assert trial.params == {"x": 0, "y": 0.0}
    summary = summarise(storage, "toy")
    assert [baseline.name for baseline in summary.baselines] == ["(best)", "(far)"]
    against = {(c.first, c.second): c for c in summary.against}
    assert against["random", "(best)"].gain.mean < 0
    assert against["random", "(far)"].verdict == "better"
    result = collect(storage, "toy")
    assert "| (best) |" in table.to_markdown(result)
    assert table.to_csv(result).count("(far)") == 3
    (picture,) = figures.curves(summary, ["epochs"])
    assert {"(best)", "(far)"} <= {trace["name"] for trace in picture.traces}
    assert "(far): a fixed configuration, trained once by each seed" in " ".join(
        table.notes(result)
    )


def test_a_baseline_is_a_configuration_of_the_space(toy_suite):
    with pytest.raises(InputError, match=r"baselines\.mine: .*expected a value of each.*: x, y"):
        toy_suite(baselines={"mine": {"x": 1}}).check()
    with pytest.raises(InputError, match=r"baselines\.mine\.x: 9"):
        toy_suite(baselines={"mine": {"x": 9, "y": 0.0}}).check()


def test_a_default_outside_of_its_space_is_an_error(toy_suite):
    options = {"has_default": True}
    space = {"x": {"low": 2, "high": 4}, "y": 0.0}
    with pytest.raises(InputError, match=r"its default is not in its space: \{'x': 1\}"):
        toy_suite(objective={"name": "toy:Curve", "options": options}, space=space).check()


def test_a_method_can_have_a_larger_budget_and_is_labelled(toy_suite, tmp_path):
    methods = {"random": {}, "random-2x": {"method": "random", "budget_factor": 2}}
    made = toy_suite(methods=methods)
    assert [status.evaluations for status in run_all(made, tmp_path)] == [10, 20]
    storage = open_storage(made.storage)
    one, two = (load_study(storage, f"toy/{name}/seed-00") for name in methods)
    assert [t.params for t in one.trials] == [t.params for t in two.trials[:10]]
    assert two.user_attrs["budget"]["epochs"] == 60
    notes = table.notes(collect(storage, "toy"))
    assert any(note.startswith("random-2x: has 2 times the budget") for note in notes)


def test_a_method_with_a_larger_budget_says_so_by_its_name(toy_suite):
    methods = {"lucky": {"method": "random", "budget_factor": 3}}
    with pytest.raises(HpoBenchError, match="expected a name like lucky-3x"):
        toy_suite(methods=methods)


def test_confirming_what_takes_no_seed_is_said_to_be_idle(toy_suite):
    pytest.importorskip("cocoex")
    made = toy_suite(objective={"name": "bbob", "options": {"function": 1}}, confirm=2)
    assert any(note.startswith("confirm: bbob takes no seed") for note in made.check())
    assert toy_suite(confirm=2).check() == []
