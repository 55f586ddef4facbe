"""Runs written into a storage as the harness writes them, with results that a test chooses."""

from dataclasses import asdict

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from hpo_bench.analysis.history import History, Step
from hpo_bench.storage.records import SUITE, JobRecord, confirmation_name, default_name

SPACE = {"x": FloatDistribution(0.0, 1.0), "y": FloatDistribution(1e-3, 1.0, log=True)}


def job(value, epochs=1, fidelity=None, seconds=1.0, ended=None):
    return JobRecord(
        fidelity=epochs if fidelity is None else fidelity,
        value=value,
        pruned=False,
        epochs=epochs,
        train_seconds=seconds,
        sampler_seconds=0.1 * seconds,
        storage_seconds=0.2 * seconds,
        wall_seconds=1.5 * seconds,
        ended=ended,
    )


def history(values, *, method="random", seed=0, maximise=True, attributes=None):
    """A run of full evaluations of one epoch; None for one that failed."""
    steps = [Step(n, {}, job(value), None) for n, value in enumerate(values)]
    return History(
        method, seed, "finished", "", tuple(steps), 1, maximise, attributes or {}, dict(SPACE)
    )


def write_run(
    storage,
    values,
    *,
    suite="written",
    method="random",
    seed=0,
    tests=None,
    finished="epochs spent",
    metric="validation accuracy",
    direction="maximize",
    attributes=None,
    seconds=1.0,
):
    """Write a study of full evaluations of three epochs; None for one that failed."""
    study = optuna.create_study(
        storage=storage, study_name=f"{suite}/{method}/seed-{seed:02d}", direction=direction
    )
    study.set_metric_names([metric])
    told = {
        "suite": suite,
        "method": method,
        "method_options": {},
        "pruner": None,
        "pruner_options": {},
        "seed": seed,
        "budget": {"epochs": 3 * len(values) or 3},
        "objective": "toy:Curve",
        "objective_options": {},
        "direction": direction,
        "max_fidelity": 3,
        "search_space": {
            "x": {"low": 0.0, "high": 1.0},
            "y": {"low": 1e-3, "high": 1.0, "log": True},
        },
        "data": "written by a test",
        "endpoint": "validation",
        "python": "3.11.7",
        "cpu": "a processor",
        **(attributes or {}),
        "created": "2026-01-01T00:00:00+00:00",
    }
    told.setdefault(SUITE, _repeating(method, told))
    for name, value in told.items():
        study.set_user_attr(name, value)
    rng = np.random.default_rng(seed)
    for place, value in enumerate(values):
        entry = job(value, epochs=3, seconds=seconds, ended=float(place))
        attrs = {"jobs": [asdict(entry)], "worker": "main"}
        if tests is not None and value is not None:
            attrs["test_accuracy"] = tests[place]
        if value is None:
            attrs["error"] = "RuntimeError: it failed"
        study.add_trial(
            create_trial(
                state=TrialState.FAIL if value is None else TrialState.COMPLETE,
                value=value,
                params={"x": rng.uniform(), "y": float(10 ** -rng.uniform(0, 3))},
                distributions=SPACE,
                user_attrs=attrs,
            )
        )
    if finished:
        study.set_user_attr("finished", finished)
    return study


def _repeating(name, told):
    """What a run's study says of its suite."""
    return {
        "objective": {"name": told["objective"], "options": told["objective_options"]},
        "space": told["search_space"],
        "budget": told["budget"],
        "methods": {name: {"method": told["method"], "options": told["method_options"]}},
    }


def write_again(storage, values, *, suite="written", method="random", seed=0, tests=None, **told):
    """Write what became of a run's incumbent when it was trained again."""
    name = confirmation_name(f"{suite}/{method}/seed-{seed:02d}")
    _write_trainings(storage, name, values, tests, told.get("direction", "maximize"))


def write_default(storage, value, *, suite="written", seed=0, test=None, **told):
    """Write what the objective's default came to."""
    tests = None if test is None else [test]
    name = default_name(suite, seed)
    _write_trainings(storage, name, [value], tests, told.get("direction", "maximize"))


def _write_trainings(storage, name, values, tests, direction):
    study = optuna.create_study(storage=storage, study_name=name, direction=direction)
    for place, value in enumerate(values):
        attrs = {"jobs": [asdict(job(value, epochs=3))], "training_seed": place}
        if tests is not None:
            attrs["test_accuracy"] = tests[place]
        study.add_trial(
            create_trial(
                state=TrialState.FAIL if value is None else TrialState.COMPLETE,
                value=value,
                params={"x": 0.5, "y": 0.5},
                distributions=SPACE,
                user_attrs=attrs,
            )
        )
    study.set_user_attr("finished", "evaluations spent")


def write_suite(storage, *, suite="written", methods=None, seeds=8, evaluations=12, **options):
    """Write runs whose values are drawn: method -> how far above random search it is."""
    for place, (method, advantage) in enumerate((methods or {"random": 0.0, "pso": 0.02}).items()):
        for seed in range(seeds):
            rng = np.random.default_rng([place, seed])
            values = 0.6 + advantage + 0.2 * rng.beta(2, 4, evaluations)
            tests = values - 0.01 + rng.normal(0, 0.005, evaluations)
            write_run(
                storage,
                values.round(4).tolist(),
                suite=suite,
                method=method,
                seed=seed,
                tests=tests.round(4).tolist(),
                **options,
            )
