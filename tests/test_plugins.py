import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection

from hpo_bench import plugins, suite
from hpo_bench.errors import InputError
from hpo_bench.objectives import build
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run

SOMEBODY = """
from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection


class CentreSampler(BaseSampler):
    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, name, distribution):
        return (distribution.low + distribution.high) / 2


class Bowl:
    search_space = {"x": FloatDistribution(0, 2)}
    directions = [StudyDirection.MINIMIZE]

    def evaluate(self, params):
        return (params["x"] - 1) ** 2
"""
SUITE = """
seeds = 1
workers = 1
objective = { name = "bowl" }
budget = { evaluations = 2 }
[methods.centre]
[methods.random]
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A foreign package on the path, with its entry points as an installer writes them."""
    site = tmp_path / "site"
    meta = site / "somebody_elses-1.0.dist-info"
    meta.mkdir(parents=True)
    (site / "somebody.py").write_text(SOMEBODY)
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: somebody-elses\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text(
        "[hpo_bench.methods]\ncentre = somebody:CentreSampler\n"
        "[hpo_bench.objectives]\nbowl = somebody:Bowl\n"
    )
    return site


def test_a_name_that_two_packages_give_is_refused(installed, monkeypatch):
    entries = installed / "somebody_elses-1.0.dist-info" / "entry_points.txt"
    entries.write_text("[hpo_bench.methods]\nrandom = somebody:CentreSampler\n")
    monkeypatch.syspath_prepend(str(installed))
    with pytest.raises(InputError, match="random") as caught:
        plugins.load("methods.random", plugins.METHODS, "random")
    for part in (
        "samplers:RandomSampler (hpo-bench",
        "somebody:CentreSampler (somebody-elses 1.0)",
    ):
        assert part in str(caught.value)
    assert plugins.load("methods.grid", plugins.METHODS, "grid").__name__ == "grid"


