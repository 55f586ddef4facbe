"""Results as plain lists and dictionaries, for JSON."""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Turn dataclasses, arrays and tuples inside `value` into what JSON has.

    It has no infinity and no NaN: they are the strings `inf`, `-inf` and `nan`.
    """
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value
