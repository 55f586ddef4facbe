"""What a report says of a suite, section by section, in no format yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from hpo_bench.analysis.baselines import Again
from hpo_bench.analysis.comparisons import ALPHA, BETTER, WORSE, Comparison
from hpo_bench.analysis.history import AXES, History, by_method
from hpo_bench.analysis.intervals import MIN_SEEDS, TOO_FEW, Estimate
from hpo_bench.analysis.ranks import Ranking
from hpo_bench.analysis.results import DEFAULT, RunResult
from hpo_bench.analysis.summary import MethodSummary, Summary, measure_name
from hpo_bench.analysis.targets import Reached
from hpo_bench.report import figures, space
from hpo_bench.report.parts import (
    NOTHING,
    Code,
    Figure,
    Part,
    Section,
    Table,
    count,
    interval,
    number,
    probability,
    seconds,
    several,
)
from hpo_bench.report.repeat import command, suite_file, to_toml
from hpo_bench.report.table import data_note, failed_again, larger_budget

NO_RANKS = (
    "Ranks and critical differences are left out: they need several objectives, and how methods "
    "rank over the seeds of one says nothing about others."
)

_DEFINITION = (
    "suite",
    "method",
    "seed",
    "created",
    "finished",
    "run_id",
    "method_options",
    "pruner",
    "pruner_options",
    "search_space",
    "objective",
    "objective_options",
    "budget",
    "direction",
    "fixed",
)
"""Attributes of a study that stand elsewhere in a report than in its manifest."""


def sections(summary: Summary, storage: str) -> list[Section]:
    """All that is said of one suite.

    Args:
        summary: What was found.
        storage: Where it was read, without a password.
    """
    made = [
        _results(summary),
        _anytime(summary, AXES),
        _targets(summary),
        Section("Differences between methods", [*_tests(summary), NO_RANKS]),
        _validation_and_test(summary),
        _trained_again(summary),
        _times(summary),
        _space(summary),
        _methods(summary),
        _runs(summary),
        _manifest(summary, storage),
    ]
    return [section for section in made if section.parts]


def brief(summary: Summary) -> list[Section]:
    """What is said of one suite among several; the rest is in its own report."""
    made = [
        _results(summary),
        _anytime(summary, ("epochs", "wall_seconds")),
        _targets(summary),
        Section("Differences between methods", _tests(summary)),
        _trained_again(summary),
        _times(summary),
    ]
    return [section for section in made if section.parts]


def across(summaries: Sequence[Summary], ranking: Ranking) -> Section:
    """What several suites say together."""
    friedman = (
        "Two methods: Friedman's test needs three."
        if ranking.p is None
        else f"Friedman's test that all methods rank alike: p = {probability(ranking.p)}."
    )
    names = ", ".join(summary.suite for summary in summaries)
    table = Table(
        ["method", "mean rank"],
        [
            [method, f"{rank:.2f}"]
            for method, rank in zip(ranking.methods, ranking.mean_ranks, strict=True)
        ],
        f"Mean ranks over {ranking.objectives} objectives ({names}), by mean validation value; "
        f"critical difference (Nemenyi, {ALPHA:.0%}): {ranking.critical_difference:.2f}.",
    )
    note = (
        "Search spaces, validation and test, single runs and what repeats them are in the report "
        "of each suite alone."
    )
    shown = [*ranking.methods, *_baselines_of_all(summaries)]
    means = Table(
        ["objective", *shown],
        [_means(summary, shown) for summary in summaries],
        "Mean validation value with its 95% interval; less is better where it is minimised (min). "
        "Baselines, which have no rank, stand last.",
    )
    differing = "; ".join(f"{better} before {worse}" for better, worse in ranking.differing)
    told = (
        f"Differ by Nemenyi's test: {differing}." if differing else "No two methods differ by rank."
    )
    parts: list[Part] = [f"{friedman} {told}", table, figures.ranks(ranking), means, note]
    return Section("Across objectives", parts)


def _with_default(summary: Summary) -> list[MethodSummary]:
    return summary.methods if summary.default is None else [*summary.methods, summary.default]


def _baselines_of_all(summaries: Sequence[Summary]) -> list[str]:
    """Name the baselines that every suite has."""
    return [
        method.name
        for method in _with_default(summaries[0])
        if (method.budget_factor > 1 or method.name == DEFAULT)
        and all(method.name in {m.name for m in _with_default(s)} for s in summaries)
    ]


def _means(summary: Summary, methods: Sequence[str]) -> list[str]:
    found = {method.name: interval(method.validation) for method in _with_default(summary)}
    name = summary.suite if summary.maximise else f"{summary.suite} (min)"
    return [name, *(found[method] for method in methods)]


def results_table(summary: Summary) -> Table:
    """The table that stands first."""
    methods = _with_default(summary)
    has_test = any(method.test for method in methods)
    columns: list[tuple[str, Callable[[MethodSummary], str]]] = [
        ("method", lambda m: m.name),
        ("runs", _states),
        (f"{summary.metric} [95%]", lambda m: interval(m.validation)),
        ("median (quartiles)", _quartiles),
        *([("test accuracy [95%]", lambda m: interval(m.test))] if has_test else []),
        *_confirmed_columns(methods),
        ("mean incumbent [95%]", lambda m: interval(m.area)),
        ("configs", lambda m: count(m.means.configurations) if m.means else NOTHING),
        ("evals", lambda m: count(m.means.evaluations) if m.means else NOTHING),
        ("epochs", lambda m: count(m.means.epochs) if m.means else NOTHING),
        ("wall s", lambda m: seconds(m.means.wall_seconds) if m.means else NOTHING),
    ]
    caption = (
        "Of each run's incumbent, chosen by validation; means over runs with 95% BCa bootstrap "
        f"intervals, [–] where fewer than {MIN_SEEDS} runs are too few to say. Counts and times "
        "are means per run."
    )
    if summary.area_range is not None:
        start, stop = summary.area_range
        caption += (
            " Mean incumbent: area under the anytime curve, from "
            f"{start:.3g} to {stop:.3g} full evaluations' worth of epochs, divided by that width."
        )
    if summary.default is not None:
        caption += f" {DEFAULT}: the objective's default configuration, trained once by each seed."
    for method in summary.methods:
        if method.budget_factor > 1:
            caption += f" {larger_budget(method.name, method.budget_factor)}"
    rows = [[show(method) for _, show in columns] for method in methods]
    return Table([heading for heading, _ in columns], rows, caption)


def _confirmed_columns(
    methods: Sequence[MethodSummary],
) -> list[tuple[str, Callable[[MethodSummary], str]]]:
    """Show what is left of the incumbents when they are trained again, where they were."""
    if not any(method.confirmed for method in methods):
        return []
    if any(method.confirmed and method.confirmed.test for method in methods):
        return [("confirmed test [95%]", lambda m: _again(m.confirmed and m.confirmed.test))]
    return [("confirmed [95%]", lambda m: _again(m.confirmed and m.confirmed.validation))]


def _again(found: Again | None) -> str:
    return interval(found.mean) if found else NOTHING


def pairs_table(comparisons: Sequence[Comparison], measure: str, rope: float | None) -> Table:
    """Every pair of methods on one measure."""
    has_rope = any(c.rope is not None for c in comparisons)
    headings = ["pair", "seeds", "advantage [95%]", "p", "p (Holm)", "effect"]
    bayes = ["P(better)", "P(equivalent)", "P(worse)"] if has_rope else []
    rows = [
        [
            f"{c.first} over {c.second}",
            str(c.gain.n),
            interval(c.gain),
            probability(c.p),
            probability(c.adjusted_p),
            f"{c.effect:+.2f}",
            *_rope_cells(c, has_rope),
            c.verdict,
        ]
        for c in comparisons
    ]
    caption = (
        f"By {measure}, paired by seed; above 0 the first is better. p: Wilcoxon's signed-rank "
        "test, two-sided; effect: matched-pairs rank-biserial correlation. The verdict, of the "
        f"first, is at the {ALPHA:.0%} level after Holm."
    )
    if has_rope:
        caption += f" P: Bayesian signed-rank test, equivalent within ±{rope:g}."
    return Table([*headings, *bayes, "verdict"], rows, caption)


def _results(summary: Summary) -> Section:
    parts: list[Part] = [*_warnings(summary), verdict(summary), results_table(summary)]
    twice = summary.random_twice
    if twice is not None:
        parts.append(
            "To measure against: random search at twice the budget, as the better of two of its "
            f"runs, finds {interval(twice)} ({several(twice.n, 'pair')})."
        )
    if summary.data:
        parts.append(data_note(summary.data))
    return Section("Results", [*parts, *_drawn(figures.finals(summary))])


def _warnings(summary: Summary) -> list[Part]:
    states = [history.state for history in summary.histories]
    told = [
        f"{states.count(state)} {meaning}"
        for state, meaning in (
            ("partial", "not finished yet"),
            ("failed", "stopped after failures"),
            ("empty", "without any evaluation"),
        )
        if state in states
    ]
    found: list[Part] = []
    if told:
        finished = states.count("finished")
        found.append(
            f"Incomplete: of {several(len(states), 'run')}, {', '.join(told)}. Statistics are of "
            f"the {finished} finished."
        )
    failures = sum(run.failed for run in summary.runs)
    if failures:
        found.append(
            f"{several(failures, 'evaluation')} failed: paid for from the budget, without a value."
        )
    return found


def verdict(summary: Summary) -> str:
    """The answer in a sentence or two."""
    comparisons = summary.comparisons.get("validation", [])
    different = [c for c in comparisons if c.verdict in (BETTER, WORSE)]
    rivals = [method for method in summary.methods if method.budget_factor == 1]
    best = next((method for method in rivals if method.validation), None)
    if best is None:
        return "No finished run has found anything yet."
    told = f"Best mean {summary.metric}: {best.name}, {interval(best.validation)}."
    if not comparisons:
        return told
    if all(c.verdict == TOO_FEW for c in comparisons):
        return f"{told} Whether methods differ: {TOO_FEW}."
    if not different:
        return f"{told} No two methods are shown to differ."
    beaten: dict[str, list[str]] = {method.name: [] for method in rivals}
    for c in different:
        better, worse = (c.first, c.second) if c.verdict == BETTER else (c.second, c.first)
        beaten[better].append(worse)
    pairs = "; ".join(f"{a} over {', '.join(others)}" for a, others in beaten.items() if others)
    return f"{told} Shown to differ: {pairs}."


def _anytime(summary: Summary, axes: Iterable[str]) -> Section:
    drawn = figures.curves(summary, axes)
    if not drawn:
        return Section("Anytime curves")
    note = (
        "How good the best configuration is by the time that something has been spent: median over "
        "runs, band between the quartiles. A curve begins where every run of the method has an "
        "incumbent; a run that has ended keeps its own."
    )
    return Section("Anytime curves", [note, *drawn])


def _targets(summary: Summary) -> Section:
    if not summary.targets:
        note = (
            "No targets: the suite has no random search with two full evaluations to take them "
            "from, and none were given (--targets)."
        )
        return Section("Targets", [note])
    by_method: dict[str, list[Reached]] = {}
    for found in summary.reached:
        by_method.setdefault(found.method, []).append(found)
    table = Table(
        ["method", *(number(target) for target in summary.targets)],
        [[method, *map(_reached, found)] for method, found in by_method.items()],
        "Expected running time to each target, in full evaluations' worth of epochs: all that was "
        "spent until the target or the end, divided by the runs that reached it. In brackets the "
        "runs that did, and the 95% interval (Wilson) of that share.",
    )
    where = "; ".join(f"{number(t)}: {origin}" for t, origin in summary.targets.items())
    return Section(
        "Targets", [f"Targets: {where}.", table, *_drawn(figures.distributions(summary))]
    )


def _reached(found: Reached) -> str:
    cost = "never" if found.expected is None else f"{found.expected:.1f}"
    rate = f"{found.successes}/{found.runs}"
    if found.low is None or found.high is None:
        return f"{cost} ({rate})"
    return f"{cost} ({rate}: {found.low:.0%}–{found.high:.0%})"


def _tests(summary: Summary) -> list[Part]:
    parts: list[Part] = []
    for measure, comparisons in summary.comparisons.items():
        if comparisons:
            name = measure_name(measure, summary.metric)
            parts.append(pairs_table(comparisons, name, summary.rope))
            parts.append(figures.differences(comparisons, name))
    if summary.against:
        parts += _against(summary)
    if not summary.comparisons:
        parts.append("No two methods have a seed in common: nothing to compare.")
    return parts


def _against(summary: Summary) -> list[Part]:
    name = measure_name(summary.against_by, summary.metric)
    table = pairs_table(summary.against, name, None)
    chosen = (
        " What a search found was chosen by this very measure, and the default was not: its "
        "advantage is flattered."
        if summary.against_by == "validation" and summary.default is not None
        else ""
    )
    caption = f"Against baselines, adjusted for these comparisons. {table.caption}{chosen}"
    return [replace(table, caption=caption)]


def _trained_again(summary: Summary) -> Section:
    rows = [
        [f"{method.name}, {name}", str(method.confirmed.trainings), *_again_cells(own, again)]
        for method in summary.methods
        if method.confirmed is not None
        for name, own, again in (
            (summary.metric, method.validation, method.confirmed.validation),
            ("test accuracy", method.test, method.confirmed.test),
        )
        if again is not None
    ]
    failed = sum(run.unconfirmed for run in summary.runs)
    told: list[Part] = [failed_again(failed)] if failed else []
    if not rows:
        return Section("Trained again", told)
    caption = (
        "Incumbents trained again by seeds that no run has, on the same split, outside of the "
        "budget. Found: by the run; confirmed: mean over runs of the means of each one's "
        "trainings; gap: found less confirmed (turned round where less is better), by which "
        "having been chosen flatters; spread: standard deviation between trainings of one "
        "configuration, pooled over runs."
    )
    headings = ["method", "trainings", "found [95%]", "confirmed [95%]", "gap [95%]", "spread"]
    return Section("Trained again", [*told, Table(headings, rows, caption)])


def _again_cells(own: Estimate | None, again: Again) -> list[str]:
    return [interval(own), interval(again.mean), interval(again.gap), number(again.spread)]


def _validation_and_test(summary: Summary) -> Section:
    picture = figures.validation_and_test(summary)
    if picture is None:
        return Section("Validation and test")
    if not any(method.gap for method in summary.methods):
        return Section("Validation and test", [picture])
    table = Table(
        ["method", summary.metric, "test accuracy", "gap"],
        [
            [m.name, interval(m.validation), interval(m.test), interval(m.gap)]
            for m in summary.methods
        ],
        "Gap: mean of validation less test, by which the choice by validation flatters its winner "
        "(overtuning) if the images are alike.",
        wide=False,
    )
    return Section("Validation and test", [table, picture])


def _times(summary: Summary) -> Section:
    parts = figures.time_parts(summary)
    rows = [
        [
            method.name,
            seconds(method.means.wall_seconds),
            *map(seconds, parts[method.name]),
            seconds(1000 * method.means.sampler_seconds / max(1.0, method.means.evaluations)),
        ]
        for method in summary.methods
        if method.means is not None
    ]
    if not rows:
        return Section("Where the time goes")
    headings = ["method", "wall s", *(f"{part} s" for part in figures.TIME_PARTS)]
    table = Table(
        [*headings, "sampler ms per evaluation"],
        rows,
        "Means per run. Sampler: the method's own work, asked and told; storage: in the database, "
        "whoever asked; harness: all else, and with several workers in a run also their waiting.",
    )
    told = [table, *_parallelism(summary), *_drawn(figures.times(summary))]
    return Section("Where the time goes", told)


def _parallelism(summary: Summary) -> list[Part]:
    """Say what several workers within a run were worth."""
    rows = []
    for method in summary.methods:
        runs = [run for run in summary.finished(method.name) if run.workers > 1]
        if runs:
            speed_up = fmean(run.train_seconds / run.wall_seconds for run in runs)
            efficiency = fmean(run.train_seconds / run.wall_seconds / run.workers for run in runs)
            workers = " or ".join(map(str, sorted({run.workers for run in runs})))
            rows.append([method.name, workers, f"{speed_up:.2f}", f"{efficiency:.0%}"])
    caption = (
        "Several workers within a run. Speed-up: seconds of training for each second on the wall, "
        "means over runs; efficiency: the same for each worker."
    )
    headings = ["method", "workers", "speed-up", "efficiency"]
    return [Table(headings, rows, caption, wide=False)] if rows else []


def _space(summary: Summary) -> Section:
    parts: list[Part] = []
    if summary.importances is not None:
        rows = [[name, f"{share:.3f}"] for name, share in summary.importances.shares.items()]
        parts.append(Table(["hyperparameter", "importance"], rows, wide=False))
    parts += _drawn(space.importances(summary), space.parallel_coordinates(summary))
    slices = space.slices(summary)
    left_out = len(space.searched(summary)) - len(slices)
    if slices and left_out:
        parts.append(f"Slices of the {len(slices)} most important; {left_out} more are not drawn.")
    return Section("Search space", [*parts, *slices])


def _methods(summary: Summary) -> Section:
    rows = []
    for name, histories in by_method(summary.histories).items():
        told = next((h.attributes for h in histories if h.attributes), {})
        rows.append(
            [
                name,
                str(told.get("method", NOTHING)),
                _options(told.get("method_options")),
                str(told.get("pruner") or NOTHING),
                _options(told.get("pruner_options")),
            ]
        )
    headings = ["method", "made by", "options", "pruner", "its options"]
    caption = "Options that are not given have their defaults."
    return Section("Methods", [Table(headings, rows, caption, is_text=True)])


def _options(options: dict[str, Any] | None) -> str:
    return ", ".join(f"{k} = {to_toml(v)}" for k, v in options.items()) if options else NOTHING


def _runs(summary: Summary) -> Section:
    found = {(run.method, run.seed): run for run in summary.runs}
    is_confirmed = any(run.confirmations for run in summary.runs)
    rows = []
    for history in summary.histories:
        run = found[history.method, history.seed]
        rows.append(
            [
                f"{history.method} / {history.seed}",
                history.state,
                history.reason or NOTHING,
                number(run.validation),
                number(run.test),
                *(_confirmed_cells(run) if is_confirmed else []),
                str(run.evaluations),
                str(run.epochs),
                seconds(run.wall_seconds),
                _configuration(run.incumbent),
            ]
        )
    again = ["confirmed", "confirmed test"] if is_confirmed else []
    headings = ["run", "state", "because", summary.metric, "test", *again]
    headings += ["evals", "epochs", "wall s", "incumbent"]
    table = Table(headings, rows, folded=several(len(rows), "run"), is_text=True)
    return Section("Runs", [table])


def _confirmed_cells(run: RunResult) -> list[str]:
    """Mean and standard deviation of a run's incumbent trained again."""
    found = (
        (run.confirmed, run.confirmed_deviation),
        (run.confirmed_test, run.confirmed_test_deviation),
    )
    return [
        number(mean) if deviation is None else f"{number(mean)} ± {number(deviation)}"
        for mean, deviation in found
    ]


