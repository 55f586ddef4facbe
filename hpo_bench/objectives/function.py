"""A function of Optuna's as an objective: `def objective(trial): ... return value`, unchanged.

    from hpo_bench.objectives.function import Function

    Function(train, direction="maximize")                # searched as the function suggests
    Function("my_training:objective", steps=9)           # by an import path; 9 reports in full
    Function(train, space={"lr": {"low": 1e-4, "high": 0.1, "log": True}})

In a suite:

    [objective]
    function = "my_training:objective"
    direction = "maximize"

Unlike other objectives it is not advanced step by step. The harness calls it once for an evaluation
(`Objective.is_called`) with a `FunctionTrial`, which hands every suggestion, report and question of
the function on to whoever answers (`Answers`): the study of the run, in this process or at the
other end of a pipe. A step is a report of the function. Its search space is `UnknownSpace` unless
`space` is given.
"""

from __future__ import annotations

import datetime
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import BaseTrial

from hpo_bench import plugins
from hpo_bench.errors import InputError
from hpo_bench.objectives.base import Evaluation, Objective, suggest
from hpo_bench.references import Reference, digest_of
from hpo_bench.spaces import (
    Configuration,
    Space,
    UnknownSpace,
    check_value,
    declared,
    is_known,
    to_table,
)

DIRECTIONS = {"minimize": StudyDirection.MINIMIZE, "maximize": StudyDirection.MAXIMIZE}


class Answers(Protocol):
    """Whoever answers what a function asks of its trial."""

    def suggest(self, name: str, dist: BaseDistribution) -> Any:
        """Give a value for a hyperparameter; the same one when asked again."""

    def report(self, step: int, value: float) -> None:
        """Take an intermediate value."""

    def should_prune(self) -> bool:
        """Say whether the function should stop here."""

    def set_user_attr(self, key: str, value: Any) -> None:
        """Take what is recorded with the trial, as a JSON value."""


