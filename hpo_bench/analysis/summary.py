"""All that a report says of a suite, computed once: every format shows these numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from optuna.storages import BaseStorage

from hpo_bench.analysis import baselines, curves, targets
from hpo_bench.analysis.baselines import Confirmed
from hpo_bench.analysis.comparisons import Comparison, all_pairs
from hpo_bench.analysis.curves import Curve
from hpo_bench.analysis.failures import Failure, failures
from hpo_bench.analysis.history import History, budget_factor, by_method, history_of
from hpo_bench.analysis.intervals import Estimate, estimate
from hpo_bench.analysis.measures import MEASURES, is_maximised
from hpo_bench.analysis.results import DEFAULT, MethodResult, RunResult, of_method, results_of
from hpo_bench.analysis.space import Importances, importances
from hpo_bench.analysis.stored import read_suite
from hpo_bench.analysis.targets import Distribution, Reached, is_random, plain_random
from hpo_bench.errors import InputError
from hpo_bench.storage.rows import Fault

ACCURACY_ROPE = 0.01
"""One percent more or less: the convention for accuracies."""


@dataclass(frozen=True)
class MethodSummary:
    """A method over its finished runs."""

    name: str
    means: MethodResult | None
    """Counts and times, means per run; None while no run is finished."""
    validation: Estimate | None
    """Of the incumbents, by which they were chosen."""
    quartiles: tuple[float, float, float] | None
    """First quartile, median and third quartile of the same."""
    test: Estimate | None
    """Of the incumbents, which no method saw."""
    gap: Estimate | None
    """By how much validation flatters: above 0, the incumbents are worse on the test images; None
    where the objective's value is no accuracy, which a test accuracy cannot be taken from."""
    area: Estimate | None
    """Mean incumbent over the part of the budget that all runs have in common."""
    states: dict[str, int]
    """How many of all its runs are finished, partial, failed, empty."""
    confirmed: Confirmed | None = None
    """Its incumbents, trained again; None if they were not."""
    budget_factor: int = 1
    """How many times the suite's budget it had: with more than one, it is a baseline."""


@dataclass(frozen=True)
class Summary:
    """A suite as the storage holds it; statistics are of its finished runs."""

    suite: str
    studies: list[str]
    """Names of its runs' studies."""
    metric: str
    maximise: bool
    data: dict[str, Any]
    methods: list[MethodSummary]
    """Best first, by the mean validation value."""
    runs: list[RunResult]
    histories: list[History]
    """By method, in the order of `methods`, and seed."""
    curves: dict[str, list[Curve]]
    """Axis -> a curve per method."""
    area_range: tuple[float, float] | None
    """Full evaluations' worth of epochs between which `area` is taken."""
    targets: dict[float, str]
    """Target of the table -> where it comes from."""
    reached: list[Reached]
    distributions: list[Distribution]
    n_targets: int
    """Targets of the distributions."""
    comparisons: dict[str, list[Comparison]]
    """Measure -> every pair of methods that have the same budget; no entry for what was not
    measured."""
    default: MethodSummary | None
    """The objective's default configuration, trained by the seeds of the runs."""
    default_runs: list[RunResult]
    against: list[Comparison]
    """Every method over every baseline: the default, and methods with a larger budget."""
    against_by: str
    """The measure of these."""
    rope: float | None
    random_twice: Estimate | None
    """What random search finds at twice the budget: the better of two of its runs; None without
    two, and where a method of the suite has it run."""
    importances: Importances | None
    left_out: list[Fault]
    """What the storage holds of it that is not sound."""
    failures: list[Failure]
    """What evaluations failed with, the most frequent first; also of unfinished runs."""

    def finished(self, method: str) -> list[RunResult]:
        """The runs of a method that the statistics are of."""
        runs = finished_of(self.runs, self.histories)
        return [run for run in runs if run.method == method]


def summarise(
    storage: BaseStorage,
    suite: str,
    *,
    given_targets: Sequence[float] = (),
    rope: float | None = None,
) -> Summary:
    """Read and analyse a suite; also while its runs go on.

    Args:
        storage: Where its studies are.
        suite: Its name.
        given_targets: Values to reach; empty takes them from random search's evaluations.
        rope: Difference below which methods are equivalent in practice; None takes 0.01 where
            accuracy is measured, and leaves the Bayesian test out elsewhere.

    Raises:
        HpoBenchError: The storage holds no run of it, or an argument cannot be used.
    """
    if rope is not None and not rope > 0:
        raise InputError("rope", rope, "expected a difference above 0")
    stored = read_suite(storage, suite)
    result = results_of(stored)
    groups = by_method([history_of(run) for run in stored.runs])
    maximise = next(iter(groups.values()))[0].maximise
    if rope is None and _is_accuracy(result.metric):
        rope = ACCURACY_ROPE * (100 if _is_percent(result.runs) else 1)
    finished = {name: [run for run in runs if run.is_finished] for name, runs in groups.items()}
    runs = finished_of(result.runs, _flat(groups))
    area_range = curves.common_range(_flat(finished), targets.AXIS)
    methods = [_method(name, groups[name], runs, result.metric, area_range) for name in groups]
    methods.sort(key=lambda method: _place(method, maximise))
    groups = {method.name: groups[method.name] for method in methods}
    finished = {name: finished[name] for name in groups if finished[name]}
    table_targets, curve_targets = _targets(_flat(finished), given_targets)
    larger = [method.name for method in methods if method.budget_factor > 1]
    rivals = [method.name for method in methods if method.budget_factor == 1]
    against_by, against = baselines.against(
        rivals, larger, runs, result.defaults, maximise=maximise
    )
    is_random_twice_run = any(is_random(run) for name in larger for run in groups[name])
    return Summary(
        suite=suite,
        studies=[run.name for run in stored.runs],
        metric=result.metric,
        maximise=maximise,
        data=result.data,
        methods=methods,
        runs=result.runs,
        histories=_flat(groups),
        curves=curves.curves(finished),
        area_range=area_range,
        targets=table_targets,
        reached=[targets.reached(r, t) for t in table_targets for r in finished.values()],
        distributions=targets.distributions(finished, curve_targets),
        n_targets=len(curve_targets),
        comparisons=_comparisons(runs, rivals, maximise, rope),
        default=_default(result.defaults, result.metric, maximise),
        default_runs=result.defaults,
        against=against,
        against_by=against_by,
        rope=rope,
        random_twice=None
        if is_random_twice_run
        else estimate(_better_of_two(plain_random(_flat(finished)))),
        importances=importances(_flat(finished)),
        left_out=result.left_out,
        failures=failures(stored),
    )


