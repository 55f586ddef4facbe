"""HpBandSter's Hyperband schedule and SuccessiveHalving brackets as ask and tell, in process.

Which configuration runs next on which budget is decided by HpBandSter's own classes (Li et al.
2017, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", algorithm 1;
Falkner et al. 2018, section 3.1). Left out is what serves them over the network: its transport
hangs on NumPy 2 and takes results from any local process.
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
"""HpBandSter's name of a configuration: its bracket, the rung it entered at, its place there."""

Sampler = Callable[[ConfigId], tuple[Point, str]]
"""Gives the point of a new configuration, and how it was picked."""


@dataclass(frozen=True)
class Run:
    """What HpBandSter wants evaluated: one configuration on one budget."""

    config_id: ConfigId
    point: Point
    pick: str
    rung: int
    """0 is the bracket's first."""
    budget: int
    """In epochs."""

    @property
    def bracket(self) -> int:
        """Counted from 0, over the whole search."""
        return self.config_id[0]


class _InProcessMaster(Master):  # type: ignore[misc]
    """The state that HpBandSter's schedules need of their master, without threads and sockets."""

    def __init__(self, config_generator: object) -> None:
        self.config_generator = config_generator
        self.iterations: list[Any] = []
        self.config: dict[str, Any] = {}


class Schedule(BOHB, _InProcessMaster):  # type: ignore[misc]
    """Hyperband's brackets one after the other, for ever.

    A bracket whose rung waits for results does not hold up the next one, so any number of runs
    may be out at a time.
    """

    def __init__(self, generator: Generator, sampler: Sampler, ladder: list[int], eta: int) -> None:
        with quiet():
            BOHB.__init__(self, generator.cube, eta, ladder[0], ladder[-1])
        # HpBandSter takes these from a truncated logarithm: 1 to 243 by 3 loses its first rung.
        self.max_SH_iter, self.budgets = len(ladder), ladder
        self._sampler = sampler
        self._generator = generator

    def get_next_iteration(self, iteration: int, iteration_kwargs: Any = None) -> Any:
        """Open a bracket as HpBandSter does, its configurations drawn by our sampler."""
        bracket = super().get_next_iteration(iteration, iteration_kwargs or {})

        def sample(_budget: int) -> tuple[Point, dict[str, str]]:
            place = bracket.actual_num_configs[bracket.stage]
            point, pick = self._sampler((iteration, bracket.stage, place))
            return point, {"pick": pick}

        bracket.config_sampler = sample
        # HpBandSter rounds n * eta ** -rung down: with 343 by 7, two configurations become one.
        first, rungs = bracket.num_configs[0], range(len(bracket.num_configs))
        bracket.num_configs = [first // self.eta**rung for rung in rungs]
        return bracket

    def next_run(self) -> Run:
        """The next run of the oldest bracket that has one, else the first of a new bracket."""
        for index in self.active_iterations():
            found = self.iterations[index].get_next_run()
            if found is not None:
                return self._run(*found)
        self.iterations.append(self.get_next_iteration(len(self.iterations)))
        return self._run(*self.iterations[-1].get_next_run())

    def register(self, run: Run, loss: float | None, *, learn: bool = True) -> list[ConfigId]:
        """Take in the result of a run.

        Args:
            run: A run from `next_run`.
            loss: To be minimised; None if there is none, and the configuration is out.
            learn: Whether the model is to know.

        Returns:
            The configurations of this bracket that have been dropped so far.
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
    """Whether the next `get_next_run` would compare; asked early, so that the dropped are known."""
    full = bracket.actual_num_configs[bracket.stage] == bracket.num_configs[bracket.stage]
    waiting = any(datum.status == "QUEUED" for datum in bracket.data.values())
    return full and not waiting and bracket.num_running == 0