class FunctionTrial(BaseTrial):
    """The trial that a function is called with; all of `optuna.Trial` that is public.

    Args:
        number: Of the trial in its study.
        configuration: Values that are given beforehand; others are asked for.
        answers: Who is asked.
        direction: Of the study.
        is_complete: Whether no other hyperparameter may be suggested than those given.
    """

    def __init__(
        self,
        number: int,
        configuration: Configuration,
        answers: Answers,
        direction: StudyDirection,
        *,
        is_complete: bool,
    ) -> None:
        self._number = number
        self._given = configuration
        self._answers = answers
        self._direction = direction
        self._is_complete = is_complete
        self._params: Configuration = {}
        self._distributions: dict[str, BaseDistribution] = {}
        self._user_attrs: dict[str, Any] = {}
        self._start = datetime.datetime.now()
        self._reported: set[int] = set()

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """As `optuna.Trial.suggest_float`."""
        value: float = self._suggest(name, FloatDistribution(low, high, log=log, step=step))
        return value

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """As `optuna.Trial.suggest_int`."""
        value: int = self._suggest(name, IntDistribution(low, high, log=log, step=step))
        return value

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """As `optuna.Trial.suggest_categorical`."""
        return self._suggest(name, CategoricalDistribution(choices))

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """As the old `optuna.Trial.suggest_uniform`."""
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """As the old `optuna.Trial.suggest_loguniform`."""
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """As the old `optuna.Trial.suggest_discrete_uniform`."""
        return self.suggest_float(name, low, high, step=q)

    def _suggest(self, name: str, dist: BaseDistribution) -> Any:
        if name in self._distributions:
            optuna.distributions.check_distribution_compatibility(self._distributions[name], dist)
        else:
            is_given = name in self._given
            value = self._chosen(name, dist) if is_given else self._asked(name, dist)
            self._params[name], self._distributions[name] = value, dist
        return self._params[name]

    def _chosen(self, name: str, dist: BaseDistribution) -> Any:
        """Give what was chosen before the call."""
        value = self._given[name]
        is_continuous = isinstance(dist, FloatDistribution) and dist.step is None
        if is_continuous and isinstance(value, int):
            # A range { low = 0, high = 1 } holds the whole numbers 0 and 1 alone.
            expected = "the function suggests a float: write the numbers with a point, e.g. 1.0"
            raise InputError(f"space.{name}", value, expected)
        return check_value(f"space.{name}", value, dist)

    def _asked(self, name: str, dist: BaseDistribution) -> Any:
        if self._is_complete:
            expected = f"the function suggests it, too: give it a range, {to_table(dist)}"
            raise InputError(f"space.{name}", None, expected)
        return self._answers.suggest(name, dist)

    def report(self, value: float, step: int) -> None:
        """As `optuna.Trial.report`."""
        try:
            number, place = float(value), int(step)
        except (TypeError, ValueError):
            raise TypeError(f"report({value!r}, {step!r}): expected a number and a step") from None
        if place < 0:
            raise ValueError(f"report: the step is {place}; expected 0 or more")
        if place in self._reported:
            warnings.warn(f"step {place} was reported before: ignored", stacklevel=2)
            return
        self._reported.add(place)
        self._answers.report(place, number)

    def should_prune(self) -> bool:
        """As `optuna.Trial.should_prune`."""
        return self._answers.should_prune()

    def set_user_attr(self, key: str, value: Any) -> None:
        """As `optuna.Trial.set_user_attr`; the value must be one that JSON has.

        Raises:
            TypeError: It is none.
        """
        held = value.item() if callable(getattr(value, "item", None)) else value  # of NumPy
        json.dumps(held)
        self._user_attrs[key] = held
        self._answers.set_user_attr(key, held)

    def set_constraint(self, key: str, value: float) -> None:
        """Refuse: methods are compared on one value, and none is told of constraints."""
        del value
        raise NotImplementedError(f"constraint {key!r}: no method would be told of it")

    @property
    def study(self) -> optuna.Study:
        """An empty study of the same direction, for integrations that ask for it."""
        return optuna.create_study(direction=self._direction)

    @property
    def params(self) -> Configuration:
        """What was suggested so far."""
        return dict(self._params)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """From what it was suggested."""
        return dict(self._distributions)

    @property
    def user_attrs(self) -> dict[str, Any]:
        """What the function has set."""
        return dict(self._user_attrs)

    @property
    def constraints(self) -> dict[str, float]:
        """There are none."""
        return {}

    @property
    def datetime_start(self) -> datetime.datetime:
        """When the function was called."""
        return self._start

    @property
    def number(self) -> int:
        """Of the trial in its study."""
        return self._number


