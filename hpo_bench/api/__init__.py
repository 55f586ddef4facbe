"""What Python users call: compare, run, results, load. The command line is a layer over it."""

from hpo_bench.api.found import Best, Results, find, results
from hpo_bench.api.running import choose, compare, load, run

__all__ = ["Best", "Results", "choose", "compare", "find", "load", "results", "run"]
