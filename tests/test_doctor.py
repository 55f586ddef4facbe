"""What `hpo-bench doctor` sees of a machine."""

import shutil
import tomllib
from pathlib import Path

import pytest

from hpo_bench import doctor
from hpo_bench.doctor import State
from hpo_bench.objectives.lenet5 import data, engine
from hpo_bench.objectives.lenet5.plain import Plain
from hpo_bench.storage.opening import open_storage


@pytest.fixture
def looked(tmp_path):
    def look(file="study.db"):
        url = f"sqlite:///{tmp_path / file}"
        return {line.topic: line for line in doctor.examine(url, tmp_path)}

    return look


def test_a_machine_on_which_the_tests_run_has_no_problem(looked):
    found = looked()
    assert [line for line in found.values() if line.state is State.PROBLEM] == []
    assert "optuna" in found["base"].text
    assert "torch" in found["extra lenet5"].text
    assert "pso" in found["methods"].text
    assert found["storage"].text.endswith("will be made by the first run")


def test_every_extra_for_users_is_looked_at(looked):
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    for_users = set(project["optional-dependencies"]) - {"all", "bench", "dev", "docs"}
    assert {topic for topic in looked() if topic.startswith("extra ")} == {
        f"extra {name}" for name in for_users
    }


def test_packages_that_are_missing_or_too_old_are_told(looked, monkeypatch):
    def version(name):
        if name == "torch":
            raise doctor.PackageNotFoundError(name)
        return "1.2.3" if name == "optuna" else real(name)

    real = doctor.version
    monkeypatch.setattr(doctor, "version", version)
    found = looked()
    assert found["extra lenet5"].state is State.WARNING
    assert found["extra lenet5"].advice == "pip install 'hpo-bench[lenet5]'"
    assert found["base"].state is State.PROBLEM
    assert "optuna 1.2.3 is not <6,>=5.0" in found["base"].text


def test_a_storage_is_opened_and_its_studies_counted(looked, tmp_path):
    open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    assert looked()["storage"].text.endswith("0 studies")
    (tmp_path / "text.db").write_text("no database, by no means\n" * 50)
    assert looked("text.db")["storage"].state is State.PROBLEM
    assert looked("nowhere/study.db")["storage"].state is State.PROBLEM


def test_little_space_is_told(looked, monkeypatch):
    usage = shutil.disk_usage("/")
    for free, state in ((3e9, State.WARNING), (1e8, State.PROBLEM)):
        monkeypatch.setattr(
            shutil, "disk_usage", lambda _, free=free: usage._replace(free=int(free))
        )
        assert looked()["disk"].state is state


def test_images_that_are_absent_or_damaged_are_told(looked, tmp_path):
    assert looked()["CIFAR-10"].state is State.WARNING
    archive = tmp_path / "cifar-10-python.tar.gz"
    archive.write_bytes(b"half of it")
    assert looked()["CIFAR-10"].state is State.PROBLEM
    archive.unlink()
    (tmp_path / "cifar-10-batches-py").mkdir()
    assert data.find_cifar10(tmp_path) == "damaged"


def test_how_lenet5_is_trained_is_told_and_why(looked, monkeypatch):
    found = looked()["training"]
    assert found.state is State.OK
    assert found.text.startswith("compiled")
    monkeypatch.setattr(engine, "engine", lambda: Plain("there is no C compiler"))
    found = looked()["training"]
    assert found.state is State.WARNING
    assert found.text.endswith("there is no C compiler")
    assert "install" in found.advice


def test_a_plugin_that_cannot_be_imported_is_told(looked, monkeypatch):
    broken = doctor.plugins.Plugin("gone", "nowhere.at.all:Gone", "gone 1.0")
    installed = doctor.plugins.installed
    monkeypatch.setattr(doctor.plugins, "installed", lambda group: [*installed(group), broken])
    found = looked()["methods"]
    assert found.state is State.PROBLEM
    assert found.advice == "reinstall or remove gone 1.0"
