"""How it is searched: every method, built by name as a search on a study.

A method is anything callable that either takes a `setup` first and returns a sampler or a
`Search`, or is itself a sampler's class (or other constructor). The second kind is handed the
run's `seed` and the `search_space` where it takes them.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from hpo_bench import plugins
from hpo_bench.errors import HpoBenchError, InputError, one_of, reason_of
from hpo_bench.objectives import Objective, suggest
from hpo_bench.search import Job, Outcome, Search, Setup
from hpo_bench.spaces import Space, UnknownSpaceError, check_value, is_known
from hpo_bench.startup import startup_of
from hpo_bench.storage.records import outcome_at
from hpo_bench.storage.studies import reopen, tell, unfinished
from samplers import GridSampler

_WARMED: set[type[BaseSampler]] = set()
"""Kinds of samplers that were tried in this process, so that their libraries are imported."""

_WARMING_TRIALS = 12
"""Optuna's samplers draw the first ten at random, before they use what they import."""


class Proposer:
    """An Optuna sampler that proposes the trials of a study.

    Args:
        setup: What it works on; its study gets the sampler.
        sampler: What proposes.
        another: Makes another sampler of this kind, for any setup; None where asking takes nothing
            that has to be imported.
    """

    def __init__(
        self,
        setup: Setup,
        sampler: BaseSampler,
        another: Callable[[Setup], BaseSampler] | None = None,
    ) -> None:
        self._setup = setup
        self._another = another
        self._study = setup.study
        self._study.sampler = sampler
        self.n_configurations: int | None = getattr(sampler, "n_points", None)
        self.n_startup = startup_of(sampler, setup.space)
        self._asked_to_stop = False
        # Finite samplers of Optuna's end a study by its `stop`, which is for `optimize` only.
        self._study.stop = self._take_note_of_stop  # type: ignore[method-assign]

    def prepare(self) -> None:
        """Try another sampler of this kind, once in a process: it imports what asking takes."""
        kind = type(self._study.sampler)
        if self._another is None or kind in _WARMED:
            return
        _WARMED.add(kind)
        with suppress(Exception):  # whatever is wrong with it, the sampler itself will tell
            _try_out(self._another, self._setup)

    def is_exhausted(self) -> bool:
        """Whether it has nothing more to propose."""
        if self._asked_to_stop:
            return True
        sampler = self._study.sampler
        is_exhausted = getattr(sampler, "is_all_taken", getattr(sampler, "is_exhausted", None))
        return is_exhausted is not None and bool(is_exhausted(self._study))

    def take_note_of_outcome(self) -> None:
        """Ask again of a sampler that had nothing more to propose.

        A trial that ran beside its last one may have failed: then there is something to try again.
        """
        self._asked_to_stop = False

    def _take_note_of_stop(self) -> None:
        self._asked_to_stop = True


class SamplerSearch(Search):
    """An Optuna sampler, with a pruner if one is given, at work on a study.

    Args:
        setup: What it works on.
        sampler: What proposes.
        pruner: What stops evaluations early; None for nothing.
        another: Makes another sampler of this kind, for any setup; None where asking takes nothing
            that has to be imported.
    """

    def __init__(
        self,
        setup: Setup,
        sampler: BaseSampler,
        pruner: BasePruner | None,
        another: Callable[[Setup], BaseSampler] | None = None,
    ) -> None:
        self._setup = setup
        self._study = setup.study
        self._study.pruner = pruner or NopPruner()
        self._proposer = Proposer(setup, sampler, another)
        self.n_configurations = self._proposer.n_configurations
        self.n_startup = self._proposer.n_startup
        self._left_running: deque[FrozenTrial] = deque()
        self._settle_recorded()

    @property
    def has_unfinished(self) -> bool:
        """Whether trials that were left in the middle are still to be handed out."""
        return bool(self._left_running)

    def prepare(self) -> None:
        """Import what asking takes."""
        self._proposer.prepare()

    def ask(self) -> Job | None:
        """A trial left in the middle, else a new one."""
        if self._left_running:
            trial = reopen(self._study, self._left_running.popleft())
        elif self._proposer.is_exhausted():
            return None
        else:
            trial = self._study.ask()
        configuration = suggest(trial, self._setup.space)
        return Job(trial, configuration, until=self._setup.max_fidelity)

    def tell(self, job: Job, outcome: Outcome) -> None:
        """Finish the trial."""
        self._proposer.take_note_of_outcome()
        if outcome.pruned:
            tell(self._study, job.trial, state=TrialState.PRUNED)
        elif outcome.value is None:
            tell(self._study, job.trial, state=TrialState.FAIL)
        else:
            tell(self._study, job.trial, outcome.value)

    def _settle_recorded(self) -> None:
        """Tell what was recorded before a crash and not told; the rest is handed out again."""
        for frozen in unfinished(self._study):
            outcome = outcome_at(frozen, self._setup.max_fidelity)
            if outcome is None:
                self._left_running.append(frozen)
            else:
                trial = reopen(self._study, frozen)
                self.tell(Job(trial, frozen.params, self._setup.max_fidelity), outcome)


