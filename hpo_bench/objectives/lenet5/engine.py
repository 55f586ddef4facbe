"""Choose the engine of this machine: the compiled kernel, or torch if nothing compiles it."""

from __future__ import annotations

import logging
from functools import cache

from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives.lenet5.epoch import Engine
from hpo_bench.objectives.lenet5.kernel import Kernel
from hpo_bench.objectives.lenet5.plain import Plain

logger = logging.getLogger(__name__)


@cache
def engine() -> Engine:
    """Return the compiled kernel, or torch with a warning if no compiler works.

    The choice is made once per process.
    """
    try:
        return Kernel.compiled(Plain())
    except HpoBenchError as error:
        logger.warning("training runs on torch, which takes several times as long: %s", error)
        return Plain(str(error))
