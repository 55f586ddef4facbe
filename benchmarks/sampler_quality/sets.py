"""Which problems the samplers are developed on, and which are kept to judge them by.

Everything that is tuned is tuned on the development set. The held-out set is looked at once, when
nothing will be changed any more. An instance of BBOB, and a number of a generated problem, is its
seed too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEVELOPMENT, HELD_OUT = "development", "held-out"

DIMENSIONS = {DEVELOPMENT: (2, 5, 10), HELD_OUT: (4, 16)}
INSTANCES = {DEVELOPMENT: (1, 2, 3, 4, 5), HELD_OUT: (6, 7, 8)}
GENERATED = {DEVELOPMENT: range(1, 13), HELD_OUT: range(101, 113)}

TABLES: Mapping[str, Mapping[str, tuple[str, str]]] = {
    DEVELOPMENT: {
        "hpobench-car": ("HPOBench", "car"),
        "hpobench-phoneme": ("HPOBench", "phoneme"),
        "hpobench-vehicle": ("HPOBench", "vehicle"),
        "hpobench-australian": ("HPOBench", "australian"),
        "hpolib-naval": ("HPOLib", "naval_propulsion"),
        "hpolib-parkinsons": ("HPOLib", "parkinsons_telemonitoring"),
    },
    HELD_OUT: {
        "hpobench-kc1": ("HPOBench", "kc1"),
        "hpobench-segment": ("HPOBench", "segment"),
        "hpobench-blood": ("HPOBench", "blood_transfusion"),
        "hpobench-credit": ("HPOBench", "credit_g"),
        "hpolib-protein": ("HPOLib", "protein_structure"),
        "hpolib-slice": ("HPOLib", "slice_localization"),
        "nasbench201-cifar10": ("NASBench201", "cifar10"),
        "nasbench201-cifar100": ("NASBench201", "cifar100"),
        "nasbench201-imagenet": ("NASBench201", "imagenet"),
    },
}

FEW_FUNCTIONS = (1, 3, 6, 8, 10, 13, 15, 17, 21, 22)  # of BBOB's 24, each group among them
FEW_GENERATED, FEW_SEEDS = 8, 2


def suite(name: str, which: str, *, quick: bool = False) -> list[str]:
    """List the names of a suite's problems.

    Args:
        name: bbob, lattice, mixed, noise, trees or parallel.
        which: DEVELOPMENT or HELD_OUT.
        quick: A part that two cores run in minutes.
    """
    functions = FEW_FUNCTIONS if quick else tuple(range(1, 25))
    numbers = list(GENERATED[which])[: FEW_GENERATED if quick else None]
    instances = INSTANCES[which][: 1 if quick else None]
    seeds = range(1, 1 + (FEW_SEEDS if quick else 5))
    bbob = [
        f"f{f:02}-d{d}/{instance}"
        for f in functions
        for d in DIMENSIONS[which]
        for instance in instances
    ]
    tables = [f"{table}/{seed}" for table in TABLES[which] for seed in seeds]
    spaces = [f"mixed{number}/{seed}" for number in numbers for seed in seeds]
    listed: dict[str, Any] = {
        "bbob": bbob,
        "lattice": bbob,
        "mixed": tables + spaces,
        "noise": spaces + [b for b in bbob if "-d5/" in b or "-d4/" in b],
        "trees": [f"tree{number}/{seed}" for number in numbers for seed in seeds],
        "parallel": bbob[::2] + spaces[::2],
    }
    return [f"{name}/{problem}" for problem in listed[name]]
