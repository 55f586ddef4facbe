"""The samplers as OptunaHub loads them: from this repository, and from what is exported."""

import subprocess
import sys
from pathlib import Path

import optuna
import optunahub
import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"bohb": "bohb", "grid": "grid", "pso": "asynchronous_pso", "random": "random"}
SAMPLERS = {
    "bohb": "BOHBSampler",
    "grid": "GridSampler",
    "pso": "PSOSampler",
    "asynchronous_pso": "PSOSampler",
    "random": "RandomSampler",
}


def search(folder, registry):
    module = optunahub.load_local_module(f"samplers/{folder}", registry_root=str(registry))
    arguments = {"search_space": {"x": range(5)}} if folder == "grid" else {"seed": 1}
    sampler = getattr(module, SAMPLERS[folder])(**arguments)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: trial.suggest_int("x", 0, 4), n_trials=5)
    return {trial.params["x"] for trial in study.trials}


@pytest.mark.parametrize("folder", FOLDERS)
def test_this_repository_is_a_registry(folder):
    assert search(folder, ROOT) <= set(range(5))


def test_the_exported_tree_is_a_registry(tmp_path):
    script = [sys.executable, ROOT / ".ci" / "hub_export.py", tmp_path]
    subprocess.run(script, check=True, capture_output=True)
    written = {path.name for path in (tmp_path / "package" / "samplers").iterdir()}
    assert written == set(FOLDERS.values())
    for folder in written:
        package = tmp_path / "package" / "samplers" / folder
        assert search(folder, tmp_path / "package") <= set(range(5))
        for name in ("example.py", "README.md"):
            text = (package / name).read_text()
            assert "from samplers import" not in text
            assert f'optunahub.load_module("samplers/{folder}").{SAMPLERS[folder]}' in text
        compile((package / "example.py").read_text(), "example.py", "exec")
    again = subprocess.run(script, check=False, capture_output=True, text=True)
    assert again.returncode == 1
    assert "exists; give another destination" in again.stderr