def finished_of(runs: Sequence[RunResult], histories: Sequence[History]) -> list[RunResult]:
    """Give the runs that have had all of their budget."""
    keys = {(history.method, history.seed) for history in histories if history.is_finished}
    return [run for run in runs if (run.method, run.seed) in keys]


def found_by(
    runs: Sequence[RunResult], measure: str, methods: Sequence[str]
) -> dict[str, dict[int, float]]:
    """What each method's runs have found: method -> seed -> validation or test value."""
    found: dict[str, dict[int, float]] = {method: {} for method in methods}
    for run in runs:
        value = getattr(run, measure)
        if value is not None and run.method in found:
            found[run.method][run.seed] = value
    return found


def _default(defaults: Sequence[RunResult], metric: str, maximise: bool) -> MethodSummary | None:
    if not defaults:
        return None
    return _summed_up(DEFAULT, defaults, metric, maximise, [], ["finished"] * len(defaults))


def _comparisons(
    runs: Sequence[RunResult], methods: Sequence[str], maximise: bool, rope: float | None
) -> dict[str, list[Comparison]]:
    found = {measure: found_by(runs, measure, methods) for measure in MEASURES}
    measured = {measure: values for measure, values in found.items() if any(values.values())}
    if "confirmed_test" in measured:  # which says more, and every table is one more to read
        del measured["confirmed"]
    return {
        measure: all_pairs(values, maximise=is_maximised(measure, maximise=maximise), rope=rope)
        for measure, values in measured.items()
    }


def _better_of_two(runs: Sequence[History]) -> list[float]:
    """Give the better of the first two runs, of the next two, and so on: pairs share no run."""
    found = [run.incumbent for run in sorted(runs, key=lambda run: run.seed)]
    better = max if runs and runs[0].maximise else min
    pairs = zip(found[::2], found[1::2], strict=False)
    return [better(a, b) for a, b in pairs if a is not None and b is not None]


def _flat(groups: dict[str, list[History]]) -> list[History]:
    return [history for runs in groups.values() for history in runs]


def _place(method: MethodSummary, maximise: bool) -> tuple[bool, float]:
    """Give the order of the table: best first, then those that have found nothing."""
    if method.validation is None:
        return True, 0.0
    return False, -method.validation.mean if maximise else method.validation.mean


def _is_accuracy(metric: str) -> bool:
    return "accuracy" in metric


def _is_percent(runs: Sequence[RunResult]) -> bool:
    return any(run.validation is not None and run.validation > 1 for run in runs)


def _targets(
    histories: Sequence[History], given: Sequence[float]
) -> tuple[dict[float, str], list[float]]:
    """Give the targets of the table, with where they come from, and those of the distributions."""
    if given:
        maximise = histories[0].maximise if histories else True
        easiest_first = sorted(set(given), reverse=not maximise)
        return dict.fromkeys(easiest_first, "given"), easiest_first
    told: dict[float, str] = {}
    for many, value in targets.from_random(histories).items():
        told.setdefault(value, f"one random configuration in {many}")
    return told, targets.spread_from_random(histories)


def _method(
    name: str,
    histories: Sequence[History],
    finished_runs: Sequence[RunResult],
    metric: str,
    area_range: tuple[float, float] | None,
) -> MethodSummary:
    runs = [run for run in finished_runs if run.method == name]
    areas = [
        curves.mean_incumbent(history, targets.AXIS, *area_range)
        for history in histories
        if area_range is not None and history.is_finished and history.incumbent is not None
    ]
    states = [history.state for history in histories]
    made = _summed_up(name, runs, metric, histories[0].maximise, areas, states)
    return replace(made, budget_factor=max(budget_factor(history) for history in histories))


def _summed_up(
    name: str,
    runs: Sequence[RunResult],
    metric: str,
    maximise: bool,
    areas: Sequence[float],
    states: Sequence[str],
) -> MethodSummary:
    validation = [run.validation for run in runs if run.validation is not None]
    gaps = [
        run.validation - run.test
        for run in runs
        if run.validation is not None and run.test is not None
    ]
    return MethodSummary(
        name=name,
        means=of_method(name, runs) if runs else None,
        validation=estimate(validation),
        quartiles=_quartiles(validation),
        test=estimate([run.test for run in runs if run.test is not None]),
        gap=estimate(gaps) if _is_accuracy(metric) else None,
        area=estimate(areas),
        states={state: states.count(state) for state in sorted(set(states))},
        confirmed=baselines.confirmed(runs, maximise=maximise),
    )


def _quartiles(values: Sequence[float]) -> tuple[float, float, float] | None:
    if not values:
        return None
    low, median, high = map(float, np.quantile(values, [0.25, 0.5, 0.75]))
    return low, median, high
