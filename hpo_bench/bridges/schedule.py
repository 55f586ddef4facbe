"""HpBandSter's Hyperband schedule and SuccessiveHalving brackets by ask and tell, in one process.

HpBandSter's own classes decide which configuration runs next on which budget (Li et al. 2017,
"Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", algorithm 1; Falkner et
al. 2018, section 3.1). This module does not use HpBandSter's network layer (Pyro4), which hangs
with NumPy 2 and accepts results from any local process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hpbandster.core.dispatcher import Job
from hpbandster.core.master import Master
from hpbandster.optimizers import BOHB

from hpo_bench.bridges.generator import Generator, quiet
from hpo_bench.bridges.unit_cube import Point

ConfigId = tuple[int, int, int]
"""HpBandSter's id of a configuration: bracket, rung of entry, and place there, each from 0."""

Sampler = Callable[[ConfigId], tuple[Point, str]]
"""Returns the point of a new configuration, and the origin of its pick."""


@dataclass(frozen=True)
class Run:
    """One evaluation that HpBandSter asks for: a configuration on a budget."""

    config_id: ConfigId
    """Id of the configuration."""
    point: Point
    """The configuration as a point of the unit cube."""
    pick: str
    """Origin of the pick: "model", "random" or "fallback"."""
    rung: int
    """Rung of the bracket, from 0."""
    budget: int
    """Epochs to train in total, including those of earlier rungs."""

    @property
    def bracket(self) -> int:
        """Number of the bracket in the whole search, from 0."""
        return self.config_id[0]


class _InProcessMaster(Master):  # type: ignore[misc]
    """HpBandSter's master with only the state that its schedules use: no threads, no sockets."""

    def __init__(self, config_generator: object) -> None:
        self.config_generator = config_generator
        self.iterations: list[Any] = []
        self.config: dict[str, Any] = {}


class Schedule(BOHB, _InProcessMaster):  # type: ignore[misc]
    """An endless sequence of Hyperband's brackets.

    While a rung waits for results, the next bracket can start. Any number of runs can therefore be
    evaluated at the same time.

    Args:
        generator: The model, which learns the results.
        sampler: Draws new configurations.
        ladder: The budgets in epochs, ascending, each `eta` times the one before.
        eta: One of `eta` configurations goes to the next rung.
    """

    def __init__(self, generator: Generator, sampler: Sampler, ladder: list[int], eta: int) -> None:
        with quiet():
            BOHB.__init__(self, generator.cube, eta, ladder[0], ladder[-1])
        # HpBandSter computes these by a logarithm that it truncates: 1 to 243 by 3 would lose its
        # first rung.
        self.max_SH_iter, self.budgets = len(ladder), ladder
        self._sampler = sampler
        self._generator = generator

    def get_next_iteration(self, iteration: int, iteration_kwargs: Any = None) -> Any:
        """Open a bracket as HpBandSter does, but draw its configurations by our sampler."""
        bracket = super().get_next_iteration(iteration, iteration_kwargs or {})

        def sample(_budget: int) -> tuple[Point, dict[str, str]]:
            place = bracket.actual_num_configs[bracket.stage]
            point, pick = self._sampler((iteration, bracket.stage, place))
            return point, {"pick": pick}

        bracket.config_sampler = sample
        # HpBandSter computes int(n * eta ** -rung) in floating point: 343 * 7 ** -2 gives 6
        # configurations instead of 7.
        first, rungs = bracket.num_configs[0], range(len(bracket.num_configs))
        bracket.num_configs = [first // self.eta**rung for rung in rungs]
        return bracket

    def next_run(self) -> Run:
        """Return the next run of the oldest bracket that has one, else the first of a new one."""
        for index in self.active_iterations():
            found = self.iterations[index].get_next_run()
            if found is not None:
                return self._run(*found)
        self.iterations.append(self.get_next_iteration(len(self.iterations)))
        return self._run(*self.iterations[-1].get_next_run())

    def register(self, run: Run, loss: float | None, *, learn: bool = True) -> list[ConfigId]:
        """Enter the result of a run.

        Args:
            run: A run from `next_run`.
            loss: The value to minimise; None if there is none, which drops the configuration.
            learn: Whether the model learns the result.

        Returns:
            All configurations of this bracket that have been dropped so far.
        """
        bracket = self.iterations[run.bracket]
        job = Job(run.config_id, config=run.point, budget=run.budget)
        job.result = None if loss is None else {"loss": loss}
        bracket.register_result(job)
        if learn:
            self._generator.learn(job)
        if _rung_is_decided(bracket):
            bracket.process_results()
        return [key for key, datum in bracket.data.items() if datum.status == "TERMINATED"]

    def _run(self, config_id: ConfigId, point: Point, budget: int) -> Run:
        bracket = self.iterations[config_id[0]]
        pick = bracket.data[config_id].config_info["pick"]
        return Run(config_id, point, pick, bracket.stage, budget)


def _rung_is_decided(bracket: Any) -> bool:
    """Return whether all results of a bracket's rung are there.

    HpBandSter itself decides a rung only at the next `get_next_run`; `register` decides it at once,
    so that the dropped configurations are known.
    """
    full = bracket.actual_num_configs[bracket.stage] == bracket.num_configs[bracket.stage]
    waiting = any(datum.status == "QUEUED" for datum in bracket.data.values())
    return full and not waiting and bracket.num_running == 0
