"""What a search must beat, and what is left of what it found when it is trained again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from hpo_bench.analysis.comparisons import Comparison, adjusted, compare, gains
from hpo_bench.analysis.intervals import Estimate, estimate
from hpo_bench.analysis.means import mean as mean_of
from hpo_bench.analysis.measures import is_maximised
from hpo_bench.analysis.results import DEFAULT, RunResult

_OF_DEFAULT = {
    "confirmed_test": "test",
    "test": "test",
    "confirmed": "validation",
    "validation": "validation",
}
"""Measure of a run -> that of the default which it can be compared with; the fairest first."""


@dataclass(frozen=True)
class Again:
    """One measure of incumbents that were trained again."""

    mean: Estimate
    """Over runs, of the means of each run's trainings."""
    gap: Estimate | None
    """By how much the run's own value flatters: above 0, training again gave worse."""
    spread: float | None
    """Standard deviation between the trainings of one incumbent, pooled over runs."""


@dataclass(frozen=True)
class Confirmed:
    """A method's incumbents, trained again."""

    trainings: int
    validation: Again
    test: Again | None


def confirmed(runs: Sequence[RunResult], *, maximise: bool) -> Confirmed | None:
    """Sum up the finished runs of a method; None if none was trained again."""
    validation = _again(
        [(r.validation, r.confirmed, r.confirmed_deviation) for r in runs], 1 if maximise else -1
    )
    test = _again([(r.test, r.confirmed_test, r.confirmed_test_deviation) for r in runs], 1)
    if validation is None:
        return None
    return Confirmed(sum(run.confirmations for run in runs), validation, test)


def against(
    rivals: Sequence[str],
    larger: Sequence[str],
    runs: Sequence[RunResult],
    defaults: Sequence[RunResult],
    *,
    maximise: bool,
) -> tuple[str, list[Comparison]]:
    """Compare every method with every baseline, by the fairest measure of all that was found.

    Args:
        rivals: Methods that have the suite's budget.
        larger: Those that have more.
        runs: All that are finished.
        defaults: The objective's default, by seed.
        maximise: Whether more is better.

    Returns:
        The measure, and the comparisons, adjusted together; none if there is no baseline.
    """
    found = [run for run in runs if run.validation is not None]
    measure = next(
        (m for m in _OF_DEFAULT if found and all(getattr(run, m) is not None for run in found)),
        "validation",
    )
    is_more_better = is_maximised(measure, maximise=maximise)

    def values(of: Sequence[RunResult], name: str, by: str) -> dict[int, float]:
        measured = {run.seed: getattr(run, by) for run in of if run.method == name}
        return {seed: value for seed, value in measured.items() if value is not None}

    baselines = {
        DEFAULT: values(defaults, DEFAULT, _OF_DEFAULT[measure]),
        **{name: values(found, name, measure) for name in larger},
    }
    made = [
        (name, baseline, gains(values(found, name, measure), told, maximise=is_more_better))
        for baseline, told in baselines.items()
        for name in rivals
    ]
    return measure, adjusted([compare(a, b, gain) for a, b, gain in made if gain.size])


def _again(
    found: Sequence[tuple[float | None, float | None, float | None]], sign: int
) -> Again | None:
    mean = estimate([again for _, again, _ in found if again is not None])
    if mean is None:
        return None
    gaps = [
        sign * (own - again) for own, again, _ in found if own is not None and again is not None
    ]
    variances = [deviation * deviation for *_, deviation in found if deviation is not None]
    return Again(mean, estimate(gaps), sqrt(mean_of(variances)) if variances else None)
