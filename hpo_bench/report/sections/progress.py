"""How good the incumbents were by the time that something had been spent."""

from __future__ import annotations

from collections.abc import Iterable

from hpo_bench.analysis.summary import Summary
from hpo_bench.analysis.targets import Reached
from hpo_bench.numbers import number
from hpo_bench.report import figures
from hpo_bench.report.parts import Section, Table, drawn


def anytime(summary: Summary, axes: Iterable[str]) -> Section:
    """Curves of the incumbent, one picture for each of the axes."""
    curves = figures.curves(summary, axes)
    if not curves:
        return Section("Anytime curves")
    note = (
        "How good the best configuration is by the time that something has been spent (on a "
        "logarithmic scale): median over runs, band between the quartiles. A curve begins where "
        "every run of the method that finds anything has an incumbent; a run that has ended keeps "
        "its own, and one that found nothing has the worst value of any evaluation."
    )
    return Section("Anytime curves", [note, *curves])


def targets(summary: Summary) -> Section:
    """Expected running times to fixed targets."""
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
        "spent until the target or the end, divided by the runs that reached it, with its 95% "
        "interval. In brackets the runs that did, and the 95% interval (Wilson) of that share.",
    )
    where = "; ".join(f"{number(t)}: {origin}" for t, origin in summary.targets.items())
    return Section("Targets", [f"Targets: {where}.", table, *drawn(figures.distributions(summary))])


def _reached(found: Reached) -> str:
    cost = "never" if found.expected is None else f"{found.expected:.1f}"
    high = "∞" if found.expected_high is None else f"{found.expected_high:.1f}"
    cost += f" [{found.expected_low:.1f}, {high}]"
    rate = f"{found.successes}/{found.runs}"
    if found.low is None or found.high is None:
        return f"{cost} ({rate})"
    return f"{cost} ({rate}: {found.low:.0%}–{found.high:.0%})"
