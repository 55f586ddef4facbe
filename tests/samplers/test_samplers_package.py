"""The package of the samplers: what its folders import, explain and offer."""

import ast
import re
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


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_samplers_import_only_optuna_numpy_and_what_they_share(path):
    allowed = sys.stdlib_module_names | {"optuna", "numpy"}
    if path.name == "example.py":
        allowed |= {"samplers"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= allowed
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            is_shared = node.module.startswith("samplers._base.") and path.parent.name in FOLDERS
            assert is_shared or node.module.split(".")[0] in allowed
        if isinstance(node, ast.ImportFrom):
            assert node.level <= 1


def test_optunas_private_parts_are_touched_in_one_file():
    private = re.compile(
        r"\b(study|trial|storage)\._|[^ ]\._(storage|trial_id|study_id|contains)\b"
    )
    touching = {p.relative_to(ROOT) for p in ROOT.rglob("*.py") if private.search(p.read_text())}
    assert touching == {Path("_base/private.py")}


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
