"""What a comparison has found: tables, curves, pictures, a page; also while it runs elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo_bench import suite
from hpo_bench.analysis.curves import curves
from hpo_bench.analysis.history import AXES, History, by_method, read
from hpo_bench.analysis.results import SuiteResult, collect
from hpo_bench.errors import InputError, needing, one_of
from hpo_bench.report import notebook, table
from hpo_bench.storage.opening import close, open_existing, shown
from hpo_bench.storage.studies import members
from hpo_bench.terminal import PlainConsole, quiet_optuna

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects
    from optuna.storages import BaseStorage

    from hpo_bench.analysis.summary import Summary
    from hpo_bench.storage.rows import Fault


_USUAL = {"curve": "curve-evaluations"}
"""The picture that is meant where several have the same beginning."""


@dataclass(frozen=True)
class Best:
    """The best that any run has found."""

    value: float
    """Of the objective."""
    configuration: dict[str, Any]
    """Hyperparameter -> value."""
    method: str
    """Of the run that found it."""
    seed: int
    """Of the run."""


class Results:
    """What the storage holds of a comparison, as it was when it was first looked at.

    In a notebook it shows itself as a table and a curve, in a terminal as a table. Tables of data
    are those of pandas and pictures are Plotly's: `pip install 'hpo-bench[report]'` brings both.

    Args:
        suites: Names in the storage: one, or one for each objective.
        storage: Its SQLAlchemy URL.

    Example:
        >>> import hpo_bench
        >>> url = f"sqlite:///{directory}/example.db"
        >>> how = {"methods": ["random"], "storage": url, "workers": 0}
        >>> found = hpo_bench.run("lenet5-cifar10-table", seeds=2, **how)
        >>> sorted(set(found.runs["method"]))
        ['(default)', '(widest)', 'random']
        >>> found.best.method
        'random'
    """

    def __init__(self, suites: Sequence[str], storage: str) -> None:
        self.suites = list(suites)
        """Names in the storage: one, or one for each objective."""
        self.storage = storage
        """SQLAlchemy URL of the storage."""
        self._summaries_by: dict[Any, list[Summary]] = {}

    def __getitem__(self, name: str) -> Results:
        """Give the results on one objective alone, by its suite's name or by the end of it."""
        found = [one for one in self.suites if name in (one, one.rpartition(".")[2])]
        if not found:
            raise InputError("results", name, one_of(name, self.suites))
        return Results(found, self.storage)

    @property
    def runs(self) -> pandas.DataFrame:
        """One row per run: what it found (`validation`), its configuration, and what it spent."""
        rows = [
            {"suite": one.suite, **table.flat(asdict(run))}
            for one in self.tables
            for run in (*one.runs, *one.baselines)
        ]
        return _frame(rows)

    @property
    def evaluations(self) -> pandas.DataFrame:
        """One row per evaluation, in order: value, configuration, and what was spent by then."""
        from hpo_bench.report.files import evaluations

        return _frame(
            [
                row
                for one in self.summarised()
                for h in one.histories
                for row in evaluations(one.suite, h)
            ]
        )

    def curves(self, axis: str = "evaluations") -> pandas.DataFrame:
        """Give the best value so far by what was spent: median and quartiles over a method's runs.

        Args:
            axis: "evaluations", "epochs" (in full evaluations), "train_seconds" or "wall_seconds".

        Returns:
            Columns suite, method, spent, median, lower, upper.

        Raises:
            InputError: There is no such axis.
        """
        if axis not in AXES:
            raise InputError("axis", axis, one_of(str(axis), AXES))
        return _frame(
            [
                {
                    "suite": one.suite,
                    "method": curve.method,
                    "spent": float(curve.x[place]),
                    "median": float(curve.median[place]),
                    "lower": float(curve.lower[place]),
                    "upper": float(curve.upper[place]),
                }
                for one in self.summarised()
                for curve in one.curves[axis]
                for place in range(len(curve.x))
            ]
        )

    def summary(self) -> pandas.DataFrame:
        """Give one row per method, the best first: its mean endpoint, with its 95% interval."""
        return _frame(
            [
                {
                    "suite": one.suite,
                    "method": method.name,
                    "endpoint": one.endpoint.name,
                    "mean": None if method.endpoint is None else method.endpoint.mean,
                    "low": None if method.endpoint is None else method.endpoint.low,
                    "high": None if method.endpoint is None else method.endpoint.high,
                    "runs": method.states.get("finished", 0),
                    "unfinished": sum(method.states.values()) - method.states.get("finished", 0),
                }
                for one in self.summarised()
                for method in one.methods
            ]
        )

    @property
    def best(self) -> Best:
        """The best configuration that any run has found.

        Raises:
            InputError: There are several objectives, or nothing was found.
        """
        (one,) = self._alone().tables
        found = [
            Best(run.validation, run.incumbent, run.method, run.seed)
            for run in one.runs
            if run.validation is not None
        ]
        if not found:
            raise InputError("results", one.suite, "no run has found anything yet")
        choose = max if one.maximise else min
        return choose(found, key=lambda best: best.value)

    def plot(self, kind: str = "curve") -> plotly.graph_objects.Figure:
        """Draw a picture of the report: of the objective, or of several taken together.

        Args:
            kind: The beginning of its name. "curve" is the best value so far by evaluations; others
                are "curve-epochs", "curve-wall_seconds", "finals", "differences", "ecdf", "times",
                and of several objectives "ranks", "rank-budget", "regret-budget" and "profiles".

        Raises:
            InputError: There is no such picture; the text lists those that there are.
        """
        with needing("report", "a picture"):
            from plotly.graph_objects import Figure

            from hpo_bench.report import foreign
            from hpo_bench.report.files import pictures
        found = pictures(self.summarised(), shown(self.storage))
        for picture in found:
            if picture.key.startswith(_USUAL.get(kind, kind)):
                return Figure(foreign.plotly({"data": picture.traces, "layout": picture.layout}))
        expected = one_of(str(kind), {picture.key for picture in found})
        if len(self.suites) > 1:
            expected += f"; those of one objective alone: results[{self.suites[0]!r}].plot()"
        raise InputError("kind", kind, expected)

    def report(
        self, path: str | Path, *, targets: Sequence[float] = (), rope: float | None = None
    ) -> Path:
        """Write everything on one page: tables, statistics and pictures.

        Args:
            path: Its ending names the format: html, md, tex, csv, json or parquet.
            targets: Values to reach; by default they are taken from random search.
            rope: A difference that does not matter.

        Returns:
            The path.

        Raises:
            HpoBenchError: There is no such format, or it cannot be written.
        """
        with needing("report", "the report"):
            from hpo_bench.report.files import write
        write(Path(path), self.summarised(targets, rope), shown(self.storage))
        return Path(path)

    def pictures(
        self,
        folder: str | Path,
        ending: str = "pdf",
        *,
        targets: Sequence[float] = (),
        rope: float | None = None,
    ) -> list[Path]:
        """Write the pictures of the report as files, for papers.

        Args:
            folder: Made if it is not there.
            ending: pdf, svg or png.
            targets: As of `report`.
            rope: As of `report`.

        Returns:
            The files.

        Raises:
            HpoBenchError: The folder cannot be written.
        """
        with needing("report", "figures as files"):
            from hpo_bench.report.files import write_figures
        found = self.summarised(targets, rope)
        return write_figures(Path(folder), found, shown(self.storage), ending)

    @property
    def left_out(self) -> list[Fault]:
        """What the storage holds of it that is not sound, and is in no table."""
        return [fault for one in self.tables for fault in one.left_out]

    def summarised(self, targets: Sequence[float] = (), rope: float | None = None) -> list[Summary]:
        """Give all that a report says, one summary for each objective."""
        key = (tuple(targets), rope)
        if key not in self._summaries_by:
            self._summaries_by[key] = self._summarise(targets, rope)
        return self._summaries_by[key]

    def _summarise(self, targets: Sequence[float], rope: float | None) -> list[Summary]:
        with needing("report", "the statistics"):
            from hpo_bench.analysis.summary import summarise
        storage = self._open()
        try:
            with quiet_optuna():
                return [
                    summarise(storage, n, given_targets=targets, rope=rope) for n in self.suites
                ]
        finally:
            close(storage)

    @cached_property
    def tables(self) -> list[SuiteResult]:
        """What the table shows, one for each objective."""
        storage = self._open()
        try:
            return [collect(storage, name) for name in self.suites]
        finally:
            close(storage)

    def _alone(self) -> Results:
        if len(self.suites) != 1:
            expected = f"expected one objective's: results[{self.suites[0]!r}]"
            raise InputError("results", self.suites, expected)
        return self

    def _open(self) -> BaseStorage:
        return open_existing(self.storage)

    def __repr__(self) -> str:
        text = StringIO()
        console = PlainConsole(file=text)
        console.width = PlainConsole().width  # of the terminal where it will be printed
        for one in self.tables:
            table.print_table(one, console)
        return text.getvalue().rstrip("\n")

    def _repr_html_(self) -> str:
        return "\n".join(
            notebook.card(one, self._curve(one.suite, one.metric)) for one in self.tables
        )

    def _curve(self, name: str, metric: str) -> bytes | None:
        """Draw the curve of an objective; None where nothing can draw it."""
        try:
            from hpo_bench.report import figures, static
        except ModuleNotFoundError:
            return None
        storage = self._open()
        try:
            groups = by_method(read(storage, name))
        finally:
            close(storage)
        # The statistics of a report take longer than a cell should wait to be shown.
        axis, title = _fair_axis(groups)
        drawn = curves(groups, None)[axis]
        if not drawn:
            return None
        return static.as_svg(replace(figures.curve(axis, drawn, metric, title), wide=True))


