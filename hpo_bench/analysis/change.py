"""Has a change made a method better or worse? The same suite, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.storages import BaseStorage

from hpo_bench.analysis.comparisons import WORSE, Comparison, Values, judge
from hpo_bench.analysis.history import History, by_method, history_of
from hpo_bench.analysis.intervals import TOO_FEW
from hpo_bench.analysis.means import mean
from hpo_bench.analysis.measures import is_maximised, measure_name
from hpo_bench.analysis.results import RunResult, results_of
from hpo_bench.analysis.scores import scores, worst_of
from hpo_bench.analysis.stored import StoredSuite, read_suite
from hpo_bench.analysis.summary import finished_of
from hpo_bench.errors import HpoBenchError
from hpo_bench.storage.rows import Fault

_SAME = (
    "objective",
    "objective_options",
    "search_space",
    "fixed",
    "direction",
    "max_fidelity",
    "budget",
    "data_sha256",
)
"""What must agree: without it, a difference says nothing of the method."""

_MAY_DIFFER = (
    "method",
    "method_options",
    "pruner",
    "pruner_options",
    "workers_per_run",
    "batch_size",
    "deterministic",
    "hpo-bench",
    "optuna",
    "numpy",
    "torch",
    "python",
    "git_commit",
    "cpu",
    "threads",
)
"""What a change may be, and is told if it differs."""


@dataclass(frozen=True)
class Change:
    """One method on one objective, before and after."""

    suite: str
    """The old one's name, which tells the objective."""
    method: str
    before: float
    """Mean over the seeds that both have."""
    after: float
    comparison: Comparison
    """Of the new runs over the old ones."""

    @property
    def verdict(self) -> str:
        """Of the new one: better, worse, no difference shown, or too few seeds to say."""
        return self.comparison.verdict


Place = tuple[BaseStorage, str]
"""A suite in a storage."""


@dataclass(frozen=True)
class Changes:
    """What became of the methods of a suite, or of several that were compared together."""

    measure: str
    """One of `analysis.measures.MEASURES`."""
    metric: str
    methods: list[Change]
    notes: list[str]
    """What must be read beside it, one sentence each."""
    left_out: list[Fault]
    """What the storages hold of the suites that is not sound."""

    @property
    def exit_status(self) -> int:
        """0: no method is worse; 1: one is, or something was left out; 3: too few seeds to say."""
        verdicts = {change.verdict for change in self.methods}
        if WORSE in verdicts or self.left_out:
            return 1
        return 3 if TOO_FEW in verdicts else 0


def compare_suites(pairs: Sequence[tuple[Place, Place]], measure: str | None = None) -> Changes:
    """Compare finished runs, method by method, paired by seed.

    Args:
        pairs: For each objective, storage and suite before the change, and after it; one at least.
        measure: One of `analysis.measures.MEASURES`; None for the endpoint of all of them.

    Raises:
        HpoBenchError: They are not of the same objective, space and budget, have no finished run
            of the same method and seed, or have different endpoints.
    """
    pairings: list[_Pairing] = []
    notes: list[str] = []
    metrics: set[str] = set()
    left_out: list[Fault] = []
    read = [(read_suite(*old), read_suite(*new)) for old, new in pairs]
    if measure is None:
        measure = _endpoint([suite for pair in read for suite in pair])
    for (old, _), (before, after) in zip(pairs, read, strict=True):
        found, told = _pair(before, after, measure)
        metrics.add(before.runs[0].metric)
        left_out += [*before.left_out, *after.left_out]
        pairings += found
        notes += told if len(pairs) == 1 else [f"{old[1]}: {note}" for note in told]
    if not pairings:
        raise HpoBenchError(
            f"nothing to compare: no method and seed has a finished run with a {measure} value in "
            "both"
        )
    # All that is judged together is judged as one family: ten objectives are ten chances to err.
    places = [(("new", "old"), (place, None)) for place in range(len(pairings))]
    judged = judge([pairing.gains for pairing in pairings], places)
    changes = [
        Change(p.suite, p.method, p.before, p.after, made)
        for p, made in zip(pairings, judged, strict=True)
    ]
    validation = metrics.pop() if len(metrics) == 1 else "validation value"
    return Changes(measure, measure_name(measure, validation), changes, notes, left_out)


def _endpoint(suites: Sequence[StoredSuite]) -> str:
    """Give the endpoint that suites share; one that was never declared gives way to one that is."""
    found = [results_of(suite).endpoint for suite in suites]
    declared = [endpoint for endpoint in found if endpoint.is_declared]
    names = sorted({endpoint.name for endpoint in declared or found})
    if len(names) > 1:
        raise HpoBenchError(
            f"their endpoints differ: {', '.join(names)}; name what to compare by (--measure)"
        )
    return (declared or found)[0].measure