def _try_out(make: Callable[[Setup], BaseSampler], setup: Setup) -> None:
    """Ask a sampler until it has proposed something by what it was told."""
    study = optuna.create_study(direction=setup.study.direction)
    study.sampler = make(replace(setup, study=study))
    for number in range(_WARMING_TRIALS):
        trial = study.ask(dict(setup.space))
        if trial.relative_params and number > 0:
            return
        study.tell(trial, float(number))


def build(
    field: str,
    setup: Setup,
    *,
    target: str,
    options: Mapping[str, Any],
    pruner: str | None = None,
    pruner_options: Mapping[str, Any] | None = None,
) -> Search:
    """Make the search that a suite's method stands for.

    Args:
        field: Where it stands in the suite, for error messages.
        setup: What it is built from.
        target: An entry point of `hpo_bench.methods`, or an import path `module:object`.
        options: Its own arguments.
        pruner: Import path of an Optuna pruner, for samplers.
        pruner_options: The pruner's arguments.

    Raises:
        InputError: No such method, an option it does not take, or a space it cannot search.
    """
    make = maker(field, target, options)
    made = make(setup)
    if isinstance(made, Search):
        if pruner is not None:
            raise InputError(
                f"{field}.pruner", pruner, "this method schedules by itself: leave out"
            )
        return made
    if not isinstance(made, BaseSampler):
        expected = f"{target} made a {type(made).__name__}; expected a sampler or a search"
        raise InputError(field, target, expected)
    return SamplerSearch(
        setup, made, _pruner(f"{field}.pruner", pruner, pruner_options or {}), make
    )


def maker(field: str, target: str, options: Mapping[str, Any]) -> Callable[[Setup], Any]:
    """Give what makes a method for a setup: a sampler or a search.

    Args:
        field: Where the method stands, for error messages.
        target: An entry point of `hpo_bench.methods`, or an import path `module:object`.
        options: Its own arguments.

    Raises:
        InputError: No such method, or an option it does not take; when it is called, a space that
            it cannot search.
    """
    factory = plugins.load(field, plugins.METHODS, target)
    plugins.check_options(f"{field}.options", factory, options, hidden={"setup", "seed"})
    return lambda setup: _call(f"{field}.options", factory, _arguments(factory, setup, options))


def sampler_maker(
    field: str, target: str, options: Mapping[str, Any]
) -> Callable[[Setup], BaseSampler]:
    """Like `maker`, for a method that must be a sampler: another method is built on it.

    Raises:
        InputError: As `maker`; when it is called, also if it makes no sampler.
    """
    make = maker(field, target, options)

    def make_sampler(setup: Setup) -> BaseSampler:
        made = make(setup)
        if not isinstance(made, BaseSampler):
            raise InputError(field, target, "expected a method that is a sampler, such as tpe")
        return made

    return make_sampler


