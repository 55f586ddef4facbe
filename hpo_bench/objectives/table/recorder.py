"""An objective that is measured after every epoch, to be replayed later."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from optuna.study import StudyDirection

from hpo_bench import objectives
from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives.base import Evaluation, Objective
from hpo_bench.objectives.table.files import OWN_COLUMNS
from hpo_bench.spaces import Configuration, Space

SECONDS = "seconds"


def recorder(
    of: str,
    *,
    space: Mapping[str, Any] | str | None = None,
    seed: int = 0,
    cpu_time: bool = False,
    **options: Any,
) -> Recorder:
    """Build an objective, to be recorded.

    Args:
        of: Its name, as in a suite.
        space: Its space, as in a suite.
        seed: Of the run.
        cpu_time: Record the CPU seconds of this process instead of those on the wall: other work
            on the machine changes them little. Not for what computes elsewhere.
        options: Its options.

    Raises:
        InputError: It cannot be built.
        HpoBenchError: A hyperparameter has the name of a column that every table has.
    """
    return Recorder(objectives.build(of, space, seed, options), cpu_time)


class Recorder(Objective):
    """The same objective: same values from the same configurations.

    What is otherwise measured at the end is measured after every epoch, outside of the time that
    is recorded for it, and stands in the measurements as `<name>@<epoch>`, beside
    `seconds@<epoch>`.
    """

    def __init__(self, inner: Objective, cpu_time: bool = False) -> None:
        taken = sorted(set(inner.search_space).intersection(OWN_COLUMNS))
        if taken:
            raise HpoBenchError(f"a table has a column {taken[0]!r} of its own: rename it in space")
        self.inner = inner
        self._clock = time.process_time if cpu_time else time.perf_counter
        self.metric_name = inner.metric_name
        self.fidelity_name = inner.fidelity_name
        self.max_fidelity = inner.max_fidelity

    @property
    def search_space(self) -> Space:
        """The objective's."""
        return self.inner.search_space

    @property
    def directions(self) -> list[StudyDirection]:
        """The objective's."""
        return self.inner.directions

    def start(self, configuration: Configuration) -> Evaluation:
        """Begin."""
        return _Recorded(self.inner.start(configuration), set(configuration), [], self._clock)

    def restore(self, configuration: Configuration, checkpoint: bytes) -> Evaluation:
        """Go on from a checkpoint, with what was measured before it."""
        header, _, state = checkpoint.partition(b"\n")
        inner = self.inner.restore(configuration, state)
        return _Recorded(inner, set(configuration), json.loads(header), self._clock)

    def n_gpus(self) -> int:
        """As many as the objective's."""
        return self.inner.n_gpus()

    def provide(self) -> None:
        """As the objective does."""
        self.inner.provide()

    def prepare(self) -> None:
        """As the objective does."""
        self.inner.prepare()

    def describe(self) -> Mapping[str, Any]:
        """As the objective does."""
        return self.inner.describe()

    def machine(self) -> Mapping[str, Any]:
        """As the objective does."""
        return self.inner.machine()


class _Recorded(Evaluation):
    def __init__(
        self,
        inner: Evaluation,
        names: set[str],
        epochs: list[dict[str, float]],
        clock: Callable[[], float],
    ) -> None:
        self.inner = inner
        self._clock = clock
        self._taken = {*names, *OWN_COLUMNS}
        self._epochs = epochs
        self.fidelity = inner.fidelity

    def begin(self, until: int, directory: Path | None) -> None:
        self.inner.begin(until, directory)

    def close(self) -> None:
        self.inner.close()

    def advance(self) -> float:
        started = self._clock()
        value = self.inner.advance()
        seconds = self._clock() - started + self.inner.simulated_seconds
        self.fidelity = self.inner.fidelity
        measured = self.inner.measurements()
        clash = next((name for name in measured if name in self._taken or "@" in name), None)
        if clash is not None:
            raise HpoBenchError(f"the measurement {clash!r} cannot be a column of a table")
        self._epochs.append({n: _plain(v) for n, v in measured.items()} | {SECONDS: seconds})
        return value

    def measurements(self) -> dict[str, float]:
        last = {name: value for name, value in self._epochs[-1].items() if name != SECONDS}
        return last | {
            f"{name}@{epoch}": value
            for epoch, measured in enumerate(self._epochs, start=1)
            for name, value in measured.items()
        }

    def checkpoint(self) -> bytes | None:
        state = self.inner.checkpoint()
        return None if state is None else json.dumps(self._epochs).encode() + b"\n" + state


def _plain(value: Any) -> Any:
    """Give NumPy's and torch's numbers as Python's, which a checkpoint can hold."""
    return value.item() if hasattr(value, "item") else value