@dataclass(frozen=True)
class _Pairing:
    """One method on one objective, seed by seed."""

    suite: str
    method: str
    before: float
    after: float
    gains: list[float]
    """Above 0 where the new run is better."""


def _pair(old: StoredSuite, new: StoredSuite, measure: str) -> tuple[list[_Pairing], list[str]]:
    """Pair one objective's methods by seed; and say what must be read beside them."""
    before, after = ([history_of(run) for run in suite.runs] for suite in (old, new))
    _check_comparable(before, after)
    maximise = before[0].maximise
    runs = [_finished(suite, of) for suite, of in ((old, before), (new, after))]
    ended = [history for history in (*before, *after) if history.is_finished]
    worst = worst_of([*runs[0], *runs[1]], ended, measure, maximise=maximise)
    was, now = (scores(of, measure, worst, maximise=maximise).values for of in runs)
    is_more_better = is_maximised(measure, maximise=maximise)
    made = [
        _pairing(old.name, name, was[name], now[name], is_more_better)
        for name in was
        if name in now and was[name].keys() & now[name].keys()
    ]
    return made, _notes(before, after, {pairing.method for pairing in made})


def _pairing(suite: str, method: str, was: Values, now: Values, maximise: bool) -> _Pairing:
    seeds = sorted(was.keys() & now.keys())
    sign = 1 if maximise else -1
    gains = [sign * (now[seed] - was[seed]) for seed in seeds]
    means = mean([was[seed] for seed in seeds]), mean([now[seed] for seed in seeds])
    return _Pairing(suite, method, *means, gains)


def _finished(suite: StoredSuite, histories: Sequence[History]) -> list[RunResult]:
    runs = finished_of(results_of(suite).runs, histories)
    return sorted(runs, key=lambda run: run.method)


def _check_comparable(before: Sequence[History], after: Sequence[History]) -> None:
    old, new = (by_method([run for run in runs if run.is_finished]) for runs in (before, after))
    differences: dict[str, list[str]] = {}
    for method in sorted(old.keys() & new.keys()):
        for name in _SAME:
            first, second = _told(old[method], name), _told(new[method], name)
            if len({*first, *second}) > 1:
                text = f"{name}: {_either(first)} in the old, {_either(second)} in the new"
                differences.setdefault(text, []).append(method)
    if differences:
        raise HpoBenchError(
            "these suites cannot be compared, because more than the methods differs:\n"
            + "\n".join(f"  {text} ({', '.join(of)})" for text, of in differences.items())
        )


def _told(histories: Sequence[History], name: str) -> list[str]:
    """What the runs of a method say under a name, each answer once."""
    told = (history.attributes.get(name) for history in histories if history.attributes)
    return list(dict.fromkeys(map(repr, told)))


def _either(answers: Sequence[str]) -> str:
    return " or ".join(answers) or "nothing"


def _attributes(histories: Sequence[History]) -> dict[str, object]:
    return next((history.attributes for history in histories if history.attributes), {})


def _notes(before: Sequence[History], after: Sequence[History], compared: set[str]) -> list[str]:
    old, new = by_method(before), by_method(after)
    notes = []
    for name in sorted(old.keys() | new.keys()):
        notes += _note(name, old.get(name, []), new.get(name, []), name in compared)
    return notes


def _note(
    name: str, old: Sequence[History], new: Sequence[History], is_compared: bool
) -> list[str]:
    notes = []
    if not old or not new:
        return [f"{name}: only in the {'old' if old else 'new'}."]
    if not is_compared:
        notes.append(f"{name}: no finished run of the same seed in both.")
    for which, runs in (("old", old), ("new", new)):
        unfinished = sum(not run.is_finished for run in runs)
        if unfinished:
            notes.append(f"{name}: {unfinished} of {len(runs)} {which} runs are not finished.")
    unpaired = len({run.seed for run in old} ^ {run.seed for run in new})
    if unpaired:
        notes.append(f"{name}: {unpaired} of its seeds left out, in one of the two only.")
    first, second = _attributes(old), _attributes(new)
    differences = [
        f"{key} {first.get(key)!r} → {second.get(key)!r}"
        for key in _MAY_DIFFER
        if first.get(key) != second.get(key)
    ]
    return [*notes, f"{name}: {'; '.join(differences)}."] if differences else notes
