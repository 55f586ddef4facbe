"""Optuna's own tests of a sampler, on one that is named in the environment.

pytest collects the classes of this file; `run` starts it in a process of its own, so that
neither has anything to do with the tests of whoever calls it.
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
    """Run Optuna's tests; give how many passed, and the names of those that failed.

    Raises:
        AssertionError: pytest itself came to grief.
    """
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
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
    """What every sampler must do."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        """Make the sampler that is tested."""
        return _tested()


class TestRelative(RelativeSamplerTestCase):
    """What a sampler must do that proposes all parameters of a trial together."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        """Make it, unless it proposes every parameter by itself."""
        make = _tested()
        study = optuna.create_study(sampler=make())
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
        space: dict[str, BaseDistribution] = {"x": FloatDistribution(0, 1)}
        if not study.sampler.sample_relative(study, study.trials[0], space):
            pytest.skip("it proposes every parameter by itself, at least at first")
        return make
