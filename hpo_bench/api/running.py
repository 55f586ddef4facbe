"""Comparing and running: a suite is made or read, executed, and its results given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpo_bench import plugins, suite
from hpo_bench.api import words
from hpo_bench.api.found import Results
from hpo_bench.engines.base import Report
from hpo_bench.engines.coordinator import run_suites
from hpo_bench.errors import HpoBenchError, InputError, one_of
from hpo_bench.known import DEFAULT_STORAGE
from hpo_bench.suite import Suite
from hpo_bench.terminal import PlainConsole, quiet_optuna, telling

N_TRIALS = 60
"""Trials of a run for which no budget is given."""

_NOT_ITS_NAME = {"methods", "seeds", "storage", "workers"}
"""Keys of a suite that may change in a comparison which goes on."""


def compare(
    objective: Any,
    methods: Any,
    seeds: int | Sequence[int] = 10,
    n_trials: int | None = None,
    *,
    n_steps: int | None = None,
    seconds: float | None = None,
    direction: str | None = None,
    space: Mapping[str, Any] | str | None = None,
    steps: int | None = None,
    storage: str | None = None,
    name: str | None = None,
    workers: int | str = "auto",
    settings: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Results:
    """Compare ways to search, on an objective of your own.

    Everything is recorded as it comes. The same call goes on where an earlier one was stopped, by
    Ctrl-C or by a power cut, and a further method or seed is added to what is there.

    Args:
        objective: An Optuna function `objective(trial)`, unchanged; an `Objective` or its class; a
            problem of OptunaHub; an import path `module:object` of one of these; or a name that
            `hpo-bench objectives` lists.
        methods: A list, or name -> method. A method is a name that `hpo-bench methods` lists; an
            Optuna sampler's class; a function that makes a sampler (it is given the run's `seed`
            if it takes it); a pair `(sampler, pruner)`; or a table as in a suite.
        seeds: One run per method and seed; a number n stands for 0 .. n-1.
        n_trials: Evaluations of each run; 60 if no other limit is given.
        n_steps: Steps of each run, over all its evaluations: what an Optuna function reports.
        seconds: Seconds of each run.
        direction: "minimize" or "maximize", for an Optuna function; by default "minimize".
        space: What to search: name -> Optuna distribution, range, choices or fixed value. An Optuna
            function needs it only where a method must know the space beforehand (grid, bohb).
        steps: How often an Optuna function reports if nothing stops it; for methods that stop
            evaluations by a schedule (bohb).
        storage: SQLAlchemy URL; by default the file hpo-bench.db in the working directory.
        name: Of the comparison in its storage. By default it is made from the objective and the
            budget, so that a changed function begins a comparison of its own.
        workers: Worker processes; "auto" for one per core; 0 evaluates in this process, which a
            debugger can follow.
        settings: Any other key of a suite file, dotted: `{"workers_per_run": 4}`.
        progress: Whether to show how far the runs have come.

    Returns:
        What was found, also of runs of the same comparison that were there before.

    Raises:
        HpoBenchError: Something cannot be used, or no run could be finished; the text says why.
        KeyboardInterrupt: It was stopped. What was evaluated is saved; the same call goes on.

    Example:
        >>> import hpo_bench
        >>> def objective(trial):
        ...     x = trial.suggest_float("x", -5, 5)
        ...     return (x - 2) ** 2
        >>> url = f"sqlite:///{directory}/example.db"
        >>> results = hpo_bench.compare(objective, ["random", "pso"], 3, 10, storage=url, workers=0)
        >>> len(results.runs)
        6
    """
    if n_trials is None and n_steps is None and seconds is None:
        n_trials = N_TRIALS
    budget = {"evaluations": n_trials, "epochs": n_steps, "seconds": seconds}
    table: dict[str, Any] = {
        "objective": words.objective_table(objective, direction, steps),
        "budget": {limit: value for limit, value in budget.items() if value is not None},
        "methods": words.methods_table(methods),
        "seeds": seeds if isinstance(seeds, int) else list(seeds),
        "storage": DEFAULT_STORAGE if storage is None else storage,
        "workers": workers,
    }
    if space is not None:
        table["space"] = words.space_table(space)
    for key, value in (settings or {}).items():
        suite.set_key(table, key, value)
    itself = {key: value for key, value in table.items() if key not in _NOT_ITS_NAME}
    itself["version"] = words.version(objective)
    table.setdefault("name", name or f"{words.called(objective)}-{words.digest(itself)}")
    return _run([suite.parse(table, source="the comparison")], None, progress=progress)


def run(
    of: str | Path | Suite,
    *,
    methods: Sequence[str] | None = None,
    objectives: Sequence[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    storage: str | None = None,
    workers: int | str | None = None,
    settings: Mapping[str, Any] | None = None,
    checkpoint_dir: str | Path | None = None,
    progress: bool = True,
) -> Results:
    """Run a suite, or go on with it; as the command `hpo-bench run`.

    Args:
        of: The name of a shipped suite, a `.toml` file, or what `load` gave.
        methods: Only these of its methods.
        objectives: Only these, of a suite with several.
        seeds: Instead of the suite's.
        storage: Instead of the suite's.
        workers: Instead of the suite's; 0 evaluates in this process.
        settings: Any key of the suite, dotted: `{"budget.epochs": 300}`.
        checkpoint_dir: Where evaluations under way are kept.
        progress: Whether to show how far the runs have come.

    Returns:
        What was found.

    Raises:
        HpoBenchError: The suite cannot be run, or no run could be finished.
        KeyboardInterrupt: It was stopped; the same call goes on.

    Example:
        >>> import hpo_bench
        >>> url = f"sqlite:///{directory}/example.db"
        >>> how = {"methods": ["random"], "storage": url, "workers": 0}
        >>> hpo_bench.run("lenet5-cifar10-table", seeds=2, **how).suites
        ['lenet5-cifar10-table']
    """
    given = {
        "seeds": seeds if seeds is None or isinstance(seeds, int) else list(seeds),
        "storage": storage,
        "workers": workers,
    }
    overrides = {**(settings or {}), **{k: v for k, v in given.items() if v is not None}}
    directory = None if checkpoint_dir is None else Path(checkpoint_dir)
    return _run(choose(of, overrides, methods, objectives), directory, progress=progress)


def load(path: str | Path, settings: Mapping[str, Any] | None = None) -> Suite:
    """Read and validate a suite with one objective: a shipped one by name, or a TOML file.

    Args:
        path: Its name, or its file.
        settings: Keys to set otherwise, dotted: `{"budget.epochs": 300}`.

    Returns:
        The suite; `run` takes it.

    Raises:
        HpoBenchError: There is no such suite, or it cannot be used; the text says why.

    Example:
        >>> import hpo_bench
        >>> hpo_bench.load("quickstart", {"seeds": 5}).seeds
        [0, 1, 2, 3, 4]
    """
    plugins.look_beside(str(path))
    return suite.load(str(path), settings)


def choose(
    of: str | Path | Suite,
    overrides: Mapping[str, Any],
    methods: Sequence[str] | None = None,
    objectives: Sequence[str] | None = None,
) -> list[Suite]:
    """Read a suite, or as much of it as was asked for; one for each of its objectives.

    Raises:
        HpoBenchError: There is no such suite, method or objective, or a key cannot be set.
    """
    if isinstance(of, Suite):
        table = of.model_dump(exclude_defaults=True)
        for key, value in overrides.items():
            suite.set_key(table, key, value)
        chosen = [suite.parse(table, source=of.name)]
    else:
        plugins.look_beside(str(of))
        with telling("reading the suite"):
            chosen = suite.load_all(str(of), overrides, objectives)
    return chosen if methods is None else [_only(one, methods) for one in chosen]


def _only(chosen: Suite, names: Sequence[str]) -> Suite:
    for name in names:
        if name not in chosen.methods:
            raise InputError("--methods", name, one_of(name, chosen.methods))
    return chosen.model_copy(update={"methods": {n: chosen.methods[n] for n in names}})


def _run(suites: list[Suite], checkpoint_dir: Path | None, *, progress: bool) -> Results:
    console = PlainConsole(stderr=True)
    console.quiet = not progress
    with quiet_optuna():
        try:
            report = run_suites(suites, checkpoint_dir, console)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("stopped at once; the same call goes on") from None
    _check(report, suites)
    names, first = [one.name for one in suites], suites[0]
    found = Results(names, first.storage)
    if report.failures and not any(run.finished for one in found.tables for run in one.runs):
        raise HpoBenchError(_failures(report))
    if report.failures:
        console.say(_failures(report), "yellow")
    return found


def _check(report: Report, suites: list[Suite]) -> None:
    """See that it went to its end.

    Raises:
        HpoBenchError: The storage is gone.
        KeyboardInterrupt: It was stopped before.
    """
    if report.is_outage:
        raise HpoBenchError(_failures(report))
    left = len(report.unfinished) + len(report.taken)
    if left:
        raise KeyboardInterrupt(
            f"stopped: {left} runs of {suites[0].name} are left; the same call goes on"
        )


def _failures(report: Report) -> str:
    told = {why: study_name for study_name, why in report.failures.items()}
    lines = [why if name in why else f"{name}: {why}" for why, name in told.items()]
    return "\n".join(["these runs could not go on; the same call tries again:", *lines])
