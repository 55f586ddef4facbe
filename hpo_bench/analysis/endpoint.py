"""The primary endpoint: the value of a run's winner that all verdicts use.

It is declared before the first run (`endpoint` in a suite) and recorded with each, so that nobody
chooses among several measures the one by which a method looks best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpo_bench.analysis.stored import Stored
from hpo_bench.storage.records import CREATED, ENDPOINT, ENDPOINTS


@dataclass(frozen=True)
class Endpoint:
    """What verdicts of a suite use."""

    measure: str
    """One of `analysis.measures.MEASURES`."""
    is_declared: bool
    """Whether its runs say so; those of earlier versions say nothing."""
    is_unanimous: bool = True
    """Whether all of its runs say the same."""

    @property
    def name(self) -> str:
        """As a suite's file has it."""
        return next(name for name, measure in ENDPOINTS.items() if measure == self.measure)


def endpoint_of(studies: Sequence[Stored], runs: Sequence[object]) -> Endpoint:
    """Give the endpoint of a suite: what the run says that was begun first.

    Where none says anything, it is the measure that all runs have which flatters a search least.

    Args:
        studies: Of its runs.
        runs: What they have found: a `RunResult` of each.
    """
    told = [study.attributes for study in studies if study.attributes.get(ENDPOINT)]
    if not told:
        return Endpoint(fairest(runs), is_declared=False)
    first = min(told, key=lambda attributes: attributes.get(CREATED) or "")
    names = {attributes[ENDPOINT] for attributes in told}
    return Endpoint(ENDPOINTS[first[ENDPOINT]], is_declared=True, is_unanimous=len(names) == 1)


def fairest(runs: Sequence[object]) -> str:
    """Name the measure of all runs that found something which flatters a search least.

    Validation is the last of all: a search is chosen by it, and a baseline is not.
    """
    found = [run for run in runs if _has(run, "validation")]
    measures = (m for m in ENDPOINTS.values() if all(_has(run, m) for run in found))
    return next(measures) if found else "validation"


def _has(run: object, measure: str) -> bool:
    return getattr(run, measure) is not None
