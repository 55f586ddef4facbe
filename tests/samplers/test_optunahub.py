"""The exported samplers, as OptunaHub loads them."""

import subprocess
import sys
from pathlib import Path

import optuna
import optunahub
import pytest

EXPORT = [sys.executable, Path(__file__).parents[2] / ".ci" / "hub_export.py"]
SAMPLERS = {
    "asynchronous_pso": "PSOSampler",
    "bohb": "BOHBSampler",
    "grid": "GridSampler",
    "random": "RandomSampler",
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    destination = tmp_path_factory.mktemp("hub")
    subprocess.run([*EXPORT, destination], check=True, capture_output=True)
    return destination / "package"


def test_every_sampler_is_exported(registry):
    assert {path.name for path in (registry / "samplers").iterdir()} == set(SAMPLERS)


@pytest.mark.parametrize("folder", SAMPLERS)
def test_an_exported_sampler_needs_nothing_else_of_this_package(registry, folder, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("samplers.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "samplers", None)  # to import it is an error now
    module = optunahub.load_local_module(f"samplers/{folder}", registry_root=str(registry))
    arguments = {"search_space": {"x": range(5)}} if folder == "grid" else {"seed": 1}
    sampler = getattr(module, SAMPLERS[folder])(**arguments)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: trial.suggest_int("x", 0, 4), n_trials=5)
    assert {trial.params["x"] for trial in study.trials} <= set(range(5))


@pytest.mark.parametrize("folder", SAMPLERS)
@pytest.mark.parametrize("name", ["example.py", "README.md", "_sampler.py"])
def test_what_is_exported_shows_how_the_hub_loads_it(registry, folder, name):
    text = (registry / "samplers" / folder / name).read_text()
    assert "from samplers" not in text
    assert f'optunahub.load_module("samplers/{folder}").{SAMPLERS[folder]}' in text
    if name.endswith(".py"):
        compile(text, name, "exec")


def test_an_export_overwrites_nothing(registry):
    again = subprocess.run([*EXPORT, registry.parent], check=False, capture_output=True, text=True)
    assert again.returncode == 1
    assert "exists; give another destination" in again.stderr
