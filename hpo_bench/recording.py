"""Recording a suite's objective over a grid: an ordinary run of it, exported as a table."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from hpo_bench import methods
from hpo_bench.budget import Budget
from hpo_bench.errors import HpoBenchError, InputError
from hpo_bench.manifest import manifest
from hpo_bench.objectives.table.files import OWN_COLUMNS, Card, check_path, read, write
from hpo_bench.objectives.table.recorder import Recorder
from hpo_bench.spaces import Space, to_table
from hpo_bench.storage import records
from hpo_bench.storage.opening import open_existing
from hpo_bench.storage.studies import iterate_studies
from hpo_bench.suite import NOT_IDENTITY, ObjectiveSpec, Suite

_RECORDER = "hpo_bench.objectives.table.recorder:recorder"


def check_output(made: Suite, path: Path) -> None:
    """See, before anything is trained, that a table can be written there, and overwrites no other.

    Args:
        made: What `recording` gave.
        path: Where to.

    Raises:
        InputError: Its name has no known ending, its directory is not there, or the table of
            another suite is.
        HpoBenchError: A file is there that is no table.
        MissingExtraError: It is to be Parquet, and pyarrow is not installed.
    """
    check_path("--output", path)
    if not path.parent.is_dir():
        raise InputError("--output", str(path), f"there is no directory {path.parent}")
    if path.exists() and (found := read(path)[0].name) != _recorded(made):
        expected = f"the table {found!r} is there already; expected another name"
        raise InputError("--output", str(path), expected)


def recording(suite: Suite, *, cpu_time: bool = False) -> Suite:
    """Make the suite that records another one: its grid, each point once for every seed.

    A pruner of the grid is left out: what it stops would be missing in the table.

    Args:
        suite: What to record.
        cpu_time: Record CPU seconds instead of those on the wall.

    Raises:
        InputError: It has no grid, or several.
        HpoBenchError: Something in it cannot be used.
    """
    grids = [
        name
        for name, spec in suite.methods.items()
        if (spec.sampler or spec.method or name) == "grid"
    ]
    if len(grids) != 1:
        expected = "expected one grid among them, whose points are recorded"
        raise InputError("methods", list(suite.methods), expected)
    suite.check()
    setup = methods.throwaway_setup(suite.build_objective(suite.seeds[0]))
    points = suite.build_search(grids[0], setup).n_configurations
    assert points is not None
    spec = suite.objective
    whole = suite.methods[grids[0]].model_copy(update={"pruner": None, "pruner_options": {}})
    options = {"of": spec.target, "cpu_time": cpu_time, **spec.arguments}
    made = suite.model_copy(
        update={
            "name": f"{suite.name}-recording",
            "objective": ObjectiveSpec(name=_RECORDER, options=options),
            "methods": {grids[0]: whole},
            "budget": Budget(evaluations=points, free_repeats=0),
            "confirm": 0,
        }
    )
    made.build_objective(suite.seeds[0])
    return made


def export(made: Suite, path: Path) -> int:
    """Write what a recording has come to as a table.

    Args:
        made: What `recording` gave, and all of its runs finished.
        path: Where to.

    Returns:
        How many rows it has.

    Raises:
        HpoBenchError: A run is not finished, or the file cannot be written.
    """
    wanted = {f"{made.name}/{name}/seed-{seed:02d}" for name in made.methods for seed in made.seeds}
    held = iterate_studies(open_existing(made.storage), made.name)
    studies = [study for study in held if study.study_name in wanted]
    unfinished = [s.study_name for s in studies if records.FINISHED not in s.user_attrs]
    if unfinished or len(studies) < len(wanted):
        missing = unfinished or sorted(wanted - {study.study_name for study in studies})
        raise HpoBenchError(f"{missing[0]} is not finished: record again to go on with it")
    space = made.build_objective(made.seeds[0]).search_space
    rows = sorted(
        (r for study in studies for r in _rows(study)), key=lambda row: _place(row, space)
    )
    # Storages do not keep the order of attributes.
    first = [*space, *OWN_COLUMNS]
    names = [*first, *sorted({name for row in rows for name in row}.difference(first))]
    columns = {name: [row.get(name, math.nan) for row in rows] for name in names}
    write(path, _card(made, studies[0]), columns)
    return len(rows)


def _rows(study: optuna.Study) -> Iterator[dict[str, Any]]:
    seed = study.user_attrs["seed"]
    for trial in study.get_trials(deepcopy=False):
        for epoch, measured in enumerate(_epochs(trial), start=1):
            yield {**trial.params, "seed": seed, "epoch": epoch, **measured}


def _place(row: dict[str, Any], space: Space) -> list[float]:
    """Where a row stands in its table: by configuration, seed, epoch."""
    configuration = [dist.to_internal_repr(row[name]) for name, dist in space.items()]
    return [*configuration, row["seed"], row["epoch"]]


def _epochs(trial: FrozenTrial) -> list[dict[str, float]]:
    """What was measured after each epoch; of a training that failed, that it failed in the last."""
    values = [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)]
    if trial.value is None:
        # When each of them ended was lost with the evaluation; the whole is known.
        seconds = trial.user_attrs["train_seconds"] / (len(values) + 1)
        return [{"value": value, "seconds": seconds} for value in (*values, math.nan)]
    measured: dict[int, dict[str, float]] = defaultdict(dict)
    for key, value in trial.user_attrs.items():
        name, at, epoch = key.rpartition("@")
        if at:
            measured[int(epoch)][name] = value
    return [{"value": v, **measured[epoch]} for epoch, v in enumerate(values, start=1)]


def _recorded(made: Suite) -> str:
    return made.name.removesuffix("-recording")


def _card(made: Suite, study: optuna.Study) -> Card:
    objective = made.build_objective(made.seeds[0])
    assert isinstance(objective, Recorder)
    objective.prepare()
    options = {k: v for k, v in made.objective.options.items() if k not in NOT_IDENTITY}
    attributes = study.user_attrs
    here = {**manifest(), **objective.machine()}
    return Card(
        name=_recorded(made),
        description=made.description,
        metric=objective.metric_name,
        direction="maximize" if objective.directions[0].name == "MAXIMIZE" else "minimize",
        fidelity=objective.fidelity_name,
        max_fidelity=objective.max_fidelity,
        space={name: to_table(dist) for name, dist in objective.search_space.items()},
        default=objective.inner.default,
        data=dict(objective.describe()),
        made={
            "objective": options.pop("of"),
            "seconds": "CPU time" if options.pop("cpu_time") else "wall time",
            "objective_options": options,
            "seeds": made.seeds,
            "begun": attributes[records.CREATED],
            **{name: attributes[name] for name in here if name in attributes},
        },
    )
