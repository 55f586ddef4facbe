"""Comparing from Python: one's own function, resumed, stopped, and what is found of it."""

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import functions
import optuna
import pytest

import hpo_bench
import samplers
from hpo_bench.errors import HpoBenchError
from hpo_bench.spaces import UnknownSpaceError

METHODS = ["random", optuna.samplers.TPESampler]


@pytest.fixture
def compare(tmp_path):
    """Compare in this process, in a storage of the test's own."""
    url = f"sqlite:///{tmp_path / 'found.db'}"
    given = {"storage": url, "workers": 0, "progress": False}
    return functools.partial(hpo_bench.compare, **given)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('found') / 'found.db'}"
    pruned = ("random", optuna.pruners.MedianPruner(n_startup_trials=1))
    how = {"storage": url, "workers": 0, "progress": False, "name": "mine"}
    return hpo_bench.compare(functions.smooth, ["random", pruned], 2, 6, **how)


def test_what_is_found_is_there_as_tables(found):
    assert sorted(found.runs["method"]) == ["random"] * 2 + ["random+MedianPruner"] * 2
    assert set(found.runs["evaluations"]) == {6}
    evaluations = found.evaluations
    assert len(evaluations) == 24
    pruned = evaluations[evaluations["pruned"]]
    assert set(pruned["method"]) == {"random+MedianPruner"}
    assert (pruned["epochs"] < 9).all()
    assert list(found.summary()["runs"]) == [2, 2]
    assert list(found.summary()["endpoint"]) == ["validation"] * 2
    assert found.best.value == found.runs["validation"].min()
    assert set(found.best.configuration) == {"x", "y"}
    curve = found.curves("epochs")
    assert (curve.groupby("method")["median"].diff().dropna() <= 0).all()


