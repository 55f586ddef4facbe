"""Which GPUs a process sees: one of its own, where there are enough.

Two processes on one GPU have a context each and take turns; and CUDA gives everybody the first.
"""

from __future__ import annotations

import os

VISIBLE = "CUDA_VISIBLE_DEVICES"


def see_share(n_gpus: int, place: int, of: int) -> None:
    """Let this process see its share of the GPUs that it sees; before it uses any.

    Args:
        n_gpus: How many there are; 0: the process needs none, and nothing is changed.
        place: Of this process among those that share them, from 0.
        of: How many processes share them.
    """
    if n_gpus == 0:
        return
    named = os.environ.get(VISIBLE)
    names = [str(i) for i in range(n_gpus)] if named is None else named.split(",")[:n_gpus]
    mine = names[place % n_gpus :: of] if of < n_gpus else [names[place % n_gpus]]
    os.environ[VISIBLE] = ",".join(mine)