def _fair_axis(groups: Mapping[str, Sequence[History]]) -> tuple[str, str]:
    """Give the axis of the curve, and its name: evaluations, unless some of them were cut short."""
    runs = [run for found in groups.values() for run in found]
    jobs = [(step.job, run.max_fidelity) for run in runs for step in run.steps]
    if not any(job.pruned or job.fidelity < full for job, full in jobs if job.value is not None):
        return "evaluations", AXES["evaluations"]
    return "epochs", "steps" if runs[0].max_fidelity == 1 else AXES["epochs"]


def _frame(rows: Sequence[dict[str, Any]]) -> pandas.DataFrame:
    with needing("report", "a table of data"):
        import pandas
    return pandas.DataFrame(list(rows))


def results(name: str | Path, storage: str | None = None) -> Results:
    """Give what a storage holds of a suite or a comparison, also while it runs.

    Args:
        name: Its name, or a suite's `.toml` file.
        storage: SQLAlchemy URL; by default the file's own, or hpo-bench.db here.

    Raises:
        HpoBenchError: There is no such storage, or it holds nothing of that name.

    Example:
        >>> import hpo_bench
        >>> url = f"sqlite:///{directory}/example.db"
        >>> how = {"methods": ["random"], "storage": url, "workers": 0}
        >>> _ = hpo_bench.run("lenet5-cifar10-table", seeds=1, **how)
        >>> hpo_bench.results("lenet5-cifar10-table", url).suites
        ['lenet5-cifar10-table']
    """
    found = find([str(name)], storage)
    _ = found.tables
    return found


def find(names: Sequence[str], storage: str | None) -> Results:
    """Give what a storage holds of suites, each with all of its objectives.

    Raises:
        InputError: There is no such storage, or the suites' files say different ones.
    """
    called, urls = zip(*(suite.place(name, storage) for name in names), strict=True)
    if len(set(urls)) > 1:
        raise InputError("SUITE", list(names), "they say different storages; name one by --storage")
    opened = open_existing(urls[0])
    try:
        return Results([member for name in called for member in members(opened, name)], urls[0])
    finally:
        close(opened)
