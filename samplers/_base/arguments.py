"""The arguments of samplers: checked, and with NumPy's scalars and arrays as Python values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution


def as_python(value: Any) -> Any:
    """Give a NumPy scalar or array as Python values; leave anything else as it is.

    A storage cannot write NumPy's values, which are not JSON.
    """
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def with_python_choices(distribution: BaseDistribution) -> BaseDistribution:
    """Give an equal distribution whose choices are Python values."""
    if isinstance(distribution, CategoricalDistribution) and any(
        isinstance(choice, np.generic) for choice in distribution.choices
    ):
        return CategoricalDistribution([as_python(choice) for choice in distribution.choices])
    return distribution


def checked_integer(
    field: str, value: object, right: str = "", test: Callable[[int], bool] = lambda _: True
) -> int:
    """Give an integer argument.

    Args:
        field: The argument's name.
        value: What the user gave.
        right: Which integers are allowed, for the message.
        test: Whether an integer is allowed.

    Raises:
        ValueError: The value is not an integer, or not allowed.
    """
    plain = as_python(value)
    if isinstance(plain, bool) or not isinstance(plain, int) or not test(plain):
        raise ValueError(f"{field}: {value!r} cannot be used; give an integer {right}".rstrip())
    return plain


def checked_number(field: str, value: object, right: str, test: Callable[[float], bool]) -> float:
    """Give an argument that is a number; see `checked_integer`.

    Raises:
        ValueError: The value is not a number, or not allowed.
    """
    plain = as_python(value)
    if isinstance(plain, bool) or not isinstance(plain, int | float) or not test(plain):
        raise ValueError(f"{field}: {value!r} cannot be used; give a number {right}")
    return plain


def checked_space(search_space: object) -> dict[str, BaseDistribution] | None:
    """Give the argument `search_space`: name to distribution, or None.

    Raises:
        ValueError: It is neither.
    """
    if search_space is None:
        return None
    if not isinstance(search_space, Mapping):
        raise ValueError(
            f"search_space: {search_space!r} cannot be used; "
            "give a dictionary of names and Optuna distributions, or None"
        )
    for name, distribution in search_space.items():
        if not isinstance(distribution, BaseDistribution):
            raise ValueError(
                f"search_space[{name!r}]: {distribution!r} cannot be used; "
                "give an Optuna distribution"
            )
    return {name: with_python_choices(d) for name, d in search_space.items()}
