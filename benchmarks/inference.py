"""Simulate the coverage of intervals and the errors of verdicts; print Markdown tables.

python -m benchmarks.inference coverage | errors | power

A note under each table describes the simulated data, the number of draws and the seed. With 1,000
draws the standard error of a rate of 5% or 95% is 0.7 points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray
from scipy import stats

import hpo_bench
from hpo_bench.analysis.intervals import ends
from hpo_bench.analysis.over_objectives import holm
from hpo_bench.analysis.simultaneous import ALPHA, differences
from hpo_bench.analysis.targets import expected_ends
from hpo_bench.objectives.table.files import read

from .markdown import rows

Array = NDArray[np.float64]
Shape = tuple[int, ...]

SEED = 20261130
SPREAD = 0.0085
"""Standard deviation of the incumbents' validation values between runs of the published suites."""

TABLE = Path(hpo_bench.__file__).parent / "tables" / "lenet5-cifar10-table.csv.gz"

TRIES = 18
"""Trainings per run, as in the published suites; the incumbent is the best of them."""

CEILING = ([0.0, -1.0, -2.0, -5.0], [0.7, 0.15, 0.1, 0.05])
"""Values and their probabilities. Most runs reach the optimum."""

app = typer.Typer(add_completion=False, help=__doc__)

DrawsOption = typer.Option(1000, min=100, help="Number of simulated samples per cell.")


def recorded(rng: np.random.Generator) -> Callable[[Shape], Array]:
    """Draw incumbents of random search on a recorded table: the best of 18 full trainings."""
    _, columns, _ = read(TABLE)
    epochs = np.array(columns["epoch"], dtype=int)
    values = np.array(columns["value"], dtype=float)[epochs == epochs.max()]
    return lambda shape: rng.choice(values, size=(*shape, TRIES)).max(axis=-1)


def samplers(rng: np.random.Generator) -> dict[str, Callable[[Shape], Array]]:
    """Give, for the name of each distribution, a function that draws values from it."""
    return {
        "normal": lambda shape: rng.normal(size=shape),
        "recorded winners": recorded(rng),
        "lognormal, σ = 0.5": lambda shape: rng.lognormal(0, 0.5, shape),
        "lognormal, σ = 1": lambda shape: rng.lognormal(0, 1, shape),
        "ceiling": lambda shape: rng.choice(CEILING[0], p=CEILING[1], size=shape),
    }


@app.command()
def coverage(draws: int = DrawsOption) -> None:
    """Measure the coverage of the 95% intervals of means and of expected running times."""
    rng = np.random.default_rng(SEED)
    sizes = (3, 5, 6, 10, 20, 30)
    body = []
    for name, draw in samplers(rng).items():
        mean = draw((1_000_000,)).mean() if name == "recorded winners" else _mean(name)
        cells = []
        for n in sizes:
            values = draw((n, draws))
            middle, half = values.mean(axis=0), stats.t.ppf(0.975, n - 1) * stats.sem(values)
            student = _share(middle - half, middle + half, mean)
            cells.append(f"{_share(*ends(values), mean)} ({student})")
        body.append([name, *cells])
    print("\n".join(rows(["values", *map(str, sizes)], body)))
    print(f"\nOur interval (Student's alone); columns: runs. {draws} draws, seed {SEED}.\n")
    body = [_running_times(rng, budget, draws) for budget in (10, 30, 100)]
    headings = ["budget", "3 runs", "10 runs", "30 runs"]
    print("\n".join(rows(headings, body)))
    print("\nExpected running time of random draws of which one in 20 reaches the target.")


def _mean(name: str) -> float:
    if name.startswith("lognormal"):
        return float(np.exp(float(name.rpartition(" ")[2]) ** 2 / 2))
    return float(np.dot(*CEILING)) if name == "ceiling" else 0.0


def _share(low: Array, high: Array, value: float) -> str:
    close = 1e-9
    return f"{np.mean((low <= value + close) & (value - close <= high)):.1%}"


def _running_times(rng: np.random.Generator, budget: int, draws: int) -> list[str]:
    expected = 20.0
    cells = [f"{budget} evaluations"]
    for n in (3, 10, 30):
        times = rng.geometric(1 / expected, size=(draws, n))
        hits = (times <= budget).sum(axis=1)
        spent = np.minimum(times, budget).sum(axis=1)
        found = [expected_ends(s, h) for s, h in zip(spent, hits, strict=True)]
        held = [low <= expected <= (np.inf if high is None else high) for low, high in found]
        cells.append(f"{np.mean(held):.1%}")
    return cells


