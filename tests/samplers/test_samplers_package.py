"""Each folder stands alone, as OptunaHub needs it; and what holds of all that they offer."""

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution

import samplers

ROOT = Path(samplers.__file__).parent
FOLDERS = {
    "bohb": "BOHBSampler",
    "grid": "GridSampler",
    "pso": "PSOSampler",
    "random": "RandomSampler",
}
FRONT_MATTER = ["author", "title", "description", "tags", "optuna_versions", "license"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_works_where_nothing_else_of_the_package_is(tmp_path, folder):
    shutil.copytree(ROOT / folder, tmp_path / folder)
    # As OptunaHub loads a package: by its path, under a name of its own.
    spec = importlib.util.spec_from_file_location(
        f"hub_{folder}",
        tmp_path / folder / "__init__.py",
        submodule_search_locations=[str(tmp_path / folder)],
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        assert FOLDERS[folder] in module.__all__
        arguments = {"search_space": {"x": range(5)}} if folder == "grid" else {"seed": 1}
        sampler = getattr(module, FOLDERS[folder])(**arguments)
        study = optuna.create_study(sampler=sampler)
        study.optimize(lambda trial: trial.suggest_int("x", 0, 4), n_trials=5)
        assert {trial.params["x"] for trial in study.trials} <= set(range(5))
    finally:
        for name in [n for n in sys.modules if n.startswith(spec.name)]:
            del sys.modules[name]


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_samplers_know_only_optuna_and_numpy(path):
    allowed = sys.stdlib_module_names | {"optuna", "numpy"}
    if path.name == "example.py":
        allowed |= {"samplers"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= allowed
        if isinstance(node, ast.ImportFrom):
            assert node.level == 1 or node.module.split(".")[0] in allowed


@pytest.mark.parametrize("folder", FOLDERS)
def test_optunas_private_parts_are_touched_in_one_file(folder):
    private = re.compile(
        r"\b(study|trial|storage)\._|[^ ]\._(storage|trial_id|study_id|contains)\b"
    )
    for path in (ROOT / folder).glob("_*.py"):
        if path.name != "_storage.py":
            assert [line for line in path.read_text().splitlines() if private.search(line)] == []


@pytest.mark.parametrize("name", ["_arguments.py", "_storage.py", "_values.py"])
def test_what_all_folders_need_is_the_same_in_each(name):
    assert len({(ROOT / folder / name).read_text() for folder in FOLDERS}) == 1


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_explains_itself(folder):
    readme = (ROOT / folder / "README.md").read_text()
    _, front, body = readme.split("---\n", 2)
    assert [line.split(":")[0] for line in front.splitlines()] == FRONT_MATTER
    assert all(
        f"## {title}\n" in body for title in ("Abstract", "API", "Example", "What is stored")
    )
    assert (ROOT / folder / "LICENSE").read_text().startswith("MIT License")


@pytest.mark.parametrize("folder", FOLDERS)
def test_examples_run(tmp_path, folder):
    subprocess.run(
        [sys.executable, ROOT / folder / "example.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT.parent)},
        check=True,
        capture_output=True,
    )


def test_names_are_imported_when_they_are_used():
    assert samplers.__all__ == ["BOHBSampler", "GridSampler", "PSOSampler", "RandomSampler"]
    assert set(samplers.__all__) <= set(dir(samplers))
    with pytest.raises(AttributeError, match="no attribute 'BestSampler'"):
        samplers.BestSampler  # noqa: B018
    code = "import samplers, sys; assert 'optuna' not in sys.modules; samplers.GridSampler"
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT.parent)}, check=True)


@pytest.mark.parametrize("name", ["BOHBSampler", "PSOSampler"])
def test_constraints_are_not_left_out_of_account_in_silence(name):
    study = optuna.create_study(sampler=getattr(samplers, name)(seed=1))
    trial = study.ask({"x": FloatDistribution(0, 1)})
    trial.set_constraint("memory", 1.0)
    with pytest.warns(UserWarning, match=f"Constraints have been set, but {name} does not"):
        study.tell(trial, 0.0)
