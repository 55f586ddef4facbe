"""The promises of a method, which is an Optuna sampler or a search of its own.

The first line of each check's docstring is the promise that `hpo-bench check` prints.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import optuna
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from hpo_bench.conformance import restart
from hpo_bench.conformance.candidates import Method
from hpo_bench.conformance.cost import costs
from hpo_bench.conformance.problems import CONSTANTS, KINDS, NUMBERS, value_of
from hpo_bench.errors import MissingExtraError, needing
from hpo_bench.methods import SamplerSearch
from hpo_bench.search import Job, Outcome, Search
from hpo_bench.spaces import Configuration, Space, check_value

N_TRIALS = 30
"""Trials of a test: more than most samplers draw at random before they use a model."""

Fate = Callable[[int, Job], Outcome]
"""Decides the outcome of a job from its number (from 0) and the job."""


def values_in_range(method: Method) -> None:
    """Every kind of hyperparameter gets a value of its range, of Python's own type."""
    for space in [{name: dist} for name, dist in KINDS.items()] + [{**KINDS, **CONSTANTS}]:
        search = method.search(space)
        for job in _drive(search, space, N_TRIALS):
            _check_configuration(space, job.configuration)


def failed_evaluations(method: Method) -> None:
    """Evaluations that fail leave no trial open, and the search goes on."""

    def fate(number: int, job: Job) -> Outcome:
        return Outcome(1, None) if number % 4 == 1 else _whole(job, NUMBERS)

    _check_states(method, fate, {TrialState.COMPLETE, TrialState.FAIL})


def every_evaluation_fails(method: Method) -> None:
    """A search that has seen nothing but failures still proposes."""
    _check_states(method, lambda _number, _job: Outcome(1, None), {TrialState.FAIL})


def pruned_evaluations(method: Method) -> None:
    """Evaluations that a pruner ends leave no trial open, and the search goes on."""

    def fate(number: int, job: Job) -> Outcome:
        value = value_of(NUMBERS, job.configuration)
        return Outcome(1, value, pruned=True) if number % 3 else _whole(job, NUMBERS)

    _check_states(method, fate, {TrialState.COMPLETE, TrialState.PRUNED})


def equal_values(method: Method) -> None:
    """A plateau, where every value is the same, is survived."""
    _check_states(method, lambda _, job: Outcome(job.until, 1.0), {TrialState.COMPLETE})


def direction(method: Method) -> str | None:
    """Maximising the negative of a function proposes what minimising it does."""
    search = method.search(NUMBERS)
    minimised = [job.configuration for job in _drive(search, NUMBERS, N_TRIALS)]
    search = method.search(NUMBERS, direction="maximize")

    def negative(_number: int, job: Job) -> Outcome:
        return Outcome(job.until, -value_of(NUMBERS, job.configuration))

    maximised = [job.configuration for job in _drive(search, NUMBERS, N_TRIALS, negative)]
    if (same := _equal_until(minimised, maximised)) is None:
        return None
    return f"it does not from proposal {same} on: does it heed the study's direction?"


def same_seed_same_proposals(method: Method) -> None:
    """The same seed and the same values give the same proposals."""
    first, second = (_proposals(method, seed=1) for _ in range(2))
    differs = _equal_until(first, second)
    assert differs is None, (
        f"proposal {differs} differs between two runs with seed 1; a sampler gets the run's seed "
        "if its constructor has a parameter 'seed'"
    )


def other_seed_other_proposals(method: Method) -> str | None:
    """Another seed gives other proposals, so that runs with several seeds say something."""
    if _proposals(method, seed=1) != _proposals(method, seed=2):
        return None
    return "they are the same whatever the seed: several seeds say no more than one"


def several_workers(method: Method) -> str | None:
    """Eight proposals are out at a time, told in another order, two of them never."""
    search = method.search(NUMBERS)
    search.prepare()
    numbers: list[int] = []
    n_equal = 0
    for _ in range(3):
        asked = _ask(search, 8)
        shown = [repr(job.configuration) for job in asked]
        n_equal += len(shown) - len(set(shown))
        numbers += [job.trial.number for job in asked]
        for job in asked:
            _check_configuration(NUMBERS, job.configuration)
        # Two jobs are never told, like those of workers that have died.
        for job in reversed(asked[2:]):
            _evaluate(search, job, _whole(job, NUMBERS))
    search.close()
    if len(numbers) <= 8:
        n_alone = len(_proposals(method, seed=0))
        assert n_alone <= len(numbers), "with two of eight still out it has nothing more to propose"
        return _too_few(n_alone)
    if n_equal == 0:
        return None
    return f"{n_equal} of {len(numbers)} proposals were already under way: done twice at once"


