"""How the runs of suites stand: read from the storage alone, from any machine, at any time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpo_bench.running.runs import Run, Status, runs_of
from hpo_bench.running.studies import observe
from hpo_bench.storage import records
from hpo_bench.storage.leases import Lease, leases
from hpo_bench.storage.opening import open_existing
from hpo_bench.storage.rows import UnsoundError
from hpo_bench.suite import Suite


@dataclass(frozen=True)
class Standing:
    """A run, what it has come to, and who works on it."""

    run: Run
    status: Status | None
    """None if it has not been begun."""
    lease: Lease | None
    """None if nobody has ever worked on it; that of the confirmation once it is finished."""
    fault: UnsoundError | None = None
    """Why it cannot be said how it stands; None if it can."""

    @property
    def state(self) -> str:
        """Where it is in its life, in a few words."""
        if self.fault is not None:
            return str(self.fault)
        at_work = ""
        if self.lease is not None and not self.lease.is_free:
            at_work = f"{self.lease.owner}, sign of life {max(0.0, self.lease.age):.0f} s ago"
        if self.status is not None and self.status.finished:
            ended = f"finished ({self.status.finished})"
            return f"{ended}, confirmed by {at_work}" if at_work else ended
        if at_work:
            return at_work
        return "not begun" if self.status is None else "free to go on with"


def standing(suites: Sequence[Suite]) -> list[Standing]:
    """Say how every run of suites stands; all are in one storage.

    Raises:
        InputError: The storage is not there.
    """
    storage = open_existing(suites[0].storage)
    held = leases(storage)
    found = []
    for run in (run for suite in suites for run in runs_of(suite, Path())):
        status, name = None, run.study_name
        try:
            status = observe(run, storage)
        except UnsoundError as error:
            found.append(Standing(run, None, held.get(name), error))
            continue
        if status is not None and status.finished:
            name = records.confirmation_name(name)
        found.append(Standing(run, status, held.get(name)))
    return found
