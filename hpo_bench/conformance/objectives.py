"""The promises of an objective: runs can be repeated and resumed, and records are correct.

The first line of each check's docstring is the promise that `hpo-bench check` prints.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import optuna

from hpo_bench.conformance.candidates import ObjectiveType
from hpo_bench.errors import HpoBenchError, reason_of
from hpo_bench.objectives import Evaluation, Objective
from hpo_bench.spaces import Configuration
from hpo_bench.storage import records

Curve = tuple[list[float], dict[str, float]]
"""The values after each unit of fidelity, and the measurements at the end: name -> number."""


def described(tested: ObjectiveType) -> None:
    """Its space, its one direction and its descriptions are the same whenever it is built."""
    first, second = tested.build(), tested.build()
    assert first.search_space, "its search_space is empty"
    assert first.search_space == second.search_space, "two of it have different spaces"
    assert first.directions == second.directions, "two of it have different directions"
    for told in (first.describe(), first.machine()):
        _as_json(told)
    assert _as_json(first.describe()) == _as_json(second.describe()), (
        "describe() says something else of a second one; a resumed run would be refused"
    )


def fidelity(tested: ObjectiveType) -> None:
    """Each step goes one unit further, up to max_fidelity, and gives a finite number."""
    objective = tested.build()
    assert objective.max_fidelity >= 1, f"max_fidelity is {objective.max_fidelity}"
    evaluation = objective.start(_configurations(objective, 1)[0])
    assert evaluation.fidelity == 0, f"an evaluation starts at fidelity {evaluation.fidelity}"
    for expected in range(1, objective.max_fidelity + 1):
        value = evaluation.advance()
        assert isinstance(value, float | int), f"advance gave a {type(value).__name__}"
        assert math.isfinite(value), f"the value at fidelity {expected} is {value}"
        reached = evaluation.fidelity
        assert reached == expected, f"advance led to {reached}; expected {expected}"


def same_seed_same_values(tested: ObjectiveType) -> None:
    """The same seed and configuration give bitwise the same values and measurements."""
    first, second = tested.build(seed=1), tested.build(seed=1)
    one, other = (_curve(made, _configurations(first, 1)[0]) for made in (first, second))
    assert one == other, f"two evaluations with seed 1 gave {_short(one)} and {_short(other)}"


def any_order(tested: ObjectiveType) -> None:
    """A configuration's value does not depend on what was evaluated before it."""
    objective, again = tested.build(), tested.build()
    first, second = _configurations(objective, 2)
    straight = [_curve(objective, first), _curve(objective, second)]
    backwards = [_curve(again, second), _curve(again, first)]
    assert straight == backwards[::-1], (
        f"in this order {_short(straight)}, in the other {_short(backwards[::-1])}"
    )


def resumable(tested: ObjectiveType) -> str | None:
    """Saved after a unit and restored in a fresh process, an evaluation ends bitwise the same."""
    objective = tested.build()
    configuration = _configurations(objective, 1)[0]
    if objective.max_fidelity == 1:
        return "does not apply: an evaluation is a single unit"
    evaluation = objective.start(configuration)
    values = [evaluation.advance()]
    state = evaluation.checkpoint()
    if state is None:
        return "checkpoint() is None: what a crash interrupts starts again"
    assert isinstance(state, bytes), f"checkpoint() is a {type(state).__name__}; expected bytes"
    rest = _in_a_process(tested, configuration, state)
    whole = _curve(objective, configuration)
    resumed = (values + rest[0], rest[1])
    assert resumed == whole, f"resumed: {_short(resumed)}; undisturbed: {_short(whole)}"
    return None


def measurements(tested: ObjectiveType) -> None:
    """What it measures beside the value are numbers, under names that are free."""
    objective = tested.build()
    _, measured = _curve(objective, _configurations(objective, 1)[0])
    try:
        records.checked(measured)
    except HpoBenchError as error:
        raise AssertionError(str(error)) from error


def together(tested: ObjectiveType) -> str | None:
    """Several at once give what each gives alone."""
    objective = tested.build()
    if type(objective).advance_many is Objective.advance_many:
        return None
    configurations = _configurations(objective, 3)
    side_by_side: Sequence[Evaluation] = [objective.start(one) for one in configurations]
    for _ in range(objective.max_fidelity):
        values = objective.advance_many(side_by_side)
    alone = [_curve(objective, one)[0][-1] for one in configurations]
    worst = max(abs(a - b) for a, b in zip(alone, values, strict=True))
    return None if worst == 0 else f"they differ by up to {worst:.2g}: rounding, or more?"


def other_seed_other_values(tested: ObjectiveType) -> str | None:
    """Another seed draws other random numbers, where evaluations are random at all."""
    first = tested.build(seed=1)
    configuration = _configurations(first, 1)[0]
    if _curve(first, configuration) != _curve(tested.build(seed=2), configuration):
        return None
    return "values do not depend on the seed: what differs between seeds is the method's draws"


def plain_objective(tested: ObjectiveType) -> None:
    """It is an objective of any Optuna study, too."""
    objective = tested.build()
    study = optuna.create_study(
        direction=objective.directions[0], sampler=optuna.samplers.RandomSampler(seed=0)
    )
    study.optimize(objective, n_trials=1)
    (trial,) = study.trials
    assert trial.params.keys() == objective.search_space.keys(), "it suggests another space"
    assert len(trial.intermediate_values) == objective.max_fidelity, "it does not report every unit"


OBJECTIVE_CHECKS: tuple[Callable[[ObjectiveType], str | None], ...] = (
    described,
    fidelity,
    same_seed_same_values,
    other_seed_other_values,
    any_order,
    resumable,
    measurements,
    together,
    plain_objective,
)
"""All checks of an objective; each takes an `ObjectiveType`."""


def _configurations(objective: Objective, count: int) -> list[Configuration]:
    """Draw configurations from an objective's space, always the same ones."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [dict(study.ask(dict(objective.search_space)).params) for _ in range(count)]


def _curve(objective: Objective, configuration: Configuration) -> Curve:
    return _go_on(objective, objective.start(configuration))


def _go_on(objective: Objective, evaluation: Evaluation) -> Curve:
    values = []
    while evaluation.fidelity < objective.max_fidelity:
        values.append(evaluation.advance())
    return values, dict(evaluation.measurements())


def _in_a_process(tested: ObjectiveType, configuration: Configuration, state: bytes) -> Curve:
    """Finish an evaluation from a checkpoint in a new process; return the rest of its curve."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_resume, args=(theirs, tested, configuration, state))
    process.start()
    theirs.close()
    try:
        answer: Curve | str = ours.recv()
    except EOFError:
        answer = "it died"
    process.join()
    assert not isinstance(answer, str), f"in a fresh process: {answer}"
    return answer


def _resume(
    connection: Connection[Any, Any],
    tested: ObjectiveType,
    configuration: Configuration,
    state: bytes,
) -> None:
    try:
        objective = tested.build()
        answer: Any = _go_on(objective, objective.restore(configuration, state))
    except Exception as error:  # foreign code may raise anything
        answer = reason_of(error)
    connection.send(answer)


def _as_json(told: Any) -> str:
    try:
        return json.dumps(told, sort_keys=True)
    except TypeError as error:
        raise AssertionError(f"describe() and machine() must be JSON values: {error}") from error


def _short(told: Any) -> str:
    text = str(told)
    return text if len(text) <= 200 else f"{text[:200]} ..."
