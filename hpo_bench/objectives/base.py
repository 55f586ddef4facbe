"""What is searched: objectives, and evaluations of one configuration that can stop and go on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import optuna
from optuna.study import StudyDirection

from hpo_bench.spaces import Configuration, Space, is_known


class Evaluation(ABC):
    """One configuration under evaluation, at some fidelity, able to go on to a higher one.

    Going on from a checkpoint gives bitwise what an uninterrupted evaluation gives.
    """

    fidelity: int = 0
    """How far it has come, in the objective's units (epochs); 0 before the first step."""
    simulated_seconds: float = 0.0
    """What the last step stands for beyond the time it took: a replayed one its recorded time."""

    def begin(self, until: int, directory: Path | None) -> None:
        """Take up what is needed before the first step; runs call it once.

        Args:
            until: The fidelity that it is to reach for now, in the objective's units.
            directory: Where the evaluation may keep files of its own. It need not be there yet,
                and stays until no run needs the evaluation any more. None: there is none.
        """

    def close(self) -> None:
        """Give back what was taken up; nothing is asked of it afterwards. Runs call it once."""

    @abstractmethod
    def advance(self) -> float:
        """Go one unit of fidelity further and return the value there, which methods may see."""

    def measurements(self) -> dict[str, float]:
        """Measure what is recorded beside the value and never shown to a method."""
        return {}

    def checkpoint(self) -> bytes | None:
        """Everything needed to go on in another process; None if that is not supported."""
        return None


class Objective(ABC):
    """A search space, a direction and a fidelity; callable as a plain Optuna objective.

    It has the shape of OptunaHub's `BaseProblem` (`search_space`, `directions`, `evaluate`),
    extended by a fidelity and by evaluations that can be continued.
    """

    metric_name: str = "value"
    """What a value is, in tables; one with "accuracy" in it is taken for one in reports."""
    fidelity_name: str = "evaluation"
    """What a unit of fidelity is, in the plural: "epochs"."""
    max_fidelity: int = 1
    """How many units a full evaluation takes, 1 or more."""
    is_instant: bool = False
    """Whether evaluations take next to no time, so that a run is sooner repeated than saved."""
    is_simulated: bool = False
    """Whether time that nobody waits for counts as spent (`Evaluation.simulated_seconds`)."""
    has_test: bool = False
    """Whether measurements of a full evaluation hold `test_accuracy`."""
    has_held_out: bool = False
    """Whether they hold `held_out`: what other trainings of the configuration came to, of which
    the run knows nothing; with `has_test` also `held_out_test`, the test accuracy of these."""

    is_called: bool = False
    """Whether an evaluation is one call with a trial, which suggests and reports by itself.

    `start` is not asked of it then; see `hpo_bench.objectives.function`.
    """

    @property
    @abstractmethod
    def search_space(self) -> Space:
        """What may be varied: name -> Optuna distribution; `UnknownSpace` if only a call tells."""

    @property
    def directions(self) -> list[StudyDirection]:
        """One direction per value; this suite compares methods on a single one."""
        return [StudyDirection.MINIMIZE]

    @property
    def default(self) -> Configuration | None:
        """What somebody would take who does not search, within the search space; None: nothing."""
        return None

    @property
    def optimum(self) -> Mapping[str, float]:
        """The best there can be, as far as it is known; recorded, and never shown to a method.

        By `validation` (the value), `test`, `held_out`, `held_out_test`.
        """
        return {}

    @abstractmethod
    def start(self, configuration: Configuration) -> Evaluation:
        """Begin to evaluate `configuration` (every name of the search space given)."""

    def restore(self, configuration: Configuration, checkpoint: bytes) -> Evaluation:
        """Go on from what `Evaluation.checkpoint` returned for the same configuration."""
        raise NotImplementedError(f"{type(self).__name__} cannot continue an evaluation")

    def call(self, number: int, configuration: Configuration, answers: Any) -> Any:
        """Evaluate a configuration in one call, where `is_called`; as `Function.call`."""
        raise NotImplementedError(f"{type(self).__name__} is evaluated step by step")

    def look(self) -> Space:
        """Give the search space; where only a call tells, as much as a call shows of it."""
        return self.search_space

    def advance_many(self, evaluations: Sequence[Evaluation]) -> list[float]:
        """Go one unit of fidelity further with each; give what each one's `advance` gives.

        Objectives override it where they can do several at less than their cost one by one.
        """
        return [evaluation.advance() for evaluation in evaluations]

    def n_gpus(self) -> int:
        """Say how many GPUs of this machine it can compute on, a process each; 0: on cores."""
        return 0

    def provide(self) -> None:
        """See that what evaluations need is on this machine, fetching it if need be.

        Called once before any worker starts; loads nothing into memory.

        Raises:
            HpoBenchError: It is not there and cannot be had; the text says what to do.
        """

    def prepare(self) -> None:
        """Do once in each worker what every evaluation needs: load what `provide` provided."""

    def describe(self) -> Mapping[str, Any]:
        """What else tells this objective apart (data and its hash, ...), as JSON values."""
        return {}

    def machine(self) -> Mapping[str, Any]:
        """Tell how this machine evaluates, as JSON values: recorded, and never compared."""
        return {}

    def evaluate(self, params: Configuration) -> float:
        """Evaluate one configuration at full fidelity."""
        return self.evaluate_many([params])[0]

    def evaluate_many(self, configurations: Sequence[Configuration]) -> list[float]:
        """Evaluate several configurations at full fidelity, together where that is faster."""
        values = [float("nan")] * len(configurations)
        with ExitStack() as stack:
            evaluations = [self.start(configuration) for configuration in configurations]
            for evaluation in evaluations:
                stack.callback(evaluation.close)
                evaluation.begin(self.max_fidelity, None)
            for _ in range(self.max_fidelity):
                values = self.advance_many(evaluations)
        return values

    def __call__(self, trial: optuna.Trial) -> float:
        """Evaluate what `trial` suggests, report each unit of fidelity, honour its pruner."""
        with closing(self.start(suggest(trial, self.search_space))) as evaluation:
            return self._train(evaluation, trial)

    def _train(self, evaluation: Evaluation, trial: optuna.Trial) -> float:
        value = float("nan")
        evaluation.begin(self.max_fidelity, None)
        while evaluation.fidelity < self.max_fidelity:
            value = evaluation.advance()
            trial.report(value, evaluation.fidelity)
            if evaluation.fidelity < self.max_fidelity and trial.should_prune():
                break
        for name, measurement in evaluation.measurements().items():
            trial.set_user_attr(name, measurement)
        if evaluation.fidelity < self.max_fidelity:
            raise optuna.TrialPruned
        return value


def suggest(trial: optuna.Trial, space: Space) -> Configuration:
    """Ask `trial` for a value of every parameter of `space`; for none if it is unknown."""
    configuration: Configuration = {}
    if not is_known(space):
        return configuration
    for name, dist in space.items():
        if isinstance(dist, optuna.distributions.FloatDistribution):
            value: Any = trial.suggest_float(
                name, dist.low, dist.high, step=dist.step, log=dist.log
            )
        elif isinstance(dist, optuna.distributions.IntDistribution):
            value = trial.suggest_int(name, dist.low, dist.high, step=dist.step, log=dist.log)
        else:
            assert isinstance(dist, optuna.distributions.CategoricalDistribution)
            value = trial.suggest_categorical(name, dist.choices)
        configuration[name] = value
    return configuration
