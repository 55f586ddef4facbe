"""Run the original HpBandSter on a native space; this file runs in the reference environment.

Usage: python stock.py COMMAND < REQUEST.json > ANSWER.json
"""

# ruff: noqa: NPY002 (it is the legacy generator that HpBandSter uses)

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import ConfigSpace
import numpy as np
from hpbandster.core.dispatcher import Job
from hpbandster.core.worker import Worker
from hpbandster.optimizers import BOHB
from hpbandster.optimizers.config_generators import bohb
from hpbandster.utils import start_local_nameserver

HOST = "127.0.0.1"
RUN_ID = "reference"


def draw(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Tell the results and draw one configuration from each random state."""
    listener = _Listener()
    logger = logging.Logger("stock")
    logger.addHandler(listener)
    generator = bohb.BOHB(native_space(request["space"]), logger=logger, **request["options"])
    for configuration, budget, loss in request["results"]:
        job = Job(None, config=configuration, budget=budget)
        job.result = None if loss is None else {"loss": loss}
        generator.new_result(job)
    return [_pick(generator, listener, state) for state in request["states"]]


def _pick(generator: bohb.BOHB, listener: _Listener, state: list[int]) -> dict[str, Any]:
    np.random.seed(state)
    fallbacks = listener.fallbacks
    started = time.process_time()
    configuration, info = generator.get_config(budget=None)
    cpu_s = time.process_time() - started
    kind = "model" if info["model_based_pick"] else "random"
    kind = "fallback" if listener.fallbacks > fallbacks else kind
    return {"configuration": configuration, "kind": kind, "cpu_s": cpu_s}


class _Listener(logging.Handler):
    """Count the failures of the model, which HpBandSter writes to its log only."""

    fallbacks = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.fallbacks += "using random configuration" in record.getMessage().lower()


def native_space(distributions: dict[str, dict[str, Any]]) -> ConfigSpace.ConfigurationSpace:
    """Convert a space from Optuna's JSON to ConfigSpace."""
    space = ConfigSpace.ConfigurationSpace()
    for name, distribution in distributions.items():
        attributes = distribution["attributes"]
        if distribution["name"] == "CategoricalDistribution":
            parameter = ConfigSpace.CategoricalHyperparameter(name, attributes["choices"])
        else:
            is_int = distribution["name"] == "IntDistribution"
            kind = (
                ConfigSpace.UniformIntegerHyperparameter
                if is_int
                else ConfigSpace.UniformFloatHyperparameter
            )
            ends = attributes["low"], attributes["high"]
            parameter = kind(name, *ends, log=attributes["log"])
        space.add_hyperparameter(parameter)
    return space


def throughput(request: dict[str, Any]) -> dict[str, float]:
    """Count the evaluations and seconds of a run, from the moment when all workers are ready."""
    host, port = start_local_nameserver(HOST)
    command = [sys.executable, "-I", __file__, "work", str(port)]
    workers = [
        subprocess.Popen([*command, str(number)], stdin=subprocess.DEVNULL, stdout=sys.stderr)
        for number in range(request["workers"])
    ]
    master = BOHB(
        native_space(request["space"]),
        min_budget=1,
        max_budget=request["max_budget"],
        run_id=RUN_ID,
        nameserver=host,
        nameserver_port=port,
        host=HOST,
        logger=_silent(),
        **request["options"],
    )
    try:
        master.wait_for_workers(len(workers))
        started = time.perf_counter()
        result = master.run(n_iterations=request["brackets"])
        seconds = time.perf_counter() - started
    finally:
        master.shutdown(shutdown_workers=True)
        for worker in workers:
            worker.wait()
    done = [run for run in result.get_all_runs() if run.loss is not None]
    return {"evaluations": len(done), "seconds": seconds}


def work(port: int, number: int) -> None:
    """Serve as one worker until the run ends."""
    _NoOp(
        RUN_ID, nameserver=HOST, nameserver_port=port, host=HOST, id=number, logger=_silent()
    ).run()


class _NoOp(Worker):  # type: ignore[misc]
    def compute(self, **_job: Any) -> dict[str, Any]:
        return {"loss": 0.0, "info": {}}


def _silent() -> logging.Logger:
    return logging.Logger("silent", logging.CRITICAL)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the output of the libraries out of the answer, and hide warnings of their old code."""
    with contextlib.redirect_stdout(sys.stderr), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["work", port, number]:
            work(int(port), int(number))
        case [command]:
            with _quiet():
                answer = {"draw": draw, "throughput": throughput}[command](json.load(sys.stdin))
            json.dump(answer, sys.stdout)
