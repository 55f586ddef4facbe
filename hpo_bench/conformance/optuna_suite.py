"""Run Optuna's own tests of samplers on a method, which an environment variable names.

`run` starts pytest on this file in a new process, so that these tests do not mix with the tests of
the caller.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase

from hpo_bench.conformance.candidates import Method

_VARIABLE = "HPO_BENCH_TESTED_METHOD"


def run(method: Method) -> tuple[int, list[str]]:
    """Run Optuna's tests on the sampler of a method.

    Returns:
        The number of tests that passed, and the names of the tests that failed.

    Raises:
        AssertionError: pytest itself did not work.
    """
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        # Without the configuration, the conftest and the cache of the caller's project.
        command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", folder]
        command += ["--noconftest", "-p", "no:cacheprovider", f"--junit-xml={report}", __file__]
        told = json.dumps([method.target, dict(method.options)])
        environment = {**os.environ, _VARIABLE: told, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, check=False
        )
        assert report.exists(), f"pytest ended with status {done.returncode}: {done.stderr}"
        cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [case.attrib["name"] for case in cases if _has(case, "failure", "error")]
    skipped = [case for case in cases if _has(case, "skipped")]
    return len(cases) - len(failed) - len(skipped), failed


def _has(case: ElementTree.Element, *tags: str) -> bool:
    return any(case.find(tag) is not None for tag in tags)


def _tested() -> Callable[[], BaseSampler]:
    target, options = json.loads(os.environ[_VARIABLE])

    def make() -> BaseSampler:
        made = Method(target, options).sampler()
        assert made is not None
        return made

    return make


class TestBasic(BasicSamplerTestCase):
    """Optuna's tests of all samplers."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        """Return the constructor of the tested sampler."""
        return _tested()


class TestRelative(RelativeSamplerTestCase):
    """Optuna's tests of samplers that propose all parameters of a trial together."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        """Return the constructor; skip if the sampler proposes each parameter by itself."""
        make = _tested()
        study = optuna.create_study(sampler=make())
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
        space: dict[str, BaseDistribution] = {"x": FloatDistribution(0, 1)}
        if not study.sampler.sample_relative(study, study.trials[0], space):
            pytest.skip("it proposes every parameter by itself, at least at first")
        return make