class Function(Objective):
    """A define-by-run function of Optuna's.

    Args:
        function: It takes a trial and returns a number; itself, or its import path `module:name`.
            Conditional hyperparameters, `trial.report`, `trial.should_prune` with
            `optuna.TrialPruned`, and `trial.set_user_attr` mean what they mean in Optuna.
        direction: "minimize" or "maximize".
        space: Its search space, where a method needs it beforehand: name -> range, choices or fixed
            value, as in a suite. Then all of it is chosen before the function is called.
        steps: How often it reports if nothing stops it; methods that stop evaluations on the way
            by a schedule (bohb) need it. None: that is not known.

    Raises:
        InputError: An argument that cannot be used.

    Example:
        >>> from hpo_bench.objectives.function import Function
        >>> Function(lambda trial: trial.suggest_float("x", -1, 1) ** 2).evaluate({"x": 0.5})
        0.25
    """

    fidelity_name = "steps"
    is_called = True

    def __init__(
        self,
        function: Callable[[Any], Any] | str,
        direction: str = "minimize",
        space: Mapping[str, Any] | None = None,
        steps: int | None = None,
    ) -> None:
        if isinstance(function, str):
            self._function: Callable[[Any], Any] = plugins.load_path("function", function)
        elif callable(function):
            self._function = function
        else:
            raise InputError("function", function, "expected a function of a trial, or its path")
        if direction not in DIRECTIONS:
            raise InputError("direction", direction, f"expected {' or '.join(DIRECTIONS)}")
        is_count = isinstance(steps, int) and not isinstance(steps, bool) and steps >= 1
        if steps is not None and not is_count:
            raise InputError("steps", steps, "expected a whole number, 1 or more")
        self._digest = (
            function.digest if isinstance(function, Reference) else digest_of(self._function)
        )
        self._direction = DIRECTIONS[direction]
        self.max_fidelity = steps or 1
        self._space: Space = UnknownSpace()
        self._fixed: Configuration = {}
        if space is not None:
            self._space, self._fixed = declared(space)

    @property
    def search_space(self) -> Space:
        """What was given as `space`."""
        return self._space

    @property
    def directions(self) -> list[StudyDirection]:
        """As it was given."""
        return [self._direction]

    def describe(self) -> Mapping[str, Any]:
        """A digest of the function's source: runs of another function are not gone on with."""
        return {"function_digest": self._digest}

    def start(self, configuration: Configuration) -> Evaluation:
        """Refuse: a function cannot be taken step by step, it is called."""
        raise NotImplementedError("a function of Optuna's is called with a trial, see `call`")

    def call(self, number: int, configuration: Configuration, answers: Answers) -> Any:
        """Call the function once.

        Args:
            number: Of the trial.
            configuration: Values that are given beforehand.
            answers: Who is asked for all others, and told what the function reports.

        Returns:
            Whatever the function returns.
        """
        known = {**self._fixed, **configuration}
        is_complete = is_known(self._space)
        trial = FunctionTrial(number, known, answers, self._direction, is_complete=is_complete)
        return self._function(trial)

    def look(self) -> Space:
        """Call the function once, up to its first report; give what it suggested by then."""
        if is_known(self._space):
            return self._space
        looking = _Looking()
        with suppress(Exception, _Enough):  # what it has suggested before it failed is seen
            self.call(0, {}, looking)
        return looking.seen

    def evaluate_many(self, configurations: Sequence[Configuration]) -> list[float]:
        """Evaluate several configurations in full, one by one."""
        return [float(self.call(0, given, _Nobody())) for given in configurations]

    def __call__(self, trial: optuna.Trial) -> float:
        """Evaluate what `trial` suggests, as a plain objective of Optuna's."""
        value = self.call(trial.number, suggest(trial, self._space), _Directly(trial))
        return float(value)


class _Enough(BaseException):
    """Ends a call that was only to be looked at."""


class _Looking:
    """Answers by chance, and takes down what is asked for."""

    def __init__(self) -> None:
        self.seen: Space = {}
        self._trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()

    def suggest(self, name: str, dist: BaseDistribution) -> Any:
        self.seen[name] = dist
        return suggest(self._trial, {name: dist})[name]

    def report(self, *_: float) -> None:
        raise _Enough

    def should_prune(self) -> bool:
        return False

    def set_user_attr(self, key: str, value: Any) -> None:
        pass


class _Nobody:
    """Answers where a configuration is evaluated outside of any study."""

    def suggest(self, name: str, dist: BaseDistribution) -> Any:
        raise InputError("configuration", name, f"it is missing; expected a value from {dist}")

    def report(self, step: int, value: float) -> None:
        pass

    def should_prune(self) -> bool:
        return False

    def set_user_attr(self, key: str, value: Any) -> None:
        pass


class _Directly:
    """Answers from a trial of Optuna's."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial
        self.should_prune = trial.should_prune
        self.set_user_attr = trial.set_user_attr

    def suggest(self, name: str, dist: BaseDistribution) -> Any:
        return suggest(self._trial, {name: dist})[name]

    def report(self, step: int, value: float) -> None:
        self._trial.report(value, step)
