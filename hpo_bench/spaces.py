"""Search spaces as plain data: name -> Optuna distribution, read from and checked against tables.

A space says for every hyperparameter either a fixed value or a range. As TOML:

    c1 = { low = 4, high = 64, log = true }     # a range of whole numbers
    learning_rate = { low = 1e-4, high = 1e-1, log = true }
    dropout = { low = 0.0, high = 0.5, step = 0.1 }
    activation = { choices = ["relu", "tanh"] }
    batch_size = 64                             # fixed
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hpo_bench.errors import HpoBenchError, InputError, one_of

Configuration = dict[str, Any]
Space = dict[str, BaseDistribution]


class UnknownSpaceError(HpoBenchError):
    """Something needs the space beforehand, of an objective that defines it while it runs."""

    def __init__(self, told: str = "the space is not known before the objective runs") -> None:
        super().__init__(told)


class UnknownSpace(Space):
    """The space of an objective that defines it while it runs: whoever looks into it is told so.

    Raises:
        UnknownSpaceError: At every look.
    """

    def _refuse(self, *_: object) -> Any:
        raise UnknownSpaceError

    __iter__ = __len__ = __getitem__ = __contains__ = __eq__ = _refuse
    items = keys = values = get = copy = __or__ = __ror__ = _refuse
    __hash__ = None


def is_known(space: Space) -> bool:
    """Whether a space can be looked into before its objective runs."""
    return not isinstance(space, UnknownSpace)


_RANGE_KEYS = {"low", "high", "step", "log"}


def key_of(configuration: Mapping[str, Any]) -> str:
    """Give a text that two configurations share exactly if they are the same."""
    return json.dumps(configuration, sort_keys=True, default=repr)


@dataclass(frozen=True)
class Parameter:
    """A hyperparameter of an objective: its default, and every value it may take at all."""

    default: Any
    legal: BaseDistribution


def resolve(
    parameters: Mapping[str, Parameter], given: Mapping[str, Any]
) -> tuple[Space, Configuration]:
    """Split what a user gave into the space to search and the values that stay fixed.

    Args:
        parameters: All hyperparameters of the objective; those not given keep their default.
        given: name -> fixed value, distribution, or table as in this module's docstring.

    Returns:
        The search space, and the fixed values of all other parameters.

    Raises:
        InputError: An unknown name, a malformed range, or a value outside what is legal.
    """
    space: Space = {}
    fixed: Configuration = {name: parameter.default for name, parameter in parameters.items()}
    for name, value in given.items():
        if name not in parameters:
            raise InputError("space", name, f"no such hyperparameter; {one_of(name, parameters)}")
        legal = parameters[name].legal
        field = f"space.{name}"
        _expect_no_list(field, value)
        found = distribution(field, value, legal) if isinstance(value, Mapping) else value
        if isinstance(found, BaseDistribution):
            _check_range(field, found, legal)
            space[name] = found
            del fixed[name]
        else:
            fixed[name] = check_value(field, found, legal)
    return space, fixed


def declared(given: object) -> tuple[Space, Configuration]:
    """Read a space that itself says what there is: no objective knows of parameters beforehand.

    Args:
        given: name -> fixed value (text, number, boolean), distribution, or table as in this
            module's docstring.

    Returns:
        The search space, and the fixed values.

    Raises:
        InputError: It is no table, holds a malformed range, or a value that cannot be passed on.
    """
    if not isinstance(given, Mapping):
        raise InputError("space", given, "expected a table: lr = { low = 1e-4, high = 0.1 }")
    space: Space = {}
    fixed: Configuration = {}
    for name, value in given.items():
        field = f"space.{name}"
        _expect_no_list(field, value)
        found = distribution(field, value) if isinstance(value, Mapping) else value
        if isinstance(found, BaseDistribution):
            space[name] = found
        elif isinstance(found, str | bool | int | float):
            fixed[name] = found
        else:
            raise InputError(field, found, "expected a text, a number, true or false, or a range")
    return space, fixed


def _expect_no_list(field: str, value: object) -> None:
    if isinstance(value, list | tuple):
        expected = "a range is written { low = 2, high = 16 }, choices { choices = [2, 16] }"
        raise InputError(field, value, expected)


def distribution(
    field: str, table: Mapping[str, Any], legal: BaseDistribution | None = None
) -> BaseDistribution:
    """Make a distribution from a table; `legal` says its type where the numbers alone do not.

    Raises:
        InputError: Unknown or missing keys, `low > high`, a log range that touches zero, ...
    """
    unknown = set(table) - _RANGE_KEYS - {"choices"}
    if unknown:
        name = sorted(unknown)[0]
        raise InputError(f"{field}.{name}", table[name], one_of(name, _RANGE_KEYS | {"choices"}))
    if "choices" in table:
        return _choices(field, table)
    for key in ("low", "high"):
        if key not in table:
            raise InputError(field, dict(table), "a range needs low and high, or choices = [...]")
    for key in ("low", "high", "step"):
        if key in table and not _is_number(table[key]):
            raise InputError(f"{field}.{key}", table[key], "expected a number")
    if not isinstance(table.get("log", False), bool):
        raise InputError(f"{field}.log", table["log"], "expected true or false")
    if table["low"] > table["high"]:
        raise InputError(field, dict(table), "low must not be greater than high")
    return _range(field, table, legal)


def _choices(field: str, table: Mapping[str, Any]) -> CategoricalDistribution:
    choices = table["choices"]
    if set(table) != {"choices"} or not isinstance(choices, list | tuple) or not choices:
        raise InputError(field, dict(table), "expected choices = [...] alone, with one at least")
    return CategoricalDistribution(choices)


def _range(
    field: str, table: Mapping[str, Any], legal: BaseDistribution | None
) -> IntDistribution | FloatDistribution:
    if isinstance(legal, CategoricalDistribution):
        raise InputError(field, dict(table), f"expected choices = {list(legal.choices)}")
    numbers = [table[key] for key in ("low", "high", "step") if key in table]
    whole = all(isinstance(number, Integral) for number in numbers)
    if isinstance(legal, IntDistribution) and not whole:
        raise InputError(field, dict(table), "expected whole numbers")
    kind = IntDistribution if whole and not isinstance(legal, FloatDistribution) else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            made = (kind or FloatDistribution)(**table)
    except (ValueError, OverflowError) as error:
        raise InputError(field, dict(table), str(error)) from None
    # Optuna cuts a range that its step does not divide.
    if made.high != type(made.high)(table["high"]):
        expected = f"the step must divide the range: expected e.g. high = {made.high}"
        raise InputError(field, dict(table), expected)
    return made


def to_table(dist: BaseDistribution) -> dict[str, Any]:
    """Turn a distribution back into the table that `distribution` reads."""
    if isinstance(dist, CategoricalDistribution):
        return {"choices": list(dist.choices)}
    assert isinstance(dist, IntDistribution | FloatDistribution)
    table: dict[str, Any] = {"low": dist.low, "high": dist.high}
    if dist.log:
        table["log"] = True
    elif dist.step is not None and not (isinstance(dist, IntDistribution) and dist.step == 1):
        table["step"] = dist.step
    return table


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)  # NumPy's, too


def _expected(legal: BaseDistribution) -> str:
    if isinstance(legal, CategoricalDistribution):
        return f"expected one of {list(legal.choices)}"
    assert isinstance(legal, IntDistribution | FloatDistribution)
    is_whole = isinstance(legal, IntDistribution)
    is_plain = legal.log or legal.step is None or (is_whole and legal.step == 1)
    kind = "a whole number" if is_whole else "a number"
    steps = "" if is_plain else f" in steps of {legal.step}"
    return f"expected {kind} from {legal.low} to {legal.high}{steps}"


def check_value(field: str, value: Any, legal: BaseDistribution) -> Any:
    """See that a distribution can take a value, and give it the distribution's type.

    Raises:
        InputError: It cannot.
    """
    is_legal = (
        value in legal.choices
        if isinstance(legal, CategoricalDistribution)
        else _is_number(value)
        and (isinstance(value, Integral) or not isinstance(legal, IntDistribution))
        and _inside(value, legal)
    )
    if not is_legal:
        raise InputError(field, value, _expected(legal))
    if isinstance(legal, CategoricalDistribution):
        return value
    return float(value) if isinstance(legal, FloatDistribution) else int(value)


def contains(space: Space, configuration: Configuration) -> bool:
    """Whether a configuration has a value of every hyperparameter, each of which it may take."""
    try:
        for name, dist in space.items():
            check_value(name, configuration.get(name), dist)
    except InputError:
        return False
    return space.keys() == configuration.keys()


def _inside(value: float, legal: BaseDistribution) -> bool:
    assert isinstance(legal, IntDistribution | FloatDistribution)
    if not legal.low <= value <= legal.high:
        return False
    steps = 0.0 if legal.log or legal.step is None else (value - legal.low) / legal.step
    return abs(steps - round(steps)) < 1e-8


def _check_range(field: str, given: BaseDistribution, legal: BaseDistribution) -> None:
    if isinstance(given, CategoricalDistribution):
        for choice in given.choices:
            check_value(field, choice, legal)
        return
    assert isinstance(given, IntDistribution | FloatDistribution)
    kinds_differ = isinstance(legal, CategoricalDistribution) or (
        isinstance(legal, IntDistribution) and not isinstance(given, IntDistribution)
    )
    if kinds_differ or not (_inside(given.low, legal) and _inside(given.high, legal)):
        raise InputError(field, to_table(given), _expected(legal))
