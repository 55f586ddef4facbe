"""Measure the cost of bfloat16 in accuracy: the same networks and seeds in both precisions.

python -m benchmarks.precision --data-dir DIRECTORY

Three networks, each trained by ten seeds on 10,000 images for nine epochs, once with
`precision = "f32"` and once with `"bf16"`. Both trainings of a pair share initial weights, order
of images and augmentation. The interval is for the mean of the paired differences.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from hpo_bench.analysis.intervals import Estimate, estimate
from hpo_bench.objectives.lenet5 import LeNet5

from .markdown import rows

NETWORKS = {"D": (6, 16, 120, 84), "M": (16, 32, 128, 128), "W": (32, 64, 256, 128)}
"""Name -> output channels of C1, C3 and C5, and the size of F6."""


def main(
    data_dir: Annotated[Path, typer.Option(help="Folder with train/<class>/* and test/<class>/*.")],
    seeds: Annotated[int, typer.Option(min=3, help="Trainings in each precision.")] = 10,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each training.")] = 9,
) -> None:
    """Print accuracies in both precisions and their paired differences, as a table in Markdown."""
    console = Console(stderr=True)
    lines = []
    for name, widths in NETWORKS.items():
        pairs = [
            tuple(_accuracies(widths, seed, precision, data_dir, epochs) for precision in BOTH)
            for seed in track(range(seeds), f"{name} {widths}", console=console)
        ]
        for kind in ("validation", "test"):
            f32, bf16 = ([pair[place][kind] for pair in pairs] for place in (0, 1))
            difference = estimate([b - a for a, b in zip(f32, bf16, strict=True)])
            cells = (estimate(f32), estimate(bf16), difference)
            lines.append([name, kind, *map(_shown, cells)])
    header = ["network", "accuracy", "f32", "bf16", "bf16 - f32"]
    print("\n".join(rows(header, lines)))


BOTH = ("f32", "bf16")


def _accuracies(
    widths: tuple[int, ...], seed: int, precision: Any, data_dir: Path, epochs: int
) -> dict[str, float]:
    fixed = dict(zip(("c1", "c3", "c5", "f6"), widths, strict=True))
    objective = LeNet5(
        fixed,
        data="imagefolder",
        data_dir=data_dir,
        train_size=10_000,
        epochs=epochs,
        seed=seed,
        precision=precision,
    )
    training = objective.start({})
    values = [training.advance() for _ in range(epochs)]
    return {"validation": values[-1], "test": training.measurements()["test_accuracy"]}


def _shown(found: Estimate | None) -> str:
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    return f"{found.mean:.4f} [{found.low:.4f}, {found.high:.4f}]"


if __name__ == "__main__":
    typer.run(main)
