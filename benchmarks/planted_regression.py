"""Measure how often `compare` finds a planted regression, and how often it raises a false alarm.

Random search runs on the recorded table `lenet5-shapes`, before and after a change. The change
lowers every accuracy by the same share, or does nothing. Two other things differ, as between any
two runs: the configurations that the method draws, and the recorded training of each (the table's
trainings get other seeds). Each repetition draws both again, before and after the change.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import optuna
import typer
from rich.console import Console
from rich.progress import track
from scipy import stats

import hpo_bench
from hpo_bench import suite
from hpo_bench.analysis.change import compare_suites
from hpo_bench.objectives.table.files import Columns, read, write
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import runs_of
from hpo_bench.storage.opening import open_storage
from samplers import RandomSampler

from .markdown import rows

TABLE = Path(hpo_bench.__file__).parent / "tables" / "lenet5-shapes.csv.gz"

KINDS = {
    "nothing, drawn again": (False, True),
    "worse, drawn again": (True, True),
    "worse, same draws": (True, False),
}
"""Kind of change -> (whether training is worse, whether everything is drawn again)."""

Verdicts = dict[tuple[str, int], tuple[str, float]]
"""(kind of change, seeds) -> (verdict, gain)."""


class Redrawn(RandomSampler):
    """Random search that draws other configurations from the same seed."""

    def __init__(self, *, seed: int, draw: int) -> None:
        super().__init__(seed=int(np.random.SeedSequence([seed, draw]).generate_state(1)[0]))


def dealt_anew(columns: Columns, draw: int, share: float) -> Columns:
    """Give a table's trainings other seeds, and lower each value by a share."""
    rng = np.random.default_rng(draw)
    names = [name for name in columns if name in ("c1", "c3", "c5")]
    points = list(zip(*(columns[name] for name in names), strict=True))
    seeds = sorted(set(columns["seed"]))
    dealt = {
        point: dict(zip(seeds, rng.permutation(seeds), strict=True))
        for point in sorted(set(points))
    }
    made: dict[str, Sequence[Any]] = {
        **columns,
        "seed": [int(dealt[p][s]) for p, s in zip(points, columns["seed"], strict=True)],
        "value": [(1 - share) * float(value) for value in columns["value"]],
    }
    # The order of a table's trainings identifies them.
    order = sorted(range(len(points)), key=lambda i: (points[i], made["seed"][i], i))
    return {name: [values[i] for i in order] for name, values in made.items()}


def run(folder: Path, name: str, draw: int, share: float, seeds: int, evaluations: int) -> None:
    """Run the suite on a separate table; a second call with more seeds adds runs."""
    place = folder / name
    if not place.exists():
        place.mkdir()
        card, columns, _ = read(TABLE)
        write(place / "table.csv", card, dealt_anew(columns, draw, share))
    made = suite.parse(
        {
            "name": "planted",
            "objective": {
                "name": "table",
                "options": {"table": "table.csv", "data_dir": str(place)},
            },
            "budget": {"evaluations": evaluations},
            "seeds": seeds,
            "methods": {
                "search": {
                    "sampler": "benchmarks.planted_regression:Redrawn",
                    "options": {"draw": draw},
                }
            },
            "storage": f"sqlite:///{place}/runs.db",
        }
    )
    for one in runs_of(made, place):
        execute(one)


def repetition(number: int, counts: Sequence[int], evaluations: int, share: float) -> Verdicts:
    """Compare one suite before the change with each kind of change, with more and more seeds."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found: Verdicts = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for n in counts:
            run(folder, "before", 2 * number, 0.0, n, evaluations)
            before = open_storage(f"sqlite:///{folder}/before/runs.db")
            for kind, (is_worse, is_redrawn) in KINDS.items():
                draw = 2 * number + is_redrawn
                run(folder, kind, draw, share if is_worse else 0.0, n, evaluations)
                after = open_storage(f"sqlite:///{folder}/{kind}/runs.db")
                changes = compare_suites([((before, "planted"), (after, "planted"))])
                (change,) = changes.methods
                found[kind, n] = change.verdict, change.comparison.gain.mean
    return found


def main(
    repetitions: Annotated[int, typer.Option(min=1)] = 20,
    seeds: Annotated[str, typer.Option(help="Runs before, and after.")] = "6,10,20,30",
    evaluations: Annotated[int, typer.Option(help="Per run; the table has 48.")] = 20,
    regression: Annotated[float, typer.Option(help="Lost share of the accuracy.")] = 0.01,
    processes: Annotated[int, typer.Option(help="Worker processes.")] = os.cpu_count() or 1,
) -> None:
    """Print a Markdown table of how often the verdict was worse, with 95% intervals."""
    counts = [int(n) for n in seeds.split(",")]
    work = partial(repetition, counts=counts, evaluations=evaluations, share=regression)
    with ProcessPoolExecutor(processes) as pool:
        results = pool.map(work, range(repetitions))
        console = Console(stderr=True)
        found = list(track(results, "repetitions", total=repetitions, console=console))
    body = []
    for kind in KINDS:
        cells = []
        for n in counts:
            verdicts = Counter(one[kind, n][0] for one in found)
            interval = stats.binomtest(verdicts["worse"], repetitions).proportion_ci(
                method="wilson"
            )
            better = f", {verdicts['better']} better" if verdicts["better"] else ""
            rate = f"{verdicts['worse']} [{interval.low:.0%}, {interval.high:.0%}]"
            spread = np.std([one[kind, n][1] for one in found], ddof=1)
            cells.append(f"{rate}{better}; ±{spread:.4f}")
        body.append([kind, *cells])
    print(f"Called worse, of {repetitions}; planted: {regression:.1%}. ±: of the mean gain.\n")
    print("\n".join(rows(["changed", *(f"{n} seeds" for n in counts)], body)))


if __name__ == "__main__":
    typer.run(main)
