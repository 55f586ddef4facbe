"""Suites: what is compared. A TOML file, read and validated before anything runs."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from optuna.distributions import (
    check_distribution_compatibility,
    distribution_to_json,
    json_to_distribution,
)
from optuna.pruners import BasePruner, NopPruner
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WrapValidator,
    model_validator,
)

from hpo_bench import methods, objectives
from hpo_bench.budget import Budget
from hpo_bench.errors import HpoBenchError, InputError, one_of
from hpo_bench.known import DEFAULT_STORAGE, MAX_SEEDS, shipped
from hpo_bench.manifest import usable_cores
from hpo_bench.objectives import Objective
from hpo_bench.objectives.command import split
from hpo_bench.references import Reference
from hpo_bench.search import Search, Setup
from hpo_bench.spaces import UnknownSpaceError, check_value, is_known, to_table
from hpo_bench.startup import SHORTER_START
from hpo_bench.storage import records
from hpo_bench.storage.opening import anchored
from hpo_bench.storage.outages import PATIENCE
from hpo_bench.storage.records import DIRECTORY
from hpo_bench.text import printable

MAX_SQLITE_WORKERS = 32
"""Processes that write to one SQLite file before they wait for each other: docs/storage.md."""

PATHS = {"data_dir"}
"""Options of an objective that are paths, and are meant from where the command is started."""

NOT_IDENTITY = PATHS
"""Options of an objective that say where things lie on one machine, not what is measured."""

_OF_ONE_MACHINE = {
    "name",
    "description",
    "seeds",
    "storage",
    "storage_patience",
    "workers",
    "engine",
    "gpus_per_run",
    "lease_seconds",
}


MAX_DEPTH = 32
"""How deep the tables and lists of a suite may be nested."""

MAX_FILE = 2**20
"""Bytes of a suite file."""

MAX_PROCESSES = 1_024
"""Of `workers`, `workers_per_run` and `batch_size`."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _recordable(options: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(options)
    except TypeError:
        raise ValueError("a date cannot be recorded with a run: write it as a string") from None
    return options


Options = Annotated[dict[str, Any], AfterValidator(_recordable)]


def _as_given(value: Any, validate: Callable[[Any], str]) -> str:
    """Keep a reference, which pydantic would make plain text of."""
    return value if isinstance(value, Reference) else validate(value)


ImportPath = Annotated[str, WrapValidator(_as_given)]


def _from_here(options: dict[str, Any]) -> dict[str, Any]:
    """Make paths absolute: an objective may change the working directory of its process."""
    return {
        name: str(Path(value).absolute()) if name in PATHS and isinstance(value, str) else value
        for name, value in options.items()
    }


def _is_command(command: str) -> str:
    try:
        split(command)
    except InputError as error:
        raise ValueError(error.expected) from None
    return command


