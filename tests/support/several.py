"""Runs that evaluate several configurations at a time, and what came of them."""

from hpo_bench.storage.opening import open_storage
from hpo_bench.storage.studies import load_study

SPACE = {"x": {"low": 0, "high": 8}, "y": {"low": -4.0, "high": 4.0, "step": 1.0}}
METHODS = {
    "grid": {},
    "random": {},
    "pso": {},
    "bohb": {"options": {"strict": True}},
    "asha": {
        "sampler": "optuna.samplers:RandomSampler",
        "pruner": "optuna.pruners:SuccessiveHalvingPruner",
    },
}


def trials_of(run):
    """All trials of a run."""
    return load_study(open_storage(run.suite.storage), run.study_name).trials


def told(run):
    """What a run repeats if nothing about it depends on time."""
    return [
        (t.number, t.state, t.params, t.value, t.intermediate_values, t.user_attrs["epochs"])
        for t in trials_of(run)
    ]