def test_a_module_that_ends_the_process_is_told(tmp_path, monkeypatch):
    (tmp_path / "script.py").write_text("raise SystemExit(0)")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=r"script:Mine.*SystemExit: 0"):
        plugins.load_path("methods.mine.sampler", "script:Mine")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("raise ImportError('needs a newer libc')", "ImportError: needs a newer libc"),
        ("raise ModuleNotFoundError('no driver')", "ModuleNotFoundError: no driver"),
        ("import no_such_module", "there is no module 'no_such_module'"),
    ],
)
def test_why_a_module_cannot_be_imported_is_told(tmp_path, monkeypatch, text, told):
    (tmp_path / "broken_module.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError) as error:
        plugins.load_path("objective.name", "broken_module:Mine")
    assert told in str(error.value)
    assert "None" not in str(error.value)


BESIDE = """
from hpo_bench.conformance.problems import Bowl
class Mine(Bowl):
    pass
"""


@pytest.mark.parametrize("place", ["beside the suite", "in the working directory"])
def test_the_console_script_finds_modules(tmp_path, place):
    here, there = tmp_path / "here", tmp_path / "my suites"
    here.mkdir()
    there.mkdir()
    (there / "own.toml").write_text(
        'seeds = 2\nworkers = 2\n[objective]\nname = "mine:Mine"\n'
        "[budget]\nevaluations = 2\n[methods.random]\n"
    )
    ((there if place == "beside the suite" else here) / "mine.py").write_text(BESIDE)
    # A file there takes the place of no module of Python's.
    (here / "random.py").write_text("raise RuntimeError")
    done = subprocess.run(
        [Path(sys.executable).parent / "hpo-bench", "run", "../my suites/own.toml"],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "[2/2] own/random/seed-0" in done.stderr


def test_a_foreign_package_adds_a_method_and_an_objective(installed, tmp_path):
    (tmp_path / "bowl.toml").write_text(SUITE)

    def command(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "hpo_bench", *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin", "COLUMNS": "120"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "somebody-elses 1.0" in command("methods")
    table = command("run", "bowl.toml")
    centre = next(line for line in table.splitlines() if line.strip().startswith("centre"))
    assert centre.split()[:3] == ["centre", "1", "0"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("module", "of the form module:object"),
        (":object", "of the form module:object"),
        (".relative:object", "of the form module:object"),
        ("nowhere.at.all:x", "there is no module 'nowhere'"),
        ("math:nothing", "has no attribute 'nothing'"),
        ("math:pi", "expected a class or a function"),
    ],
)
def test_import_paths_that_lead_nowhere_are_told(path, message):
    with pytest.raises(InputError, match=message):
        plugins.load_path("field", path)


def test_options_are_checked_against_the_signature():
    def function(setup, *, width=1):
        return setup, width

    plugins.check_options("f", function, {"width": 2}, hidden={"setup"})
    with pytest.raises(InputError, match=r"f\.widht: 2 .* did you mean 'width'"):
        plugins.check_options("f", function, {"widht": 2}, hidden={"setup"})
    with pytest.raises(InputError, match=r"f\.setup"):
        plugins.check_options("f", function, {"setup": 2}, hidden={"setup"})


def test_every_entry_point_of_ours_can_be_loaded():
    for group in (plugins.METHODS, plugins.OBJECTIVES):
        for plugin in plugins.installed(group):
            assert callable(plugins.load("name", group, plugin.name))


def test_importing_the_command_line_imports_nothing_heavy():
    heavy = "{'torch', 'hpbandster', 'ConfigSpace', 'scipy', 'pandas'}"
    code = f"import sys, hpo_bench.cli; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path.cwd(), check=False).returncode == 0


OPTUNAHUB = """
import optuna
import optunahub


class Valley(optunahub.benchmarks.BaseProblem):
    def __init__(self, dimension=2):
        self._dimension = dimension

    @property
    def search_space(self):
        axis = optuna.distributions.FloatDistribution(-1, 1)
        return {f"x{i}": axis for i in range(self._dimension)}

    @property
    def directions(self):
        return [optuna.study.StudyDirection.MINIMIZE]

    def evaluate(self, params):
        return sum(value**2 for value in params.values())
"""


def test_a_problem_of_optunahub_is_an_objective_by_its_import_path(tmp_path, monkeypatch):
    (tmp_path / "hub_problem.py").write_text(OPTUNAHUB)
    monkeypatch.syspath_prepend(tmp_path)
    mine = suite.parse(
        {
            "name": "hub",
            "objective": {"name": "hub_problem:Valley", "options": {"dimension": 3}},
            "budget": {"evaluations": 3},
            "seeds": [0],
            "methods": {"random": {}},
            "storage": f"sqlite:///{tmp_path / 'hub.db'}",
        }
    )
    assert mine.check() == []
    status = execute(Run(mine, "random", 0, tmp_path / "checkpoints"))
    assert status.evaluations == 3
    assert 0 < status.incumbent < 3


class Told:
    """A problem that gives its value as it was told to."""

    search_space = {"x": FloatDistribution(0, 1)}  # noqa: RUF012
    directions = (StudyDirection.MINIMIZE,)
    value = None

    def evaluate(self, params):
        return self.value


@pytest.mark.parametrize("value", [0.25, [0.25], (0.25,), np.float32(0.25), np.array([0.25])])
def test_a_problem_may_give_its_one_value_as_a_list(monkeypatch, value):
    monkeypatch.setattr(Told, "value", value)
    assert build(f"{__name__}:Told", None, 0, {}).evaluate({"x": 0.5}) == 0.25


def test_a_problem_that_gives_several_values_is_told(monkeypatch):
    monkeypatch.setattr(Told, "value", [1.0, 2.0])
    with pytest.raises(ValueError, match="it gave 2 values; expected one"):
        build(f"{__name__}:Told", None, 0, {}).evaluate({"x": 0.5})


def test_a_problem_with_constraints_is_refused_before_anything_runs(tmp_path, monkeypatch):
    constrained = """
    def evaluate_constraints(self, params):
        return {"x0": params["x0"] - 0.5}
"""
    (tmp_path / "constrained_problem.py").write_text(OPTUNAHUB + constrained)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"objective.name: 'Valley' .* constraints"):
        build("constrained_problem:Valley", None, 0, {})
