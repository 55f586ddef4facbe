"""A script in any language as an objective: started, read, stopped, continued."""

from hpo_bench.objectives.command.objective import Command
from hpo_bench.objectives.command.words import split

__all__ = ["Command", "split"]
