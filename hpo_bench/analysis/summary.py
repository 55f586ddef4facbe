"""All that a report says of a suite, computed once: every format shows these numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from optuna.storages import BaseStorage

from hpo_bench.analysis import baselines, curves, targets
from hpo_bench.analysis.baselines import Confirmed
from hpo_bench.analysis.comparisons import Comparison
from hpo_bench.analysis.curves import Curve
from hpo_bench.analysis.endpoint import Endpoint
from hpo_bench.analysis.failures import Failure, failures
from hpo_bench.analysis.history import History, budget_factor, by_method, history_of
from hpo_bench.analysis.intervals import Estimate, estimate
from hpo_bench.analysis.judged import Judged, judge_suite
from hpo_bench.analysis.measures import along_the_way, is_comparable, is_maximised
from hpo_bench.analysis.results import (
    MethodResult,
    RunResult,
    SuiteResult,
    names_of,
    of_method,
    results_of,
)
from hpo_bench.analysis.rope import Rope
from hpo_bench.analysis.saturation import is_saturated
from hpo_bench.analysis.scores import Scores, scores
from hpo_bench.analysis.selection import Overtuning, overtuning
from hpo_bench.analysis.space import Importances, importances
from hpo_bench.analysis.stored import DEFAULT, read_suite
from hpo_bench.analysis.targets import Distribution, Reached, is_random, plain_random
from hpo_bench.errors import InputError
from hpo_bench.storage.rows import Fault


@dataclass(frozen=True)
class MethodSummary:
    """A method over its finished runs."""

    name: str
    means: MethodResult | None
    """Counts and times, means per run; None while no run is finished."""
    endpoint: Estimate | None
    """Of the incumbents, by what verdicts use; a run that found nothing has the worst."""
    quartiles: tuple[float, float, float] | None
    """First quartile, median and third quartile of the same."""
    validation: Estimate | None
    """Of the incumbents, by which they were chosen: what the search saw."""
    test: Estimate | None
    """Of the incumbents, which no method saw."""
    states: dict[str, int]
    """How many of all its runs are finished, partial, failed, empty."""
    gap: Estimate | None = None
    """By how much validation flatters: above 0, it is better than the endpoint (than the test where
    that is validation itself). None where these are not in the same units."""
    area: Estimate | None = None
    """Mean incumbent over the part of the budget that all runs have in common."""
    overtuning: Overtuning | None = None
    """None where the incumbents have no test."""
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
    endpoint: Endpoint
    maximise: bool
    """Whether more of the objective's own value is better."""
    data: dict[str, Any]
    methods: list[MethodSummary]
    """Best first, by the endpoint."""
    runs: list[RunResult]
    histories: list[History]
    """By method, in the order of `methods`, and seed."""
    curves: dict[str, list[Curve]]
    """Axis -> a curve per method."""
    unseen_curves: list[Curve]
    """By epochs: the incumbents by `unseen`."""
    unseen: str
    """The measure, unknown to the methods, that stands for the endpoint along the way."""
    area_range: tuple[float, float] | None
    """Full evaluations' worth of epochs between which `area` is taken."""
    targets: dict[float, str]
    """Target of the table -> where it comes from."""
    reached: list[Reached]
    distributions: list[Distribution]
    n_targets: int
    """Targets of the distributions."""
    stopped_at: float | None
    """The budget's target, if it ended runs: they are compared by what they spent until then."""
    comparisons: dict[str, list[Comparison]]
    """Measure -> every pair of methods that have the same budget; no entry for what was not
    measured. Where a target ended runs, the only measure is `RUNNING_TIME`."""
    ropes: dict[str, Rope]
    """Measure -> region of practical equivalence."""
    baselines: list[MethodSummary]
    """Fixed configurations, trained by the seeds of the runs: the objective's default first."""
    baseline_runs: list[RunResult]
    against: list[Comparison]
    """Every method over every baseline, by the endpoint: fixed configurations, and methods with a
    larger budget."""
    scores: dict[str, Scores]
    """Measure -> the value of each finished run."""
    baseline_scores: dict[str, Scores]
    """Measure -> the values of fixed configurations by each seed: by what corresponds, as they are
    trained once and not again."""
    at_ceiling: list[str]
    """Methods that sit at the optimum; of two, the objective is saturated."""
    worst: dict[str, float]
    """Measure -> worst value of any evaluation, which stands for a run that found nothing."""
    random_twice: Estimate | None
    """What random search finds at twice the budget, by the endpoint: the better of two of its runs,
    by validation; None without two, and where a method of the suite has it run."""
    importances: Importances | None
    left_out: list[Fault]
    """What the storage holds of it that is not sound."""
    is_simulated: bool
    """Whether the seconds of evaluations are recorded ones, which nobody waited for."""
    failures: list[Failure]
    """What evaluations failed with, the most frequent first; also of unfinished runs."""

    @property
    def default(self) -> MethodSummary | None:
        """The objective's default configuration; None where it has none."""
        return next((made for made in self.baselines if made.name == DEFAULT), None)

    @property
    def is_saturated(self) -> bool:
        """Whether the objective is too easy to tell the methods apart."""
        return is_saturated(self.at_ceiling)

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
        rope: Difference below which methods are equivalent in practice; None takes a share of the
            way from the default to the best run, where the suite has a default.

    Raises:
        HpoBenchError: The storage holds no run of it, or an argument cannot be used.
    """
    if rope is not None and not rope > 0:
        raise InputError("rope", rope, "expected a difference above 0")
    stored = read_suite(storage, suite)
    result = results_of(stored)
    groups = by_method([history_of(run) for run in stored.runs])
    maximise = next(iter(groups.values()))[0].maximise
    finished = {name: [run for run in runs if run.is_finished] for name, runs in groups.items()}
    runs = finished_of(result.runs, _flat(groups))
    endpoint = result.endpoint.measure
    judged = judge_suite(runs, result.baselines, _flat(finished), endpoint, rope)
    worst = judged.worst.get("validation")
    unseen = _unseen(endpoint)
    area_range = curves.common_range(_flat(finished), targets.AXIS)
    methods = [_method(name, groups[name], runs, judged, area_range, result) for name in groups]
    is_more_better = is_maximised(endpoint, maximise=maximise)
    methods.sort(key=lambda method: _place(method, is_more_better))
    groups = {method.name: groups[method.name] for method in methods}
    finished = {name: finished[name] for name in groups if finished[name]}
    table_targets, curve_targets = _targets(_flat(finished), given_targets, judged.stop)
    larger = [method.name for method in methods if method.budget_factor > 1]
    is_random_twice_run = any(is_random(run) for name in larger for run in groups[name])
    return Summary(
        suite=suite,
        studies=[run.name for run in stored.runs],
        metric=result.metric,
        endpoint=result.endpoint,
        maximise=maximise,
        data=result.data,
        methods=methods,
        runs=result.runs,
        histories=_flat(groups),
        curves=curves.curves(finished, worst),
        unseen_curves=_curves_by(unseen, finished, judged.worst.get(unseen)),
        unseen=unseen,
        area_range=area_range,
        targets=table_targets,
        reached=[targets.reached(r, t) for t in table_targets for r in finished.values()],
        distributions=targets.distributions(finished, curve_targets),
        n_targets=len(curve_targets),
        stopped_at=judged.stop,
        comparisons=judged.comparisons,
        ropes=judged.ropes,
        baselines=[_fixed(name, result, maximise) for name in names_of(result.baselines)],
        baseline_runs=result.baselines,
        against=judged.against,
        scores=judged.scores,
        baseline_scores=judged.baseline_scores,
        at_ceiling=judged.at_ceiling,
        worst=judged.worst,
        random_twice=None
        if is_random_twice_run
        else estimate(_better_of_two(plain_random(_flat(finished)), runs, endpoint)),
        importances=importances(_flat(finished)),
        left_out=result.left_out,
        is_simulated=result.is_simulated,
        failures=failures(stored),
    )


def finished_of(runs: Sequence[RunResult], histories: Sequence[History]) -> list[RunResult]:
    """Give the runs that have had all of their budget."""
    keys = {(history.method, history.seed) for history in histories if history.is_finished}
    return [run for run in runs if (run.method, run.seed) in keys]


def _fixed(name: str, result: SuiteResult, maximise: bool) -> MethodSummary:
    runs = [run for run in result.baselines if run.method == name]
    states = ["finished"] * len(runs)
    endpoint = along_the_way(result.endpoint.measure)
    made = _summed_up(name, runs, {}, states, endpoint, maximise)
    return replace(made, gap=_gap(runs, endpoint, result.metric, maximise))


def _unseen(endpoint: str) -> str:
    """Name what stands for the endpoint along the way, or the test where that is validation."""
    along = along_the_way(endpoint)
    return "test" if along == "validation" else along


def _curves_by(
    measure: str, groups: Mapping[str, Sequence[History]], worst: float | None
) -> list[Curve]:
    made = (curves.curve_by(measure, runs, targets.AXIS, worst) for runs in groups.values())
    return [curve for curve in made if curve is not None]


def _better_of_two(
    histories: Sequence[History], runs: Sequence[RunResult], endpoint: str
) -> list[float]:
    """Give the endpoint of the better of two runs, by validation: pairs share no run."""
    by_key = {(run.method, run.seed): run for run in runs}
    found = [by_key[h.method, h.seed] for h in sorted(histories, key=lambda run: run.seed)]
    maximise = bool(histories) and histories[0].maximise
    better = []
    for pair in zip(found[::2], found[1::2], strict=False):
        seen = [run.validation for run in pair if run.validation is not None]
        if len(seen) == 2:
            place = seen.index(max(seen) if maximise else min(seen))
            better.append(getattr(pair[place], endpoint))
    return [value for value in better if value is not None]


def _flat(groups: dict[str, list[History]]) -> list[History]:
    return [history for runs in groups.values() for history in runs]


def _place(method: MethodSummary, is_more_better: bool) -> tuple[bool, float]:
    """Give the order of the table: best first, then those that have found nothing."""
    if method.endpoint is None:
        return True, 0.0
    return False, -method.endpoint.mean if is_more_better else method.endpoint.mean


def _targets(
    histories: Sequence[History], given: Sequence[float], stop: float | None
) -> tuple[dict[float, str], list[float]]:
    """Give the targets of the table, with where they come from, and those of the distributions.

    Where a target ended the runs, it is the hardest: nobody was to find more.
    """
    maximise = histories[0].maximise if histories else True
    if given:
        told = dict.fromkeys(sorted(set(given), reverse=not maximise), "given")
        spread = list(told)
    else:
        told, spread = {}, targets.spread_from_random(histories)
        for many, value in targets.from_random(histories).items():
            told.setdefault(value, f"one random configuration in {many}")
    if stop is None:
        return told, spread
    within = {t: o for t, o in told.items() if targets.is_within(t, stop, maximise=maximise)}
    kept = {*(t for t in spread if targets.is_within(t, stop, maximise=maximise)), stop}
    return {**within, stop: "the budget's target, which ended the runs"}, sorted(kept)


def _method(
    name: str,
    histories: Sequence[History],
    finished_runs: Sequence[RunResult],
    judged: Judged,
    area_range: tuple[float, float] | None,
    result: SuiteResult,
) -> MethodSummary:
    runs = [run for run in finished_runs if run.method == name]
    states = [history.state for history in histories]
    finished = [history for history in histories if history.is_finished]
    maximise, endpoint = histories[0].maximise, result.endpoint.measure
    return replace(
        _summed_up(name, runs, judged.worst, states, endpoint, maximise),
        gap=_gap(runs, endpoint, result.metric, maximise),
        area=_area(finished, area_range, judged.worst.get("validation")),
        overtuning=overtuning(finished, _unseen(endpoint)),
        budget_factor=max(budget_factor(history) for history in histories),
    )


def _summed_up(
    name: str,
    runs: Sequence[RunResult],
    worst: Mapping[str, float],
    states: Sequence[str],
    endpoint: str,
    maximise: bool,
) -> MethodSummary:
    found = {
        measure: list(
            scores(runs, measure, worst.get(measure), maximise=maximise)
            .values.get(name, {})
            .values()
        )
        for measure in {"validation", "test", endpoint}
    }
    return MethodSummary(
        name=name,
        means=of_method(name, runs, endpoint) if runs else None,
        endpoint=estimate(found[endpoint]),
        quartiles=_quartiles(found[endpoint]),
        validation=estimate(found["validation"]),
        test=estimate(found["test"]),
        states={state: states.count(state) for state in sorted(set(states))},
        confirmed=baselines.confirmed(runs, maximise=maximise),
    )


def _gap(runs: Sequence[RunResult], endpoint: str, metric: str, maximise: bool) -> Estimate | None:
    """By how much validation is better than what the search did not see."""
    unseen = "test" if endpoint == "validation" else endpoint
    if not is_comparable("validation", unseen, metric):
        return None
    sign = 1 if maximise else -1
    pairs = [(run.validation, getattr(run, unseen)) for run in runs]
    return estimate([sign * (v - u) for v, u in pairs if v is not None and u is not None])


def _area(
    histories: Sequence[History], span: tuple[float, float] | None, worst: float | None
) -> Estimate | None:
    """Mean incumbent over the part of the budget that all runs have in common."""
    if span is None:
        return None
    areas = [
        worst if run.incumbent is None else curves.mean_incumbent(run, targets.AXIS, *span)
        for run in histories
    ]
    return estimate([area for area in areas if area is not None])


def _quartiles(values: Sequence[float]) -> tuple[float, float, float] | None:
    if not values:
        return None
    low, median, high = map(float, np.quantile(values, [0.25, 0.5, 0.75]))
    return low, median, high
