"""The study of a run: created with everything that makes the run what it is, and found again."""

from __future__ import annotations

import json
import reprlib
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import optuna

from hpo_bench.budget import spent_by
from hpo_bench.errors import HpoBenchError
from hpo_bench.manifest import manifest
from hpo_bench.objectives import Objective
from hpo_bench.running.checkpoints import checked_run_id
from hpo_bench.running.runs import Run, Status
from hpo_bench.spaces import is_known, to_table
from hpo_bench.storage import records
from hpo_bench.storage.opening import hold
from hpo_bench.storage.studies import Glance, describe, glance_at, load_study

_SHOWN_FIRST = ("method", "seed", "budget", "data")
"""The dashboard shows a study's first few attributes, and the others when asked."""


def observe(run: Run, storage: optuna.storages.BaseStorage) -> Status | None:
    """Say how a run stands by what its storage holds; None if it has not been begun.

    What an evaluation under way has spent is counted once it is done.
    """
    try:
        study = load_study(storage, run.study_name)
    except KeyError:
        return None
    spent = spent_by(run.build_objective(), study.get_trials(deepcopy=False))
    return Status(
        spent.share(run.budget), spent.evaluations, spent.best, run.ended(glance_at(study))
    )


def has_ended(run: Run, storage: optuna.storages.BaseStorage) -> bool:
    """Whether nothing is left to do for a run."""
    try:
        return run.ended(glance_at(load_study(storage, run.study_name))) is not None
    except KeyError:
        return False


def is_stored(run: Run, storage: optuna.storages.BaseStorage) -> bool:
    """Whether the storage holds a run's study, and not only the name that a crash left."""
    try:
        study = load_study(storage, run.study_name)
    except KeyError:
        return False
    return records.CREATED in study.user_attrs or bool(study.get_trials(deepcopy=False))


def open_study(
    run: Run, storage: optuna.storages.BaseStorage, objective: Objective
) -> optuna.Study:
    """Open a run's study, creating it on first use.

    Raises:
        HpoBenchError: A study of that name was made from something else; the text shows what.
    """
    definition = _definition(run, objective)
    try:
        study = load_study(storage, run.study_name)
    except KeyError:
        study = optuna.create_study(
            storage=storage,
            study_name=run.study_name,
            direction=objective.directions[0],
            pruner=optuna.pruners.NopPruner(),
        )
    if is_stored(run, storage):
        _check_same(run, study.user_attrs, definition)
    else:
        _describe(run, study, objective, definition)
    hold(storage, study._study_id)
    return study


def check_unchanged(run: Run, there: Mapping[str, Glance]) -> None:
    """See that a study of the run's name, if there is one, was made by the same suite, and by us.

    What only the loaded objective tells (its data, say) is compared when the run is executed.

    Args:
        run: The run.
        there: What a glance at all studies has shown.

    Raises:
        HpoBenchError: It was made from something else, or has lost what tells it from others; the
            text shows what.
    """
    study = there.get(run.study_name)
    if study is not None and (records.CREATED in study.user_attrs or study.n_trials):
        _check_same(run, study.user_attrs, json.loads(json.dumps(run.definition())))
        checked_run_id(run.study_name, study.user_attrs.get(records.RUN_ID))


def _definition(run: Run, objective: Objective) -> dict[str, Any]:
    """Everything that makes the run what it is, as JSON gives it back."""
    space = objective.search_space if is_known(objective.search_space) else {}
    definition = {
        **run.definition(),
        "direction": objective.directions[0].name.lower(),
        "max_fidelity": objective.max_fidelity,
        "search_space": {name: to_table(d) for name, d in space.items()},
        **_storable("describe()", objective.describe()),
    }
    as_stored: dict[str, Any] = json.loads(json.dumps(definition))
    return as_stored


def _storable(said_by: str, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """See that what an objective says of itself can be recorded.

    Raises:
        HpoBenchError: It cannot.
    """
    for name, value in attributes.items():
        if not records.is_storable(name):
            fault = f"a name is {reprlib.repr(name)}; expected a {records.STORABLE}"
            raise HpoBenchError(f"the objective's {said_by}: {fault}")
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise HpoBenchError(f"the objective's {said_by}: {name!r}: {error}") from None
    return attributes


def _describe(
    run: Run, study: optuna.Study, objective: Objective, definition: dict[str, Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([objective.metric_name])
    own = {
        records.RUN_ID: uuid4().hex,
        records.SUITE: run.suite.repeating(run.method),
        records.IS_SIMULATED: bool(objective.is_simulated),
    }
    first = {name: definition[name] for name in _SHOWN_FIRST if name in definition}
    here = {**manifest(), **_storable("machine()", objective.machine())}
    told = run.declared(objective)
    describe(study, {"suite": run.suite.name, **first, **definition, **told, **here, **own})
    study.set_user_attr(records.CREATED, datetime.now(UTC).isoformat(timespec="seconds"))


def _check_same(run: Run, there: Mapping[str, Any], definition: dict[str, Any]) -> None:
    differences = [
        f"  {key}: {there.get(key)!r} there, {value!r} here"
        for key, value in definition.items()
        if _text(there.get(key)) != _text(value)
    ]
    if differences:
        raise HpoBenchError(
            f"the storage already holds a study {run.study_name!r} that was made otherwise:\n"
            + "\n".join(differences)
            + f"\nGive this suite another name (--set name={run.suite.name}-2), or use another "
            "storage."
        )


def _text(value: Any) -> str:
    """Write a value so that equal ones are written alike; NaN is not equal to itself."""
    return json.dumps(value, sort_keys=True)
