"""A wrapper that measures an objective after every epoch, to record its trainings in a table."""

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
"""Name of the measurement of an epoch's time."""


def recorder(
    of: str,
    *,
    space: Mapping[str, Any] | str | None = None,
    seed: int = 0,
    cpu_time: bool = False,
    **options: Any,
) -> Recorder:
    """Build an objective and wrap it for recording.

    Args:
        of: Name of the objective, as in a suite.
        space: Space of the objective, as in a suite; None: its default.
        seed: Seed of the run.
        cpu_time: Record the CPU seconds of this process instead of elapsed seconds. Other work on
            the machine changes them little. Do not use it for an objective that computes in other
            processes or on a GPU.
        options: Options of the objective.

    Raises:
        InputError: The objective cannot be built.
        HpoBenchError: A hyperparameter has the name of a column that every table has.
    """
    return Recorder(objectives.build(of, space, seed, options), cpu_time)


class Recorder(Objective):
    """An objective that also takes its final measurements after every epoch.

    Its values are those of the wrapped objective. The measurements after each epoch are named
    `<name>@<epoch>`, and the epoch's time `seconds@<epoch>`; this time does not include measuring.

    Args:
        inner: The objective to record.
        cpu_time: Record CPU seconds of this process instead of elapsed seconds.

    Raises:
        HpoBenchError: A hyperparameter has the name of a column that every table has.
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
        """The search space of the wrapped objective."""
        return self.inner.search_space

    @property
    def directions(self) -> list[StudyDirection]:
        """The direction of the wrapped objective, in a list of one."""
        return self.inner.directions

    def start(self, configuration: Configuration) -> Evaluation:
        """Start an evaluation of a configuration."""
        return _Recorded(self.inner.start(configuration), set(configuration), [], self._clock)

    def restore(self, configuration: Configuration, checkpoint: bytes) -> Evaluation:
        """Continue an evaluation from a checkpoint, which also holds the earlier measurements."""
        header, _, state = checkpoint.partition(b"\n")
        inner = self.inner.restore(configuration, state)
        return _Recorded(inner, set(configuration), json.loads(header), self._clock)

    def n_gpus(self) -> int:
        """Return the number of GPUs that the wrapped objective uses."""
        return self.inner.n_gpus()

    def provide(self) -> None:
        """Provide the data of the wrapped objective."""
        self.inner.provide()

    def prepare(self) -> None:
        """Load what the wrapped objective needs."""
        self.inner.prepare()

    def describe(self) -> Mapping[str, Any]:
        """Return the description of the wrapped objective."""
        return self.inner.describe()

    def machine(self) -> Mapping[str, Any]:
        """Return what the wrapped objective records about the machine."""
        return self.inner.machine()


class _Recorded(Evaluation):
    """An evaluation that takes its measurements after every epoch.

    Args:
        inner: The evaluation to record.
        names: Names of the hyperparameters.
        epochs: Measurements and seconds of the epochs so far, one dictionary per epoch.
        clock: Returns the time in seconds.
    """

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
        """Begin the wrapped evaluation."""
        self.inner.begin(until, directory)

    def close(self) -> None:
        """Close the wrapped evaluation."""
        self.inner.close()

    def advance(self) -> float:
        """Train one epoch, and take its measurements outside of the time that counts.

        Raises:
            HpoBenchError: The name of a measurement cannot be a column of a table.
        """
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
        """Return the final measurements, and those of each epoch as `<name>@<epoch>`."""
        last = {name: value for name, value in self._epochs[-1].items() if name != SECONDS}
        return last | {
            f"{name}@{epoch}": value
            for epoch, measured in enumerate(self._epochs, start=1)
            for name, value in measured.items()
        }

    def checkpoint(self) -> bytes | None:
        """Return the measurements so far as a line of JSON, and the wrapped checkpoint after it."""
        state = self.inner.checkpoint()
        return None if state is None else json.dumps(self._epochs).encode() + b"\n" + state


def _plain(value: Any) -> Any:
    """Convert a scalar of NumPy or torch to a Python number, which JSON can hold."""
    return value.item() if hasattr(value, "item") else value