def ask_and_tell(method: Method) -> None:
    """Every trial holds the value that it was told, and the best of them is the study's."""
    told: list[float] = []
    study = None
    for job in _drive(method.search(NUMBERS), NUMBERS, N_TRIALS):
        study, trial = job.trial.study, _recorded(job)
        if trial.state == TrialState.COMPLETE:
            told.append(value_of(NUMBERS, job.configuration))
            assert trial.value == told[-1], f"told {told[-1]}, recorded {trial.value}"
            assert trial.params == job.configuration, "other parameters are recorded"
    assert study is not None
    assert study.best_value == min(told), "the study's best is not the best that it was told"


def dynamic_spaces(method: Method) -> str | None:
    """Parameters that come and go, and ranges that move, are followed."""
    sampler = method.sampler()
    if sampler is None:
        return "does not apply: it must be told the space beforehand"
    study = optuna.create_study(sampler=sampler)
    study.optimize(_conditional, n_trials=N_TRIALS)
    for low, high in ((0, 10), (0, 5), (20, 30)):
        study.optimize(partial(_moving, low=low, high=high), n_trials=10)
    _check_left({trial.state for trial in study.trials} - {TrialState.COMPLETE})
    return None


def several_threads(method: Method) -> str | None:
    """A study that several threads optimise at once ends as it should (`n_jobs`)."""
    sampler = method.sampler()
    if sampler is None:
        return "does not apply: it must be told the space beforehand"
    study = optuna.create_study(sampler=sampler)
    study.optimize(_conditional, n_trials=N_TRIALS, n_jobs=4)
    n_trials = len(study.trials)
    assert n_trials == N_TRIALS, f"it ended after {n_trials} of {N_TRIALS} trials"
    _check_left({trial.state for trial in study.trials} - {TrialState.COMPLETE})
    return None


def pickled(method: Method) -> str | None:
    """A copy that went through pickle proposes, as one that is sent to another process."""
    sampler = method.sampler()
    if sampler is None:
        return "does not apply: it must be told the space beforehand"
    study = optuna.create_study(sampler=sampler)
    study.optimize(_conditional, n_trials=5)
    study.sampler = pickle.loads(pickle.dumps(sampler))
    study.optimize(_conditional, n_trials=5)
    return None


def restart_in_a_fresh_process(method: Method) -> str | None:
    """A run that is killed and resumed repeats nothing, and ends as an undisturbed one if it can.

    Raises:
        AssertionError: The method declares `state_in_storage = True`, but a resumed run makes other
            proposals; or a resumed run repeats configurations.
    """
    whole, n_evaluations = restart.undisturbed(method)
    if n_evaluations < 2:
        return _too_few(n_evaluations)
    killed_at = n_evaluations // 2 + 1
    resumed = restart.killed_and_resumed(method, killed_at)
    differs = _equal_until(whole, resumed)
    if differs is None:
        return None
    claims = getattr(method.factory, "state_in_storage", False)
    assert not claims, (
        f"its state_in_storage is True, but proposal {differs} of {len(whole)} is another one "
        f"after it was killed at evaluation {killed_at} and resumed"
    )
    extra = _n_repeated(resumed) - _n_repeated(whole)
    assert extra <= 0, f"after it was resumed it proposed {extra} configurations a second time"
    return (
        f"it goes on with other proposals from {differs} on, as state in its process is lost "
        "(state_in_storage = True promises more)"
    )


def optunas_own_tests(method: Method) -> str | None:
    """Optuna's own tests of samplers pass, those that apply to it."""
    if method.sampler() is None:
        return "do not apply: it must be told the space beforehand"
    try:
        with needing("check", "Optuna's own tests"):
            from hpo_bench.conformance import optuna_suite
    except MissingExtraError as error:
        return f"not run: {error}"
    n_passed, failed = optuna_suite.run(method)
    assert not failed, f"{len(failed)} of {len(failed) + n_passed} failed: {', '.join(failed)}"
    return None


def cost_per_trial(method: Method) -> str:
    """What asking for a trial and telling it costs, beside Optuna's random sampler."""
    return "; ".join(
        f"at {cost.size:,} trials {cost.milliseconds:.3g} ms, "
        f"{cost.milliseconds / cost.reference:.3g} times RandomSampler's"
        if cost.milliseconds is not None
        else f"{cost.size:,} trials were not reached"
        for cost in costs(method)
    )


METHOD_CHECKS: tuple[Callable[[Method], str | None], ...] = (
    values_in_range,
    failed_evaluations,
    every_evaluation_fails,
    pruned_evaluations,
    equal_values,
    direction,
    same_seed_same_proposals,
    other_seed_other_proposals,
    ask_and_tell,
    several_workers,
    dynamic_spaces,
    several_threads,
    pickled,
    restart_in_a_fresh_process,
)
"""Checks for the tests of a method; each takes a `Method`."""

