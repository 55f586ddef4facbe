"""Objectives that are relatives: several tables of one collection are one family, and one block.

Methods do alike on relatives (the four tables of HPOBench train the same networks on other data),
so that four of them are no four independent witnesses. Every family has the same weight, and what
is said of objectives in general counts families.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from hpo_bench.analysis.history import Array, History

_OF_THEIR_OWN = {"table": "table", "bbob": "function"}
"""Objectives whose problems have nothing in common -> the option that tells them apart."""


def family(suite: str, histories: Sequence[History]) -> str:
    """Name the family of a suite's objective; the suite's name where its studies say nothing."""
    told = next((history.attributes for history in histories if history.attributes), {})
    objective = str(told.get("objective", suite))
    options = told.get("objective_options")
    own = options.get(_OF_THEIR_OWN.get(objective)) if isinstance(options, dict) else None
    return objective if own is None else f"{objective} {own}"


def weights(families: Sequence[str]) -> Array:
    """Give the weight of each objective: each family has the same, and they come to 1."""
    members = Counter(families)
    return np.array([1 / (len(members) * members[name]) for name in families])