def _is_path(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise ValueError("expected an import path of the form module:function")
    return path


_PATH = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")

_SHAPES = {
    "function": "hpo_bench.objectives.function:Function",
    "command": "hpo_bench.objectives.command:Command",
}
"""Keys that say what is evaluated without an objective by name -> what makes an objective of it."""


class ObjectiveSpec(_Table):
    """The objective: one of `name`, `function` and `command`, and its options."""

    name: ImportPath | None = None
    """An entry point of `hpo_bench.objectives`, or an import path `module:object`."""
    function: Annotated[str, AfterValidator(_is_path)] | None = None
    """Import path `module:function` of a function that takes an Optuna trial, unchanged."""
    command: Annotated[str, AfterValidator(_is_command)] | None = None
    """A program and its arguments, with `{name}` for parameters of `[space]`; no shell runs it."""
    direction: Literal["minimize", "maximize"] | None = None
    """Which values of a `function` or a `command` are better; by default `minimize`.

    An objective by `name` knows its direction.
    """
    options: Annotated[Options, AfterValidator(_from_here)] = {}
    """Its own keyword arguments, which the Python reference lists."""

    @model_validator(mode="after")
    def _is_one_of_them(self) -> ObjectiveSpec:
        shapes = [key for key in ("name", *_SHAPES) if getattr(self, key) is not None]
        if len(shapes) != 1:
            raise ValueError(
                'expected one of name = "lenet5" (or "module:object"), '
                'function = "my_training:objective" and command = "python train.py --lr {lr}"'
            )
        if self.name is not None and self.direction is not None:
            raise ValueError("an objective by name has its direction itself: leave direction out")
        for key in self.keys:
            if key in self.options:
                raise ValueError(f"{key} stands beside options, not in it")
        return self

    @property
    def kind(self) -> str:
        """Its name, or the key that stands in place of a name."""
        return self.name or next(key for key in _SHAPES if getattr(self, key) is not None)

    @property
    def target(self) -> str:
        """What makes the objective: an entry point, or an import path."""
        return self.name or _SHAPES[self.kind]

    @property
    def keys(self) -> list[str]:
        """Those of its arguments that stand beside `options`."""
        return [] if self.name is not None else [*_SHAPES, "direction"]

    @property
    def arguments(self) -> dict[str, Any]:
        """Every keyword argument that the target is given, apart from `space` and `seed`."""
        given = {key: getattr(self, key) for key in self.keys}
        return {**{key: value for key, value in given.items() if value is not None}, **self.options}


class MethodSpec(_Table):
    """One method; without `method` or `sampler`, its table's key names it."""

    method: ImportPath | None = None
    """An entry point of `hpo_bench.methods`."""
    sampler: ImportPath | None = None
    """Import path of any Optuna sampler, `module:object`."""
    options: Options = {}
    """The method's or the sampler's own keyword arguments; not `seed`, which is the run's."""
    pruner: ImportPath | None = None
    """Import path of an Optuna pruner, `module:object`."""
    pruner_options: Options = {}
    """The pruner's own keyword arguments."""
    budget_factor: Annotated[int, Field(ge=1)] = 1
    """How many times the suite's budget it has.

    With more than one it is a baseline, no rival, and its name must end so: `random-2x`.
    """

    @model_validator(mode="after")
    def _is_unambiguous(self) -> MethodSpec:
        if self.method is not None and self.sampler is not None:
            raise ValueError("expected method or sampler, not both")
        if self.pruner_options and self.pruner is None:
            raise ValueError("pruner_options need a pruner")
        return self


def _count_to_list(value: object) -> object:
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    if not 1 <= value <= MAX_SEEDS:
        raise ValueError(f"expected a number from 1 to {MAX_SEEDS}, or a list such as [0, 1, 2]")
    return list(range(value))


Seed = Annotated[int, Field(ge=0, lt=records.FIRST_FRESH_SEED)]
Seeds = Annotated[list[Seed], BeforeValidator(_count_to_list)]
# Studies, checkpoints and reports are called so: files have names of 255 characters at most.
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"
LONGEST_NAME = 200
Name = Annotated[str, Field(pattern=NAME, max_length=LONGEST_NAME)]


class Suite(_Table):
    """Objective x methods x seeds, under one budget."""

    name: Name
    """Of its studies; by default that of the file."""
    description: str = ""
    """What it compares, for people."""
    objective: ObjectiveSpec
    """What is searched."""
    space: dict[str, Any] | str | None = None
    """What to search: name -> fixed value or range; None for the objective's default."""
    budget: Budget
    """What each run may spend."""
    seeds: Annotated[Seeds, Field(min_length=1)] = [0, 1, 2]
    """One run per method and seed; a number n stands for 0 .. n-1."""
    methods: Annotated[dict[Name, MethodSpec], Field(min_length=1)]
    """How it is searched: name -> method."""
    starts: Literal["own", "fit"] = "own"
    """How many points methods try before they search: as many as each does by itself, or, with
    `fit`, no more than a third of the budget. Options that a method is given stay as they are."""
    baselines: dict[Name, Options] = {}
    """Fixed configurations to measure methods against: name -> value of each hyperparameter that is
    searched. Each is trained once by each seed, as the objective's default is."""
    storage: Annotated[str, AfterValidator(anchored), Field(validate_default=True)] = (
        DEFAULT_STORAGE
    )
    """SQLAlchemy URL of the database that holds the studies; a file's path is made absolute."""
    storage_patience: Annotated[float, Field(ge=0, allow_inf_nan=False)] = PATIENCE
    """Seconds that everybody waits for a storage which does not answer any more, or for room."""
    workers: Annotated[int, Field(ge=0, le=MAX_PROCESSES)] | Literal["auto"] = "auto"
    """Worker processes; auto: one per usable core, or per GPU if the objective computes there.

    0: none, everything is done in this process.
    """
    workers_per_run: Annotated[int, Field(ge=1, le=MAX_PROCESSES)] = 1
    """How many of them evaluate for the same run at the same time; a run of its own for each if 1.

    The method is asked for another configuration as soon as one of them is free.
    """
    batch_size: Annotated[int, Field(ge=1, le=MAX_PROCESSES)] = 1
    """How many configurations of a run are evaluated side by side in one process.

    The method is asked for that many before it is told what they gave. It saves time where the
    objective can advance several at once for less (narrow networks).
    """
    deterministic: bool = False
    """Tell results in the order in which they were asked for, whichever comes first.

    Then a run with several workers repeats exactly, and workers may wait for slower ones.
    """
    evaluation_timeout: Annotated[float, Field(gt=0)] | None = None
    """Seconds that a unit of fidelity may take; beyond them the evaluation has failed."""
    confirm: Annotated[int, Field(ge=0, le=1000)] = 0
    """How often a run's incumbent is trained again when its budget is spent.

    By seeds that no run has, at full fidelity, outside of the budget; the method is not told.
    """
    endpoint: (
        Literal["held-out-test", "held-out", "retrained-test", "retrained", "test", "validation"]
        | None
    ) = None
    """Which value of a run's winner all verdicts use; by default the first of these there is.

    held-out: mean of its recorded trainings that the run did not see, where a table is replayed;
    retrained: mean of its trainings by fresh seeds (`confirm`); both by the objective's own value,
    or, with -test, by test accuracy. It is recorded with each run when it begins.
    """
    engine: Literal["local", "ray"] = "local"
    """Where runs are executed: in processes of this machine, or as tasks of a Ray cluster."""
    gpus_per_run: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Graphics cards that Ray keeps for a run; several runs share one that each have a part of."""
    lease_seconds: Annotated[float, Field(ge=2, allow_inf_nan=False)] = 120.0
    """Seconds without a sign of life after which another process may take a run over."""

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Suite:
        if self.batch_size > 1 and (self.workers_per_run > 1 or self.evaluation_timeout):
            raise ValueError(
                "batch_size is for one process, workers_per_run and evaluation_timeout are for "
                "several: expected one or the other"
            )
        return self

    @model_validator(mode="after")
    def _has_the_processes_it_needs(self) -> Suite:
        if self.workers == 0 and (self.workers_per_run > 1 or self.evaluation_timeout):
            raise ValueError(
                "workers = 0 does everything in this process; workers_per_run and "
                "evaluation_timeout need others: expected workers of 1 or more"
            )
        if self.workers == 0 and self.engine == "ray":
            raise ValueError("workers = 0 does everything in this process: expected engine local")
        return self

    @model_validator(mode="after")
    def _says_who_has_more(self) -> Suite:
        for name, spec in self.methods.items():
            ending = f"-{spec.budget_factor}x"
            if spec.budget_factor > 1 and not name.endswith(ending):
                raise ValueError(
                    f"methods.{name}: has {spec.budget_factor} times the budget, which every table "
                    f"must show: expected a name like {name}{ending}"
                )
        return self

    @property
    def n_workers(self) -> int:
        """How many worker processes there are on this machine."""
        if self.workers != "auto":
            return self.workers
        cores = usable_cores()
        return min(cores, MAX_SQLITE_WORKERS) if self._is_sqlite else cores

    @property
    def _is_sqlite(self) -> bool:
        return self.storage.startswith("sqlite")

    @model_validator(mode="after")
    def _has_gpus_to_give(self) -> Suite:
        if self.gpus_per_run and self.engine != "ray":
            raise ValueError("gpus_per_run are given out by the engine ray: expected engine ray")
        return self

    def build_objective(self, seed: int) -> Objective:
        """Make the objective of a run; loads no data yet.

        Raises:
            InputError: The objective cannot be made from what the suite says.
        """
        spec = self.objective
        return objectives.build(spec.target, self.space, seed, spec.arguments, spec.keys)

    def build_search(self, method: str, setup: Setup) -> Search:
        """Make the search of a run.

        Raises:
            InputError: The method cannot be made from what the suite says.
        """
        spec = self.methods[method]
        return methods.build(
            f"methods.{method}",
            setup,
            target=spec.sampler or spec.method or method,
            options=self.options_of(method),
            pruner=spec.pruner,
            pruner_options=spec.pruner_options,
        )

    def endpoint_of(self, objective: Objective) -> str:
        """Name the endpoint of its runs: the one that it says, else what flatters least.

        Args:
            objective: Its own.

        Raises:
            InputError: It says one that nothing will measure.
        """
        test = "-test" if objective.has_test else ""
        measured = {
            f"held-out{test}": objective.has_held_out,
            "held-out": objective.has_held_out,
            f"retrained{test}": self.confirm > 0,
            "retrained": self.confirm > 0,
            "test": objective.has_test,
            "validation": True,
        }
        there = [name for name, is_there in measured.items() if is_there]
        if self.endpoint is None:
            return there[0]
        if self.endpoint not in there:
            expected = (
                f"here one of {', '.join(there)}; retrained needs confirm, test an objective that "
                "says has_test, held-out a table with two trainings of each configuration"
            )
            raise InputError("endpoint", self.endpoint, expected)
        return self.endpoint

    def budget_of(self, method: str) -> Budget:
        """What a run of a method may spend."""
        return self.budget.times(self.methods[method].budget_factor)

    def options_of(self, method: str) -> dict[str, Any]:
        """The options that a method is built with: its own, and what `starts` makes of the others.

        Raises:
            InputError: The method or the objective cannot be made.
        """
        spec, allowed = self.methods[method], None
        if self.starts == "fit":
            objective = self.build_objective(self.seeds[0])
            allowed = self.budget_of(method).configurations(objective.max_fidelity)
        if allowed is None:  # where time decides, nobody knows how many there will be
            return spec.options
        target = spec.sampler or spec.method or method
        made = methods.fitted(f"methods.{method}", target, spec.options, objective, allowed)
        return {**spec.options, **made}

    def definition(self, method: str) -> dict[str, Any]:
        """What a run of this method is, apart from its seed: the same words, the same run."""
        spec = self.methods[method]
        # A run of one at a time is the same with or without these, and its studies have none.
        several = {
            "workers_per_run": self.workers_per_run,
            "deterministic": self.deterministic,
        }
        return {
            **(several if self.workers_per_run > 1 else {}),
            **({"batch_size": self.batch_size} if self.batch_size > 1 else {}),
            **({"budget_factor": spec.budget_factor} if spec.budget_factor > 1 else {}),
            # Whoever says another one when results are there is refused.
            **({records.ENDPOINT: self.endpoint} if self.endpoint else {}),
            **self.objective_definition(),
            "budget": self.budget_of(method).definition(),
            "method": spec.sampler or spec.method or method,
            "method_options": self.options_of(method),
            "pruner": spec.pruner,
            "pruner_options": spec.pruner_options,
        }

    def objective_definition(self) -> dict[str, Any]:
        """What the objective of a run is, as far as the suite says."""
        spec = self.objective
        options = {k: v for k, v in spec.arguments.items() if k not in NOT_IDENTITY}
        return {"objective": spec.kind, "objective_options": options}

    def repeating(self, method: str) -> dict[str, Any]:
        """Give what repeats the runs of a method anywhere, as a suite file says it.

        A run's study keeps it, so that a report need not ask the objective for it. Seeds are left
        out, which every run has its own of, and so is what says how one machine runs a suite.
        """
        table: dict[str, Any] = self.model_dump(
            mode="json", exclude_defaults=True, exclude=_OF_ONE_MACHINE
        )
        options = table["objective"].get("options", {})
        options |= dict.fromkeys(NOT_IDENTITY & options.keys(), DIRECTORY)
        spec = table["methods"].get(method)
        return {**table, "methods": {} if spec is None else {method: spec}}

    def check(self) -> list[str]:
        """See that every run can be built, without starting one.

        Returns:
            What a user should know before it runs, one sentence each.

        Raises:
            HpoBenchError: Something cannot be built; the text names it.
        """
        if len(set(self.seeds)) != len(self.seeds):
            raise InputError("seeds", self.seeds, "expected each seed once")
        if self._is_sqlite and self.n_workers > MAX_SQLITE_WORKERS:
            expected = (
                f"a SQLite file holds {MAX_SQLITE_WORKERS} that write at the same time; expected "
                "as many at most, or a server: --storage postgresql+psycopg://user@host/database"
            )
            raise InputError("workers", self.workers, expected)
        objective = self.build_objective(self.seeds[0])
        if is_known(objective.search_space) and not objective.search_space:
            raise InputError("space", self.space, "nothing is left to search: give a range")
        _check_storable(objective)
        self._check_baselines(objective)
        self.endpoint_of(objective)
        if objective.is_simulated and self.evaluation_timeout is not None:
            expected = "simulated evaluations take no time: leave out"
            raise InputError("evaluation_timeout", self.evaluation_timeout, expected)
        notices: list[str] = []
        if self.workers == "auto" and self.n_workers < usable_cores():
            notices.append(
                f"{self.n_workers} workers on {usable_cores()} cores: as many as SQLite holds; a "
                "PostgreSQL storage holds more"
            )
        if self.confirm and not objectives.takes_seed(self.objective.target):
            notices.append(
                f"confirm: {self.objective.kind} takes no seed; unless it has noise of its own, "
                "training again gives what the run has found"
            )
        for method in self.methods:
            setup = methods.throwaway_setup(objective)
            try:
                search = self.build_search(method, setup)
            except UnknownSpaceError as error:
                raise UnknownSpaceError(_with_space(str(error), objective)) from None
            if objective.is_simulated:
                self._check_pruner(method, setup.study.pruner)
            notices += _fit(method, search, self.budget_of(method), objective)
        return notices

    def _check_baselines(self, objective: Objective) -> None:
        """See that every baseline is a configuration of the space."""
        space = objective.search_space
        if self.baselines and not is_known(space):
            told = "baselines: a configuration needs the space beforehand"
            raise UnknownSpaceError(_with_space(told, objective))
        for name, configuration in self.baselines.items():
            if configuration.keys() != space.keys():
                expected = f"expected a value of each that is searched: {', '.join(space)}"
                raise InputError(f"baselines.{name}", configuration, expected)
            for parameter, value in configuration.items():
                check_value(f"baselines.{name}.{parameter}", value, space[parameter])

    def _check_pruner(self, method: str, pruner: BasePruner) -> None:
        """See that simulated workers need not ask whether to stop while others have yet to begin.

        Raises:
            InputError: They would.
        """
        if self.workers_per_run > 1 and not isinstance(pruner, NopPruner):
            expected = "several simulated workers cannot prune: expected workers_per_run = 1"
            raise InputError(f"methods.{method}", type(pruner).__name__, expected)


def _with_space(told: str, objective: Objective) -> str:
    """Add the space that a call shows, ready to be given."""
    seen = {name: to_table(dist) for name, dist in objective.look().items()}
    rows = "".join(f"\n    {json.dumps(name)}: {table!r}," for name, table in seen.items())
    return (
        f"{told}. A call of the function has suggested the following (other branches of it may "
        f"suggest more); give it as\nspace={{{rows}\n}}"
    )


def _check_storable(objective: Objective) -> None:
    """See that every database takes what the objective calls things, and gives it back as it is.

    Raises:
        InputError: One does not.
    """
    if not records.is_storable(objective.metric_name):
        expected = f"expected a {records.STORABLE}"
        raise InputError("the objective's metric_name", objective.metric_name, expected)
    space = objective.search_space if is_known(objective.search_space) else {}
    for name, dist in space.items():
        if not records.is_storable(name):
            raise InputError("space", name, f"expected a {records.STORABLE}")
        try:
            check_distribution_compatibility(json_to_distribution(distribution_to_json(dist)), dist)
        except (TypeError, ValueError):
            expected = "expected choices that are text, numbers, true, false or None"
            raise InputError(f"space.{name}", dist, expected) from None


def _fit(method: str, search: Search, budget: Budget, objective: Objective) -> Iterator[str]:
    points = search.n_configurations
    epochs_each = search.epochs_each or objective.max_fidelity
    allowed = budget.configurations(epochs_each, search.evaluations_each)
    if allowed is not None and search.n_startup >= allowed:
        yield (
            f"{method}: its first {search.n_startup} configurations are spread over the space "
            f"before it searches, and the budget allows {allowed}: it will not search at all; give "
            f"it a larger budget, or fewer such configurations ({SHORTER_START})"
        )
    if points is None or allowed is None or points == allowed:
        return
    if points > allowed:
        yield (
            f"{method}: its {points} points are more than the {allowed} that the "
            "budget allows; a sample of them is tried, in an order drawn by the seed"
        )
    else:
        yield (
            f"{method}: its {points} points are fewer than the {allowed} evaluations that the "
            f"budget allows; {allowed - points} of them stay unspent"
        )


def load(
    name_or_path: str,
    overrides: Mapping[str, Any] | None = None,
    only: Sequence[str] | None = None,
) -> Suite:
    """Read a suite with one objective: one that is shipped, by name, or a TOML file.

    Args:
        name_or_path: `quickstart`, or a path that ends in `.toml`.
        overrides: Dotted key -> value, laid over what the file says.
        only: Name of the objective to take; None where it has but one.

    Raises:
        HpoBenchError: No such suite, no valid TOML, or a setting that cannot be used.
    """
    suites = load_all(name_or_path, overrides, only)
    if len(suites) > 1:
        names = [suite.name for suite in suites]
        raise InputError("objectives", names, "expected one of them alone: --objectives NAME")
    return suites[0]


def load_all(
    name_or_path: str,
    overrides: Mapping[str, Any] | None = None,
    only: Sequence[str] | None = None,
) -> list[Suite]:
    """Read a suite; for each of several `objectives` a suite of its own, `<suite>.<objective>`.

    Everything but the objective is the same for them, so that methods can be ranked over them.

    Args:
        name_or_path: `tables`, or a path that ends in `.toml`.
        overrides: Dotted key -> value, laid over what the file says.
        only: Names of the objectives to take; None for all.

    Raises:
        HpoBenchError: As `load`; an objective that is not there, or no choice of objectives.
    """
    text, default_name = _read(name_or_path)
    table = _loads(name_or_path, text)
    table.setdefault("name", default_name)
    for_each = {k: v for k, v in (overrides or {}).items() if k.startswith("objective.")}
    for key, value in (overrides or {}).items():
        if key not in for_each:
            set_key(table, key, value)
    is_several = "objectives" in table
    if not is_several and only is not None:
        raise InputError("--objectives", ",".join(only), "this suite has one objective")
    members = list(_members(table, name_or_path, only)) if is_several else [table]
    for key, value in for_each.items():
        for member in members:
            set_key(member, key, value)
    return [parse(member, source=name_or_path) for member in members]


def text_of(name_or_path: str) -> str:
    """Give the TOML text of a suite: one that is shipped, by name, or a file.

    Raises:
        HpoBenchError: There is no such suite, or the file cannot be read.
    """
    return _read(name_or_path)[0]


def place(name: str, storage: str | None) -> tuple[str, str]:
    """Give the name of a suite in its storage, and that storage's URL.

    Args:
        name: A suite's name, or a suite file: then the name is the one that stands in it.
        storage: What was asked for; None for the file's own, or the default.

    Raises:
        HpoBenchError: The file cannot be read.
    """
    url = DEFAULT_STORAGE
    if name.endswith(".toml"):
        name, url = whereabouts(name)
    return name, storage or url


def whereabouts(path: str) -> tuple[str, str]:
    """Say under which name and in which storage the runs of a suite file stand.

    Args:
        path: Of the file; its objective and methods need not be there any more.

    Raises:
        HpoBenchError: It cannot be read, or says neither as a text.
    """
    text, default_name = _read(path)
    table = _loads(path, text)
    found = []
    for key, default in (("name", default_name), ("storage", DEFAULT_STORAGE)):
        value = table.get(key, default)
        if not isinstance(value, str):
            raise InputError(key, value, "expected a text")
        found.append(value)
    return found[0], found[1]


def _loads(source: str, text: str) -> dict[str, Any]:
    """Read TOML that a stranger may have written.

    Raises:
        HpoBenchError: It is none, or is nested more deeply than `MAX_DEPTH`.
    """
    too_deep = f"{source} cannot be used: tables and lists may be nested {MAX_DEPTH} deep"
    # Python's parser takes time in the square of a dotted key's parts: 14 s for 20,000.
    if _LONG_KEY.search(text):
        raise HpoBenchError(too_deep)
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise HpoBenchError(too_deep) from None
    except ValueError as error:  # also of numbers with too many digits
        raise HpoBenchError(f"{source} is not valid TOML: {error}") from None
    if _is_deeper(table, MAX_DEPTH):
        raise HpoBenchError(too_deep)
    return table


_PART = r"(?:[\w-]+|\"[^\"\n]*\"|'[^'\n]*')"
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{MAX_DEPTH},}}")


def _is_deeper(value: Any, depth: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth < 0 or any(_is_deeper(each, depth - 1) for each in inner)


def _members(
    table: dict[str, Any], source: str, only: Sequence[str] | None
) -> Iterator[dict[str, Any]]:
    """The table of each suite that a table with several objectives stands for."""
    objectives = table.pop("objectives")
    if "objective" in table:
        raise HpoBenchError(f"{source} cannot be used: expected objective or objectives, not both")
    if not isinstance(objectives, dict) or not objectives:
        expected = "expected a table of name, options for each"
        raise InputError("objectives", objectives, expected)
    for name in only or objectives:
        if name not in objectives:
            raise InputError("--objectives", name, one_of(name, objectives))
        yield {**table, "name": f"{table['name']}.{name}", "objective": objectives[name]}


def parse(table: Mapping[str, Any], source: str = "suite") -> Suite:
    """Validate a suite's table.

    Raises:
        HpoBenchError: Every fault, one line each, with field, value and what is allowed.
    """
    try:
        return Suite.model_validate(table)
    except ValidationError as error:
        faults: dict[tuple[str, ...], str] = {}
        for details in error.errors():
            place = _place(details, table)
            if place in faults:  # it is none of several types
                faults[place] += f"; or {_expected(details).removeprefix('Input should be ')}"
            else:
                faults[place] = _fault(".".join(place), details)
        told = list(faults.values())
        more = [f"and {len(told) - _TOLD} more"] if len(told) > _TOLD else []
        listed = "\n".join(f"  {fault}" for fault in [*told[:_TOLD], *more])
        raise HpoBenchError(f"{source} cannot be used:\n{listed}") from None


def _read(name_or_path: str) -> tuple[str, str]:
    suites = shipped()
    if name_or_path in suites:
        return suites[name_or_path], name_or_path
    path = Path(name_or_path)
    if path.suffix != ".toml":
        file = f"{name_or_path}.toml"
        if file in (found.name for found in Path().glob("*.toml")):
            raise InputError("suite", name_or_path, f"did you mean {file!r}?")
        raise InputError("suite", name_or_path, f"{one_of(name_or_path, suites)}; or a .toml file")
    try:
        with path.open("rb") as opened:
            content = opened.read(MAX_FILE + 1)
        if len(content) > MAX_FILE:
            raise InputError("suite", name_or_path, f"expected {MAX_FILE // 2**20} MiB at most")
        return content.decode("utf-8-sig"), path.stem
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("suite", name_or_path, f"it cannot be read: {error}") from None


def set_key(table: dict[str, Any], dotted: str, value: Any) -> None:
    """Set a key of a suite's table, `budget.epochs`.

    Raises:
        InputError: A key on the way to it is no table.
    """
    *parents, last = dotted.split(".")
    for key in parents:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise InputError("--set", dotted, f"{key} is not a table")
    table[last] = value


_SHOWN = 200
"""Characters of a value that are shown."""

_TOLD = 50
"""Faults that are told at once."""

_EXPECTED = {
    "dict_type": "Input should be a table",
    "model_type": "Input should be a table",
    "string_pattern_mismatch": "expected letters, digits and . _ + -, a letter or digit first",
}
"""In the words of a suite file, what pydantic tells in those of Python."""


def _place(details: Any, table: Any) -> tuple[str, ...]:
    """Where in the file a fault is; pydantic's place goes on with the types that it has tried."""
    place: list[str] = []
    for part in details["loc"]:
        is_there = isinstance(table, list) and isinstance(part, int)
        if isinstance(table, Mapping):
            is_there = part in table
        if not is_there and details["type"] != "missing":
            break
        table = table[part] if is_there else None
        place.append(str(part))
    return tuple(place)


def _fault(field: str, details: Any) -> str:
    location: Sequence[str | int] = details["loc"]
    if details["type"] == "missing":
        return f"{field}: missing; it must be given"
    if details["type"] == "extra_forbidden":
        key = str(location[-1])
        allowed = [name for name in _keys_at(location[:-1]) if name != key]
        return f"{field}: no such key; {one_of(key, allowed)}"
    if location[:1] in ((), ("storage",)):  # a password may stand in it
        return f"{field or 'suite'}: cannot be used; {_expected(details)}"
    told = f"{field}: {_shown(details['input'])} cannot be used; {_expected(details)}"
    return f"{told}; it is the file's unless the suite gives another" if field == "name" else told


def _expected(details: Any) -> str:
    told: str = _EXPECTED.get(details["type"], details["msg"])
    return told.removeprefix("Value error, ")


def _shown(value: Any) -> str:
    try:
        return printable(json.dumps(value), _SHOWN)
    except (TypeError, ValueError):  # TOML has dates, which are no strings
        return printable(value, _SHOWN)


def _keys_at(location: Sequence[str | int]) -> list[str]:
    """The keys allowed in the table at this place of a suite file."""
    model: type[BaseModel] = Suite
    for part in location:
        field = model.model_fields.get(str(part))
        candidates = [] if field is None else [field.annotation, *get_args(field.annotation)]
        for candidate in candidates:
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                model = candidate
    return [*model.model_fields, *(["objectives"] if model is Suite else [])]
