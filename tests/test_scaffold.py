"""What `hpo-bench new` writes: packages that install, are found by name, and pass their tests."""

import os
import subprocess
import sys

import pytest

from hpo_bench import scaffold
from hpo_bench.errors import InputError
from hpo_bench.scaffold import Kind


def python(*arguments, cwd, site):
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("kind", "name", "listing"),
    [(Kind.SAMPLER, "my-sampler", "methods"), (Kind.OBJECTIVE, "my-valley", "objectives")],
)
def test_a_new_package_installs_is_found_and_passes(tmp_path, kind, name, listing):
    package, site = scaffold.create(kind, name, tmp_path / "package"), tmp_path / "site"
    install = ("pip", "install", "--no-index", "--no-build-isolation", "--no-deps")
    python(*install, "--target", str(site), str(package), cwd=tmp_path, site="")
    assert f"{name} 0.1.0" in python("hpo_bench", listing, cwd=tmp_path, site=site)
    run = ("run", str(package / "suite.toml"), "--seeds", "0", "--set", "budget.evaluations=4")
    assert "random" in python("hpo_bench", *run, cwd=tmp_path, site=site)
    assert "random" in python("hpo_bench", "results", name, cwd=tmp_path, site=site)
    passed = python("pytest", "-q", "-p", "no:cacheprovider", ".", cwd=package, site=site)
    assert " passed" in passed
    assert "failed" not in passed


@pytest.mark.parametrize(
    "name", ["My-Sampler", "my_sampler", "1st", "-x", "numpy", "class", "", "pso", "lenet5"]
)
def test_names_that_cannot_be_used_are_told(tmp_path, name):
    with pytest.raises(InputError, match="NAME"):
        scaffold.create(Kind.SAMPLER, name, tmp_path / "package")
    assert not (tmp_path / "package").exists()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="it holds something"):
        scaffold.create(Kind.SAMPLER, "my-sampler", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
