"""What a report says of a suite, section by section, in no format yet."""

from __future__ import annotations

from hpo_bench.analysis.history import AXES
from hpo_bench.analysis.summary import Summary
from hpo_bench.report.parts import Section
from hpo_bench.report.sections import (
    costs,
    differences,
    failures,
    progress,
    results,
    selection,
    setup,
)


def sections(summary: Summary, storage: str) -> list[Section]:
    """All that is said of one suite.

    Args:
        summary: What was found.
        storage: Where it was read, without a password.
    """
    made = [
        results.overview(summary),
        results.left_out(summary),
        progress.anytime(summary, AXES),
        progress.targets(summary),
        Section("Differences between methods", [*differences.tests(summary), differences.NO_RANKS]),
        selection.validation_and_test(summary),
        selection.trained_again(summary),
        costs.times(summary),
        failures.failures(summary),
        setup.search_space(summary),
        setup.methods(summary),
        setup.runs(summary),
        setup.manifest(summary, storage),
    ]
    return [section for section in made if section.parts]


def brief(summary: Summary) -> list[Section]:
    """What is said of one suite among several; the rest is in its own report."""
    made = [
        results.overview(summary),
        results.left_out(summary),
        progress.anytime(summary, ("epochs", "wall_seconds")),
        progress.targets(summary),
        Section("Differences between methods", differences.tests(summary)),
        selection.trained_again(summary),
        costs.times(summary),
    ]
    return [section for section in made if section.parts]