THOROUGH_METHOD_CHECKS = (*METHOD_CHECKS, optunas_own_tests, cost_per_trial)
"""`METHOD_CHECKS`, and checks that take longer or only report."""


def _whole(job: Job, space: Space) -> Outcome:
    return Outcome(job.until, value_of(space, job.configuration))


def _evaluate(search: Search, job: Job, outcome: Outcome) -> None:
    """Report the outcome's value at each new step, as a worker does, and tell the outcome."""
    reached = _recorded(job).last_step or 0
    if outcome.value is not None:
        for step in range(reached + 1, outcome.fidelity + 1):
            job.trial.report(outcome.value, step)
    search.tell(job, outcome)


def _recorded(job: Job) -> FrozenTrial:
    return job.trial.study.get_trials(deepcopy=False)[job.trial.number]


def _drive(search: Search, space: Space, n_jobs: int, fate: Fate | None = None) -> Iterator[Job]:
    """Run a search for up to `n_jobs` jobs, and yield each job after its outcome was told.

    Args:
        search: The search.
        space: Its search space.
        n_jobs: Most jobs; a finite search may end earlier.
        fate: Decides the outcomes; None: every job succeeds with `value_of` its configuration.
    """
    search.prepare()
    for number in range(n_jobs):
        job = search.ask()
        if job is None:
            assert number > 0, "it has nothing to propose"
            break
        _evaluate(search, job, _whole(job, space) if fate is None else fate(number, job))
        yield job
    search.close()


def _ask(search: Search, n_jobs: int) -> list[Job]:
    asked = (search.ask() for _ in range(n_jobs))
    return [job for job in asked if job is not None]


def _proposals(method: Method, seed: int) -> list[Configuration]:
    search = method.search(NUMBERS, seed=seed)
    return [job.configuration for job in _drive(search, NUMBERS, N_TRIALS)]


def _too_few(n_proposals: int) -> str:
    return f"does not apply: it ends after {n_proposals} configuration{'s' * (n_proposals != 1)}"


def _equal_until(first: list[Configuration], second: list[Configuration]) -> int | None:
    """Return the first position, from 1, at which two lists differ; None if they are equal."""
    for place, (one, other) in enumerate(zip(first, second, strict=False), start=1):
        if one != other:
            return place
    return None if len(first) == len(second) else min(len(first), len(second)) + 1


def _n_repeated(configurations: list[Configuration]) -> int:
    return len(configurations) - len({repr(sorted(one.items())) for one in configurations})


def _check_configuration(space: Space, configuration: Configuration) -> None:
    """Check that a configuration has exactly the space's names, with legal Python values."""
    expected, given = sorted(space), sorted(configuration)
    assert given == expected, f"it proposed {given}; expected a value of each of {expected}"
    types: dict[type, type] = {FloatDistribution: float, IntDistribution: int}
    for name, dist in space.items():
        value = configuration[name]
        check_value(name, value, dist)
        if isinstance(dist, CategoricalDistribution):
            types_of = [type(choice) for choice in dist.choices]
            assert type(value) in types_of, f"{name}: {value!r} is a {type(value).__name__}"
        else:
            kind = types[type(dist)]
            assert type(value) is kind, (
                f"{name}: {value!r} is a {type(value).__name__}; expected {kind.__name__}"
            )


def _check_states(method: Method, fate: Fate, allowed: set[TrialState]) -> None:
    search = method.search(NUMBERS)
    jobs = []
    for job in _drive(search, NUMBERS, N_TRIALS, fate):
        _check_configuration(NUMBERS, job.configuration)
        jobs.append(job)
    assert len(jobs) > 1, "it gave up after a single proposal"
    states = {_recorded(job).state for job in jobs}
    # A scheduler drops configurations at its rungs: these trials are PRUNED without a pruner.
    scheduled: set[TrialState] = set() if isinstance(search, SamplerSearch) else {TrialState.PRUNED}
    _check_left(states - allowed - scheduled)


def _check_left(wrong: set[TrialState]) -> None:
    assert not wrong, f"trials are left {', '.join(sorted(state.name for state in wrong))}"


def _conditional(trial: optuna.Trial) -> float:
    if trial.suggest_categorical("kind", ["line", "point"]) == "line":
        return trial.suggest_float("slope", 0, 1)
    return trial.suggest_int("place", 1, 9) + trial.suggest_float("shift", 1e-3, 1, log=True)


def _moving(trial: optuna.Trial, low: int, high: int) -> Any:
    x, y = trial.suggest_float("x", low, high), trial.suggest_int("y", low, high)
    assert low <= x <= high, f"{x} is not between {low} and {high}"
    assert low <= y <= high, f"{y} is not between {low} and {high}"
    return x + y
