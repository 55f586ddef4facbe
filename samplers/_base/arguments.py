"""Check the arguments of samplers, and convert NumPy's scalars and arrays to Python values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution


def as_python(value: Any) -> Any:
    """Convert a NumPy scalar or array to Python values; return anything else unchanged."""
    # Storages write JSON, which has no NumPy values.
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def with_python_choices(distribution: BaseDistribution) -> BaseDistribution:
    """Return an equal distribution whose choices are Python values."""
    if isinstance(distribution, CategoricalDistribution) and any(
        isinstance(choice, np.generic) for choice in distribution.choices
    ):
        return CategoricalDistribution([as_python(choice) for choice in distribution.choices])
    return distribution


def checked_integer(
    field: str, value: object, right: str = "", test: Callable[[int], bool] = lambda _: True
) -> int:
    """Check an integer argument, and return it as a Python integer.

    Args:
        field: Name of the argument, for the error.
        value: The value that the user gave.
        right: The allowed integers in words, for the error.
        test: Returns whether an integer is allowed.

    Raises:
        ValueError: The value is not an integer, or not allowed.
    """
    plain = as_python(value)
    # In Python, True and False are integers.
    if isinstance(plain, bool) or not isinstance(plain, int) or not test(plain):
        raise ValueError(f"{field}: {value!r} cannot be used; give an integer {right}".rstrip())
    return plain


def checked_number(field: str, value: object, right: str, test: Callable[[float], bool]) -> float:
    """Check an argument that is a number, and return it as a Python number.

    The arguments are those of `checked_integer`.

    Raises:
        ValueError: The value is not a number, or not allowed.
    """
    plain = as_python(value)
    if isinstance(plain, bool) or not isinstance(plain, int | float) or not test(plain):
        raise ValueError(f"{field}: {value!r} cannot be used; give a number {right}")
    return plain


def checked_space(search_space: object) -> dict[str, BaseDistribution] | None:
    """Check an argument `search_space`, which is None or maps names to distributions.

    Returns:
        A copy of it, with Python values as choices.

    Raises:
        ValueError: The argument is neither.
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