def _configuration(configuration: dict[str, Any]) -> str:
    shown = (
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in configuration.items()
    )
    return ", ".join(shown) or NOTHING


def _manifest(summary: Summary, storage: str) -> Section:
    confirm = max((run.confirmations for run in summary.runs), default=0)
    text = suite_file(summary.suite, summary.histories, confirm=confirm)
    parts: list[Part] = []
    if text is not None:
        parts += [
            f"To repeat it, save what follows, which is from what the studies say, as "
            f"{summary.suite}.toml, and run:",
            Code(command(summary.suite, storage), "sh"),
            Code(text, "toml"),
        ]
    rows = [[name, value] for name, value in _made_with(summary.histories).items()]
    if rows:
        folded = "Versions, machine, data"
        parts.append(Table(["made with", ""], rows, folded=folded, is_text=True))
    return Section("Manifest", parts)


def _made_with(histories: Sequence[History]) -> dict[str, str]:
    """What the studies say of their making; where they do not agree, everything that they say."""
    values: dict[str, dict[str, None]] = {}
    for history in histories:
        for name, value in history.attributes.items():
            if name not in _DEFINITION:
                values.setdefault(name, {})[str(value)] = None
    return {name: " | ".join(found) for name, found in values.items()}


def _states(method: MethodSummary) -> str:
    n = sum(method.states.values())
    others = [f"{k} {state}" for state, k in method.states.items() if state != "finished"]
    return f"{n} ({', '.join(others)})" if others else str(n)


def _quartiles(method: MethodSummary) -> str:
    if method.quartiles is None:
        return NOTHING
    low, median, high = map(number, method.quartiles)
    return f"{median} ({low}, {high})"


def _rope_cells(comparison: Comparison, has_rope: bool) -> list[str]:
    if not has_rope:
        return []
    found = comparison.rope
    if found is None:
        return [NOTHING] * 3
    return [f"{p:.2f}" for p in (found.better, found.equivalent, found.worse)]


def _drawn(*pictures: Figure | None) -> list[Part]:
    return [picture for picture in pictures if picture is not None]