def test_it_shows_itself(found, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as the kernel of a notebook does
    assert "random+MedianPruner" in repr(found)
    assert "\x1b" not in repr(found)
    shown = found._repr_html_()
    assert "random+MedianPruner" in shown
    assert "data:image/svg+xml;base64," in shown
    assert "<script" not in shown
    assert {trace.name for trace in found.plot().data} == {"random", "random+MedianPruner"}
    assert found.plot("differences").data
    with pytest.raises(HpoBenchError, match=r"kind: 'ranks' cannot be used; .*finals"):
        found.plot("ranks")
    assert "random+MedianPruner" in found.report(tmp_path / "page.html").read_text()
    again = hpo_bench.results("mine", found.storage)
    assert again.runs.equals(found.runs)


def test_the_same_call_goes_on_and_a_changed_function_begins_anew(compare):
    calls = []

    def objective(trial):
        calls.append(trial.number)
        return trial.suggest_float("x", 0, 1)

    first = compare(objective, METHODS, 2, 3)
    assert len(calls) == 12
    assert compare(objective, METHODS, 2, 3).suites == first.suites
    assert len(calls) == 12
    more = compare(objective, [*METHODS, "pso"], 3, 3)
    assert more.suites == first.suites
    assert len(calls) == 12 + 15

    def objective(trial):
        return 1 - trial.suggest_float("x", 0, 1)

    assert compare(objective, METHODS, 2, 3).suites != first.suites
    with pytest.raises(HpoBenchError, match="already holds a study"):
        compare(objective, METHODS, 2, 3, name=first.suites[0])


def test_budgets_in_steps_and_in_seconds(compare):
    runs = compare(functions.smooth, ["random"], 1, n_steps=20).runs
    assert list(runs["epochs"]) == [27]
    assert list(runs["evaluations"]) == [3]
    runs = compare(functions.smooth, ["random"], 1, seconds=0.2).runs
    assert runs["finished"][0] == "seconds spent"


def test_an_interrupt_saves_and_says_that_the_same_call_goes_on(compare):
    def objective(trial):
        if trial.number == 2 and threading.current_thread() is threading.main_thread():
            os.kill(os.getpid(), signal.SIGINT)
        for step in range(3):
            trial.report(1.0, step)
        return trial.suggest_float("x", 0, 1)

    before = signal.getsignal(signal.SIGINT)  # a shell's background jobs ignore it
    with pytest.raises(KeyboardInterrupt, match="1 runs of mine are left; the same call goes on"):
        compare(objective, ["random"], 1, 5, name="mine")
    assert signal.getsignal(signal.SIGINT) is before
    storage = compare.keywords["storage"]
    kept = hpo_bench.results("mine", storage).evaluations
    assert len(kept) == 2
    calls = []

    def hurried(trial):
        calls.append(trial.number)
        threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    with pytest.raises(KeyboardInterrupt, match="the same call goes on"):
        compare(hurried, ["random"], 1, 5)
    assert calls == [0]


def test_what_needs_the_space_is_told_with_the_space_that_was_seen(compare):
    with pytest.raises(UnknownSpaceError) as told:
        compare(functions.smooth, ["grid"], 1, 4)
    assert str(told.value).startswith("methods.grid: this method needs the space beforehand")
    (given,) = [eval(str(told.value).partition("space=")[2])]  # as a user pastes it
    assert given == {name: {"low": -4.0, "high": 4.0} for name in ("x", "y")}
    grid = {"method": "grid", "options": {"levels": 2}}
    found = compare(functions.smooth, [grid, "random"], 1, 4, space=given)
    assert set(found.evaluations["parameter_x"]) >= {-4.0, 4.0}


def test_a_function_that_always_fails_is_told_with_its_reason(compare):
    def objective(trial):
        raise ZeroDivisionError("no such luck")

    with pytest.raises(HpoBenchError, match="ZeroDivisionError: no such luck"):
        compare(objective, ["random"], 1, 9)


SEVERAL = """
seeds = 2
budget = { epochs = 12 }
methods = { random = {}, pso = { options = { swarm_size = 2 } } }
objectives.one.name = "toy:Curve"
objectives.other = { name = "toy:Curve", options = { epochs = 2 } }
"""


def test_a_suite_with_several_objectives_gives_the_results_of_all(toy_file, tmp_path):
    path = toy_file(SEVERAL)
    how = {"storage": f"sqlite:///{tmp_path / 'found.db'}", "workers": 0, "progress": False}
    found = hpo_bench.run(path, methods=["random", "pso"], **how)
    assert found.suites == ["toy.one", "toy.other"]
    assert found["other"].best.value == found["toy.other"].runs["validation"].max()
    for ask in (lambda: found.best, lambda: found["third"]):
        with pytest.raises(HpoBenchError, match=r"toy\.one"):
            ask()
    with pytest.raises(HpoBenchError, match="did you mean 'random'"):
        hpo_bench.run(path, methods=["rando"], **how)
    one = hpo_bench.load(
        toy_file('objective.name = "toy:Curve"\n' + SEVERAL[: SEVERAL.index("obj")])
    )
    assert len(hpo_bench.run(one, seeds=[7], methods=["pso"], **how).runs) == 1


SCRIPT = """
import optuna
import hpo_bench

OFFSET = 2.0


class Mine(optuna.samplers.RandomSampler):
    pass


def objective(trial):
    return (trial.suggest_float("x", -5, 5) - OFFSET) ** 2


found = hpo_bench.compare(objective, ["random", Mine], 2, 4, workers=2)
print(*found.runs["validation"])
"""


def test_a_script_compares_what_it_defines_itself_in_other_processes(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "[4/4]" in done.stderr  # a line for each run, in a log
    expected = []
    for sampler in (optuna.samplers.RandomSampler, samplers.RandomSampler):  # by their names
        for seed in (0, 1):
            study = optuna.create_study(sampler=sampler(seed=seed))
            study.optimize(lambda trial: (trial.suggest_float("x", -5, 5) - 2.0) ** 2, n_trials=4)
            expected.append(study.best_value)
    assert [float(value) for value in done.stdout.split()] == expected


def test_importing_the_package_loads_nothing_else():
    code = (
        "import sys; before = set(sys.modules); import hpo_bench; hpo_bench.__version__;"
        "print(*{n.partition('.')[0] for n in set(sys.modules) - before})"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert set(printed) - sys.stdlib_module_names == {"hpo_bench"}
    assert len(printed) < 90
    assert set(dir(hpo_bench)) >= set(hpo_bench.__all__)
    assert all(getattr(hpo_bench, name) for name in hpo_bench.__all__)
    with pytest.raises(AttributeError, match="'hpo_bench' has no attribute 'nothing'"):
        _ = hpo_bench.nothing


def test_the_examples_in_the_docstrings_are_right(tmp_path):
    import doctest

    from hpo_bench.api import found, running
    from hpo_bench.objectives import function

    for module in (found, running, function):
        done = doctest.testmod(module, extraglobs={"directory": Path(tmp_path)}, verbose=False)
        assert (done.failed, done.attempted > 0) == (0, True)
        for file in tmp_path.iterdir():
            file.unlink()