Family = Sequence[tuple[int, int | None]]


def all_pairs(methods: int) -> Family:
    return list(combinations(range(methods), 2))


def against_one(methods: int) -> Family:
    return [(method, 0) for method in range(1, methods)]


@app.command()
def errors(draws: int = DrawsOption, bootstrap: int = 999) -> None:
    """Measure the family-wise error: how often a difference is shown between equal means."""
    rng = np.random.default_rng(SEED)
    sizes = (3, 5, 6, 10)
    families = {
        "6 methods, all pairs": (6, all_pairs(6)),
        "5 methods against a baseline": (6, against_one(6)),
        "10 methods, all pairs": (10, all_pairs(10)),
    }
    for title, (methods, family) in families.items():
        body = []
        for name, draw in _alike(rng, methods).items():
            cells = [_error(draw, methods, n, family, draws, bootstrap) for n in sizes]
            body.append([name, *cells])
        print("\n".join(rows([title, *map(str, sizes)], body)), flush=True)
        print()
    print(
        f"Columns: runs of each method. {draws} draws, seed {SEED}; {bootstrap} of the bootstrap."
    )


def _alike(rng: np.random.Generator, methods: int) -> dict[str, Callable[[Shape], Array]]:
    """Draw methods with equal means; the shapes are (methods, runs)."""
    drawn = samplers(rng)
    spreads = np.geomspace(1, 8, methods)[:, None]
    sigmas = np.linspace(0.25, 1.0, methods)[:, None]
    small = np.where(np.arange(methods) == methods - 1, 0.05, 1.0)[:, None]
    return {
        "normal": drawn["normal"],
        "normal, spreads 1 to 8": lambda shape: spreads * rng.normal(size=shape),
        "normal, one of spread 0.05": lambda shape: small * rng.normal(size=shape),
        "recorded winners": drawn["recorded winners"],
        "ceiling": drawn["ceiling"],
        "two values, even": lambda shape: rng.choice([0.0, 1.0], size=shape),
        "lognormal, σ = 1": drawn["lognormal, σ = 1"],
        "lognormal, σ 0.25 to 1": lambda shape: np.exp(
            sigmas * rng.normal(size=shape) - sigmas**2 / 2
        ),
    }


def _error(
    draw: Callable[[Shape], Array], methods: int, n: int, family: Family, draws: int, bootstrap: int
) -> str:
    alarms = 0
    for _ in range(draws):
        found = differences(draw((methods, n)), family, draws=bootstrap)
        alarms += any(one.low > 0 or one.high < 0 for one in found)
    return f"{alarms / draws:.1%}"


@app.command()
def power(draws: int = DrawsOption, bootstrap: int = 999) -> None:
    """Measure the power: how often the best method is shown to be better than one of the others."""
    rng = np.random.default_rng(SEED)
    body = []
    for methods, n in ((6, 5), (6, 10), (10, 10), (6, 30)):
        for gain in (0.01, 0.015):
            cells = _power(rng, methods, n, gain, draws, bootstrap)
            body.append([f"{methods}", f"{n}", f"{gain}", *cells])
    headings = ["methods", "runs", "difference", "all pairs", "against one", "Wilcoxon and Holm"]
    print("\n".join(rows(headings, body)))
    print(f"\nNormal values of standard deviation {SPREAD}. {draws} draws, seed {SEED}.")


def _power(
    rng: np.random.Generator, methods: int, n: int, gain: float, draws: int, bootstrap: int
) -> list[str]:
    found = np.zeros(3)
    pairs = all_pairs(methods)
    for _ in range(draws):
        values = SPREAD * rng.normal(size=(methods, n))
        values[0] += gain
        together = differences(values, pairs, draws=bootstrap)
        one = differences(values, against_one(methods), draws=bootstrap)
        p = holm([float(stats.wilcoxon(values[a] - values[b]).pvalue) for a, b in pairs])
        found[0] += np.mean([d.low > 0 for d in together[: methods - 1]])
        found[1] += np.mean([d.high < 0 for d in one])
        found[2] += np.mean([each <= ALPHA for each in p[: methods - 1]])
    return [f"{share:.0%}" for share in found / draws]


if __name__ == "__main__":
    app()
