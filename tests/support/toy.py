"""A small objective with fidelity, for tests of everything around an objective."""

import json
import multiprocessing
import os
import random
import sys
import time
from pathlib import Path

from optuna.distributions import FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.study import StudyDirection

from hpo_bench.objectives import Evaluation, Objective
from hpo_bench.running import evaluator
from hpo_bench.spaces import Parameter, resolve

if "TOY_CLOCK_BACK" in os.environ:
    _true_time, _seconds = time.time, float(os.environ["TOY_CLOCK_BACK"])
    time.time = lambda: _true_time() - _seconds

PARAMETERS = {
    "x": Parameter(0, IntDistribution(-100, 100)),
    "y": Parameter(0.0, FloatDistribution(-100, 100)),
}
SPACE = {"x": {"low": -4, "high": 4}, "y": {"low": -4.0, "high": 4.0, "step": 1.0}}


class Curve(Objective):
    """Learning curves that rise towards -(x^2 + y^2); every unit is logged to a file if asked."""

    metric_name = "score"
    fidelity_name = "epochs"

    def __init__(
        self,
        space=SPACE,
        seed=0,
        epochs=3,
        unit_seconds=0.0,
        fail_at=None,
        log=None,
        flavour="plain",
        hang_at=None,
        die_at=None,
        nan_at=None,
        exhaust_at=None,
        uneven=False,
        noise=0.0,
        has_default=False,
        child=None,
    ):
        self._space, self._fixed = resolve(PARAMETERS, space)
        self.max_fidelity = epochs
        self.seed = seed
        self.unit_seconds = unit_seconds
        self.fail_at = fail_at
        self.log = log
        self.flavour = flavour
        self.hang_at = hang_at
        self.die_at = die_at
        self.nan_at = nan_at
        self.exhaust_at = exhaust_at
        self.uneven = uneven
        self.noise = noise
        self.has_default = has_default
        self.child = child
        self.process = os.getpid()

    @property
    def search_space(self):
        return dict(self._space)

    @property
    def directions(self):
        return [StudyDirection.MAXIMIZE]

    @property
    def default(self):
        return dict.fromkeys(self._space, 1) if self.has_default else None

    def describe(self):
        return {"data": f"toy {self.flavour}"}

    def start(self, configuration):
        return _Climb(self, {**self._fixed, **configuration})

    def restore(self, configuration, checkpoint):
        climb = self.start(configuration)
        climb.fidelity = json.loads(checkpoint)["fidelity"]
        return climb


class Saving(Curve):
    """Saved after every unit of fidelity, where it is trained by a process of its own."""

    def prepare(self):
        if multiprocessing.parent_process() is not None:
            evaluator.CHECKPOINT_SECONDS = 0.0


class OnGpus(Curve):
    """Says that it computes on one of two GPUs, and measures which ones its process sees."""

    def n_gpus(self):
        return 2

    def start(self, configuration):
        return _Seeing(self, {**self._fixed, **configuration})


class Keywords(TPESampler):
    """A sampler that hands most of its arguments on."""

    def __init__(self, own=1, **kwargs):
        super().__init__(**kwargs)
        self.own = own


class _Climb(Evaluation):
    def __init__(self, curve, configuration):
        self.curve = curve
        self.configuration = configuration

    def advance(self):
        # By chance: two runs of the same suite never take the same time.
        share = random.uniform(0, 3) if self.curve.uneven else 1.0
        time.sleep(self.curve.unit_seconds * share)
        x, y = self.configuration["x"], self.configuration["y"]
        if self.curve.hang_at is not None and x == self.curve.hang_at:
            time.sleep(600)
        if self.curve.die_at is not None and x == self.curve.die_at:
            os._exit(7)
        if self.curve.child is not None and os.getpid() == self.curve.process:
            self._fork()
        if self.curve.fail_at is not None and x == self.curve.fail_at:
            raise RuntimeError("this x always fails")
        if self.curve.exhaust_at is not None and x == self.curve.exhaust_at:
            bytearray(1 << 48)
        self.fidelity += 1
        if self.curve.log is not None:
            with Path(self.curve.log).open("a") as file:
                entry = {"seed": self.curve.seed, "x": x, "y": y, "fidelity": self.fidelity}
                file.write(json.dumps(entry) + "\n")
        noise = random.Random(f"{self.curve.seed}/{x}/{y}").gauss(0, self.curve.noise)
        if self.curve.nan_at is not None and x == self.curve.nan_at:
            return float("nan")
        return -(x**2 + y**2) - 10.0 / self.fidelity + noise

    def _fork(self):
        pid = os.fork()
        if pid == 0 and self.curve.child == "fails":
            raise RuntimeError("in the child")
        if pid == 0 and self.curve.child == "exits":
            sys.exit(3)
        if pid != 0 and self.curve.child == "exits":
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3

    def measurements(self):
        return {"test_accuracy": 1.0, "parameters": 2}

    def checkpoint(self):
        return json.dumps({"fidelity": self.fidelity}).encode()


class _Seeing(_Climb):
    def measurements(self):
        return {"sees": float(os.environ.get("CUDA_VISIBLE_DEVICES", "-1").replace(",", "."))}
