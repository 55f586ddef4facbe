"""The verdicts of a suite: which methods differ, by each measure, and what they are worth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hpo_bench.analysis import baselines, targets
from hpo_bench.analysis.comparisons import Comparison, all_pairs
from hpo_bench.analysis.history import History, budget_factor
from hpo_bench.analysis.means import mean
from hpo_bench.analysis.measures import MEASURES, RUNNING_TIME, along_the_way
from hpo_bench.analysis.results import RunResult
from hpo_bench.analysis.rope import Rope, rope_of
from hpo_bench.analysis.saturation import at_ceiling
from hpo_bench.analysis.scores import Scores, scores, worst_of


@dataclass(frozen=True)
class Judged:
    """What `Summary` says of differences; its fields have the same names there."""

    stop: float | None
    worst: dict[str, float]
    comparisons: dict[str, list[Comparison]]
    ropes: dict[str, Rope]
    against: list[Comparison]
    baseline_scores: dict[str, Scores]
    scores: dict[str, Scores]
    at_ceiling: list[str]


def judge_suite(
    runs: Sequence[RunResult],
    fixed: Sequence[RunResult],
    histories: Sequence[History],
    endpoint: str,
    rope: float | None,
) -> Judged:
    """Compare all methods of a suite.

    Args:
        runs: Finished runs.
        fixed: Of baselines that are a configuration, by seed.
        histories: Of the finished runs.
        endpoint: The measure by which methods are placed and compared with baselines.
        rope: Half the width of the region of practical equivalence, if it was given.
    """
    maximise = histories[0].maximise if histories else True
    factors = {history.method: budget_factor(history) for history in histories}
    worst = _worst([*runs, *fixed], histories, endpoint, maximise)
    found = {m: scores(runs, m, worst[m], maximise=maximise) for m in worst}
    placed = _best_first(factors, found.get(endpoint))
    larger = [name for name in placed if factors[name] > 1]
    rivals = [name for name in placed if factors[name] == 1]
    baseline = {
        m: scores(fixed, along_the_way(m), value, maximise=maximise) for m, value in worst.items()
    }
    ropes = {measure: rope_of(found[measure], baseline[measure], rope) for measure in worst}
    stop = targets.stopped_at(histories)
    against: list[Comparison] = []
    if stop is None and endpoint in found:
        half = ropes[endpoint].half
        against = baselines.against(found[endpoint], rivals, larger, baseline[endpoint], half)
    values = _of(found["validation"], rivals) if "validation" in found else {}
    return Judged(
        stop=stop,
        worst=worst,
        comparisons=_by_measure(found, rivals, ropes)
        if stop is None
        else _by_running_time(histories, rivals, stop),
        ropes=ropes,
        against=against,
        baseline_scores=baseline,
        scores=found,
        # Where a target ended the runs, to be level is what they were asked for.
        at_ceiling=[] if stop is not None else at_ceiling(values, maximise=maximise),
    )


def _best_first(methods: Iterable[str], found: Scores | None) -> list[str]:
    means = {name: mean(list(v.values())) for name, v in found.values.items() if v} if found else {}
    sign = -1 if found is not None and found.maximise else 1
    return sorted(methods, key=lambda name: (name not in means, sign * means.get(name, 0.0), name))


def _worst(
    runs: Sequence[RunResult], histories: Sequence[History], endpoint: str, maximise: bool
) -> dict[str, float]:
    """Give the worst value by each measure, the endpoint first; no entry for what none has."""
    measured = [m for m in MEASURES if any(getattr(run, m) is not None for run in runs)]
    for less, more in (("confirmed", "confirmed_test"), ("held_out", "held_out_test")):
        # Every table is one more to read, and by test it says more.
        if more in measured and less in measured and less != endpoint:
            measured.remove(less)
    measured.sort(key=lambda measure: measure != endpoint)
    worst = {m: worst_of(runs, histories, m, maximise=maximise) for m in measured}
    return {measure: value for measure, value in worst.items() if value is not None}


def _by_measure(
    found: dict[str, Scores], rivals: Sequence[str], ropes: dict[str, Rope]
) -> dict[str, list[Comparison]]:
    return {
        measure: all_pairs(_of(s, rivals), maximise=s.maximise, rope=ropes[measure].half)
        for measure, s in found.items()
    }


def _by_running_time(
    histories: Sequence[History], rivals: Sequence[str], stop: float
) -> dict[str, list[Comparison]]:
    times = targets.running_times([h for h in histories if h.method in rivals], stop)
    fastest_first = dict(sorted(times.items(), key=lambda pair: mean(list(pair[1].values()))))
    return {RUNNING_TIME: all_pairs(fastest_first, maximise=False)}


def _of(found: Scores, methods: Sequence[str]) -> dict[str, dict[int, float]]:
    return {name: found.values[name] for name in methods if name in found.values}