def fitted(
    field: str, target: str, options: Mapping[str, Any], objective: Objective, evaluations: int
) -> dict[str, int]:
    """Give the options with which a method has enough of its budget left to search.

    A method that would spend more than a third of it on its first points, which are drawn at random
    or spread over the space, begins with as many as that is, and two at least. Nothing is changed
    where the suite gives the option itself, and nothing of a method that takes none.

    Args:
        field: Where it stands in the suite, for error messages.
        target: As in `build`.
        options: Its own arguments.
        objective: What is searched.
        evaluations: How many full evaluations the budget allows.

    Raises:
        InputError: There is no such method.
    """
    factory = plugins.load(field, plugins.METHODS, target)
    most = max(2, evaluations // 3)
    if "n_startup_trials" not in options and _default(factory, "n_startup_trials") > most:
        return {"n_startup_trials": most}
    if "swarm_size" in options or not plugins.takes(factory, "swarm_size"):
        return {}
    space = objective.search_space
    sizes: list[dict[str, int]] = [{}]
    sizes += [{"swarm_size": size} for size in range(most, 1, -1)]
    fitting = (s for s in sizes if _starts(factory, {**options, **s}, space) <= most)
    return next(fitting, {"swarm_size": 2})


def _default(factory: Callable[..., Any], name: str) -> int:
    """Give the default of a whole number that a callable takes; 0 where it takes none."""
    parameter = inspect.signature(factory).parameters.get(name)
    default = None if parameter is None else parameter.default
    return default if isinstance(default, int) else 0


def _starts(factory: Callable[..., Any], options: Mapping[str, Any], space: Space) -> int:
    """How many points a swarm spreads over a space before it moves."""
    with suppress(Exception):  # what is wrong with the options is told when the method is built
        return startup_of(factory(**options), space)
    return 0


def _arguments(
    factory: Callable[..., Any], setup: Setup, options: Mapping[str, Any]
) -> dict[str, Any]:
    if plugins.takes(factory, "setup"):
        return {"setup": setup, **options}
    arguments = dict(options)
    if plugins.takes(factory, "search_space") and is_known(setup.space):
        arguments.setdefault("search_space", setup.space)
    if plugins.takes(factory, "seed"):
        arguments["seed"] = _seed(factory, setup)
    return arguments


def _seed(factory: Callable[..., Any], setup: Setup) -> int:
    """The run's seed; on resume, for a sampler with state of its own, a new one derived from it.

    A sampler that draws from a generator in its process starts that generator afresh when the run
    is resumed, and with the same seed would propose again what is already there.
    """
    done = len(setup.study.get_trials(deepcopy=False))
    owner = getattr(factory, "__self__", factory)  # of a constructor like `PSOSampler.classic`
    if done == 0 or getattr(owner, "state_in_storage", False):
        return setup.seed
    return int(np.random.SeedSequence([setup.seed, done]).generate_state(1)[0])


def _pruner(field: str, path: str | None, options: Mapping[str, Any]) -> BasePruner | None:
    if path is None:
        return None
    factory = plugins.load_path(field, path)
    plugins.check_options(f"{field}_options", factory, options, hidden=set())
    pruner = _call(f"{field}_options", factory, dict(options))
    if not isinstance(pruner, BasePruner):
        raise InputError(field, path, "expected an Optuna pruner")
    return pruner


def _call(field: str, factory: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    try:
        return factory(**arguments)
    except InputError as error:
        raise error.under(field) from error
    except UnknownSpaceError as error:
        method = field.removesuffix(".options")
        told = f"{method}: this method needs the space beforehand; give its ranges in [space]"
        raise UnknownSpaceError(told) from error
    except HpoBenchError:
        raise
    except Exception as error:  # whatever somebody else's code raises
        raise HpoBenchError(f"{field}: {reason_of(error)}") from error


MAX_LEVELS = 10_000
"""Values that a grid takes from one range: each of them is kept in memory."""


def grid(
    setup: Setup,
    *,
    values: Mapping[str, Sequence[Any]] | None = None,
    levels: int | Mapping[str, int] | None = None,
    shuffle: bool = True,
) -> GridSampler:
    """Grid search over the space.

    Args:
        setup: What it is built from.
        values: name -> the values to try, for parameters whose grid is given by hand.
        levels: How many values to take from each range (or name -> how many), evenly spaced, on
            a log scale where the range is.
        shuffle: Visit the points in an order drawn by the run's seed, so that a budget smaller
            than the grid sees a fair sample; else in lexicographic order.

    Raises:
        InputError: A name or a value that is not in the space.
        ValueError: A continuous range with neither values nor levels.
    """
    chosen = dict(values or {})
    for name, given in chosen.items():
        _check_values(name, given, setup)
    if not isinstance(shuffle, bool):
        raise InputError("shuffle", shuffle, "expected true or false")
    names_with_levels = levels if isinstance(levels, Mapping) else {}
    for name in names_with_levels:
        if name not in setup.space:
            raise InputError(
                "levels", name, f"not a searched parameter; {one_of(name, setup.space)}"
            )
    for count in names_with_levels.values() if names_with_levels else [levels]:
        if isinstance(count, int | float) and count > MAX_LEVELS:
            raise InputError("levels", count, f"expected {MAX_LEVELS:,} at most")
    return GridSampler({**setup.space, **chosen}, levels=levels, shuffle=shuffle, seed=setup.seed)


def _check_values(name: str, values: Sequence[Any], setup: Setup) -> None:
    if name not in setup.space:
        raise InputError("values", name, f"not a searched parameter; {one_of(name, setup.space)}")
    if not isinstance(values, list | tuple):
        raise InputError(f"values.{name}", values, "expected a list")
    for value in values:
        check_value(f"values.{name}", value, setup.space[name])


def throwaway_setup(objective: Objective) -> Setup:
    """A setup on an empty study in memory: to see whether a method can be built at all."""
    study = optuna.create_study(direction=objective.directions[0], pruner=NopPruner())
    return Setup(study, objective.search_space, seed=0, max_fidelity=objective.max_fidelity)
