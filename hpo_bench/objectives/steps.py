"""Generators as objectives: a function that yields a value after every epoch, and can go on.

    import hpo_bench

    def train(lr, seed):
        model = Model(lr, seed)
        while True:
            model.fit_one_epoch()
            yield model.loss()

    space = {"lr": {"low": 1e-4, "high": 0.1, "log": True}}
    objective = hpo_bench.steps(train, steps=9, space=space)

In a suite it is named by its import path: `[objective]`, `name = "my_training:objective"`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from optuna.study import StudyDirection

from hpo_bench.errors import InputError, one_of
from hpo_bench.objectives.base import Evaluation, Objective
from hpo_bench.references import digest_of
from hpo_bench.spaces import Configuration, Space, declared

Train = Callable[..., Generator[Any, None, None]]

_OWN = ("seed", "state")
"""Parameters of the function that are no hyperparameters."""


def steps(
    function: Train,
    *,
    steps: int,
    space: Mapping[str, Any] | None = None,
    direction: str = "minimize",
    metric_name: str = "value",
    fidelity_name: str = "epochs",
    save: Callable[[Any], bytes] | None = None,
    load: Callable[[bytes], Any] | None = None,
) -> Steps:
    """Turn a generator function into an objective whose evaluations can stop and go on.

    The function is called with the hyperparameters by name, and with the run's `seed` if it has a
    parameter of that name. After every step it yields the value there, or a dictionary with the
    value under `metric_name` and measurements under other names.

    An evaluation goes on in another process in one of two ways. Without `save` and `load` the
    function is called again, and the steps that are done are repeated: the function must give the
    same values again, which is checked. With them it yields a pair, of what it yields otherwise and
    of its state; `save(state)` is kept. To go on, it is called with `state=load(...)`, and yields
    the step that follows. At the start `state` is left out.

    Args:
        function: A generator function.
        steps: How many values a full training yields, 1 or more.
        space: Name -> range, choices or fixed value, as in a suite, whose `[space]` replaces it.
            What neither has keeps the default in the function's signature.
        direction: `minimize` or `maximize`.
        metric_name: What the value is called in tables, and in the dictionaries.
        fidelity_name: What a step is, in the plural.
        save: Turns a state into bytes.
        load: Turns the bytes back.

    Returns:
        The objective: for `hpo-bench`, and for `study.optimize` of Optuna.

    Raises:
        InputError: An argument that cannot be used.

    Example:
        >>> import hpo_bench
        >>> def halve(start):
        ...     while True:
        ...         start /= 2
        ...         yield start
        >>> objective = hpo_bench.steps(halve, steps=3, space={"start": {"low": 1, "high": 9}})
        >>> objective.evaluate({"start": 8})
        1.0
    """
    definition = _Definition(
        function, steps, direction, metric_name, fidelity_name, save=save, load=load
    )
    definition.check()
    return Steps(definition, space, seed=0)


@dataclass(frozen=True)
class _Definition:
    """What is the same for every run."""

    function: Train
    steps: int
    direction: str
    metric_name: str
    fidelity_name: str
    save: Callable[[Any], bytes] | None
    load: Callable[[bytes], Any] | None

    def check(self) -> None:
        if not inspect.isgeneratorfunction(self.function):
            expected = "expected a generator function, which yields a value after every step"
            raise InputError("function", self.function, expected)
        if not isinstance(self.steps, int) or isinstance(self.steps, bool) or self.steps < 1:
            raise InputError("steps", self.steps, "expected a whole number, 1 or more")
        if self.direction not in ("minimize", "maximize"):
            raise InputError("direction", self.direction, "expected minimize or maximize")
        if (self.save is None) != (self.load is None):
            raise InputError("save, load", (self.save, self.load), "expected both, or none")
        if self.save is not None and not self.takes("state"):
            expected = "with save and load it needs a parameter state=None, to go on from"
            raise InputError("function", self.function, expected)

    @property
    def name(self) -> str:
        return getattr(self.function, "__name__", "the function")

    def takes(self, name: str) -> bool:
        return name in inspect.signature(self.function).parameters

    def check_names(self, given: Mapping[str, Any]) -> None:
        """See that the function takes every name that is given, and needs no other.

        Raises:
            InputError: It does not, or it does.
        """
        parameters = inspect.signature(self.function).parameters
        is_open = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        named = {name for name, p in parameters.items() if p.kind in kinds}
        for name in given:
            if name in _OWN or (name not in named and not is_open):
                allowed = one_of(name, named - {*_OWN})
                raise InputError("space", name, f"{self.name} has no such parameter; {allowed}")
        for name in named - {*_OWN, *given}:
            if parameters[name].default is inspect.Parameter.empty:
                expected = f"{self.name} needs it: expected a range, choices or a value"
                raise InputError(f"space.{name}", None, expected)


class Steps(Objective):
    """What `hpo_bench.steps` makes: see there."""

    def __init__(
        self, definition: _Definition, space: Mapping[str, Any] | None, *, seed: int
    ) -> None:
        self._definition = definition
        self._given = space
        self._space, self._fixed = declared({} if space is None else space)
        if space is not None:
            definition.check_names(space)
        self._seed = seed
        self.metric_name = definition.metric_name
        self.fidelity_name = definition.fidelity_name
        self.max_fidelity = definition.steps

    def remade(
        self, *, space: Mapping[str, Any] | None = None, seed: int = 0, steps: int | None = None
    ) -> Steps:
        """Make the objective of a run.

        Args:
            space: As in a suite; None for its own.
            seed: Of the run.
            steps: How many a full training has; None for as many as before.

        Raises:
            InputError: An argument that cannot be used.
        """
        definition = self._definition if steps is None else replace(self._definition, steps=steps)
        definition.check()
        return Steps(definition, self._given if space is None else space, seed=seed)

    @property
    def function(self) -> Train:
        """The generator function."""
        return self._definition.function

    @property
    def takes_seed(self) -> bool:
        """Whether the function has a parameter `seed`."""
        return self._definition.takes("seed")

    @property
    def search_space(self) -> Space:
        """What has a range or choices."""
        return dict(self._space)

    @property
    def directions(self) -> list[StudyDirection]:
        """As it was given."""
        return [StudyDirection[self._definition.direction.upper()]]

    def describe(self) -> Mapping[str, Any]:
        """Tell the fixed values."""
        return {"fixed": self._fixed}

    def machine(self) -> Mapping[str, Any]:
        """Tell which function it was, by a digest of its source."""
        return {"function_digest": digest_of(self._definition.function)}

    def start(self, configuration: Configuration) -> Evaluation:
        """Call the function, which runs at the first step."""
        return _Training(self._definition, self._call(configuration))

    def restore(self, configuration: Configuration, checkpoint: bytes) -> Evaluation:
        """Call the function again, with its state or with the steps that it has to repeat.

        Raises:
            ValueError: It has given other values than before.
        """
        header, _, state = checkpoint.partition(b"\n")
        before = json.loads(header)
        load = self._definition.load
        if load is not None:
            training = _Training(self._definition, self._call(configuration, state=load(state)))
            training.fidelity, training.measured = before["fidelity"], before["measured"]
            training.saved = checkpoint
            return training
        training = _Training(self._definition, self._call(configuration))
        while training.fidelity < before["fidelity"]:
            training.advance()
        if training.value != before["value"]:
            raise ValueError(
                f"{self._definition.name} gave {training.value!r} at step {training.fidelity}, and "
                f"{before['value']!r} before: it does not repeat, and needs save and load"
            )
        return training

    def _call(self, configuration: Configuration, **state: Any) -> Generator[Any, None, None]:
        seed = {"seed": self._seed} if self.takes_seed else {}
        return self._definition.function(**self._fixed, **configuration, **seed, **state)


class _Training(Evaluation):
    def __init__(self, definition: _Definition, generator: Generator[Any, None, None]) -> None:
        self._definition = definition
        self._generator = generator
        self._state: Any = None
        self.value = 0.0
        self.measured: dict[str, float] = {}
        self.saved: bytes | None = None
        """The checkpoint that it goes on from; None once it has gone on."""

    def advance(self) -> float:
        definition = self._definition
        try:
            found = next(self._generator)
        except StopIteration:
            raise ValueError(
                f"{definition.name} ended after step {self.fidelity} of {definition.steps}; "
                "expected it to yield a value for each"
            ) from None
        if definition.save is not None:
            if not isinstance(found, tuple) or len(found) != 2:
                raise ValueError(f"{definition.name} yielded {found!r}; expected a value, state")
            found, self._state = found
        self.value, self.measured = self._read(found)
        self.fidelity += 1
        self.saved = None
        return self.value

    def measurements(self) -> dict[str, float]:
        return self.measured

    def checkpoint(self) -> bytes | None:
        if self.saved is not None or self.fidelity == 0:
            return self.saved
        told = {"fidelity": self.fidelity, "value": self.value, "measured": self.measured}
        save = self._definition.save
        return json.dumps(told).encode() + b"\n" + (b"" if save is None else save(self._state))

    def close(self) -> None:
        self._generator.close()

    def _read(self, found: Any) -> tuple[float, dict[str, float]]:
        if not isinstance(found, Mapping):
            return _number(found), {}
        numbers = {name: _number(value) for name, value in found.items()}
        metric = self._definition.metric_name
        if metric not in numbers:
            raise ValueError(f"{self._definition.name} yielded {found!r}; expected a {metric!r}")
        return numbers.pop(metric), numbers


def _number(value: Any) -> float:
    """Give the number that NumPy or torch wraps as Python's, which a checkpoint can hold."""
    return float(value.item() if hasattr(value, "item") else value)
