"""Examine what this machine has for running suites, what it lacks, and how to mend it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from hpo_bench import plugins
from hpo_bench.errors import HpoBenchError, MissingExtraError
from hpo_bench.manifest import usable_cores
from hpo_bench.running.checkpoints import default_directory
from hpo_bench.storage.opening import open_existing, shown, sqlite_file
from hpo_bench.storage.studies import all_study_names

NO_EXTRAS = {"all", "dev", "bench", "docs"}
"""Extras that add no feature for a user who runs suites."""

GIGABYTE = 1e9
"""Bytes of a gigabyte."""
LITTLE_SPACE = 5 * GIGABYTE
"""Free bytes below which a disk gets a warning."""
NO_SPACE = 0.5 * GIGABYTE
"""Free bytes below which a disk is a problem."""


class State(StrEnum):
    """The state of one examined thing."""

    OK = "ok"
    """Nothing to do."""
    WARNING = "warning"
    """Suites run, but something is missing or makes them slower."""
    PROBLEM = "problem"
    """Some suites do not run until the user mends it."""


@dataclass(frozen=True)
class Line:
    """The result for one examined thing."""

    state: State
    """Its state."""
    topic: str
    """Its name, in a word or two."""
    text: str
    """What was found."""
    advice: str = ""
    """What the user should do; empty if there is nothing to do."""


def examine(storage: str, data_dir: Path | None = None) -> Iterator[Line]:
    """Examine all that suites need, and yield one line per thing.

    It downloads nothing, but compiles LeNet5's kernel. In an empty database on a server it creates
    Optuna's tables, as a first run does.

    Args:
        storage: A SQLAlchemy URL; a SQLite file need not exist yet.
        data_dir: The directory to look for CIFAR-10, as in `hpo-bench run --data-dir`; None: the
            default data directory.

    Raises:
        InputError: The URL is malformed.
    """
    yield _python()
    yield from _packages()
    yield from _plugins()
    yield _storage(storage)
    yield from _machine(storage)
    if importlib.util.find_spec("torch") is not None:
        yield from _training(data_dir)


def _python() -> Line:
    text = f"{platform.python_version()} on {platform.platform()}"
    supported = SpecifierSet(metadata("hpo-bench")["Requires-Python"])
    if platform.python_version() in supported:
        return Line(State.OK, "Python", text)
    return Line(State.PROBLEM, "Python", text, f"install one that is {supported}")


def _packages() -> Iterator[Line]:
    """Examine the package itself, its dependencies, and each of its extras."""
    yield Line(State.OK, "hpo-bench", version("hpo-bench"))
    declared = [Requirement(text) for text in requires("hpo-bench") or []]
    base = [one for one in declared if one.marker is None]
    yield _requirements("base", base, State.PROBLEM, "pip install hpo-bench")
    for extra in metadata("hpo-bench").get_all("Provides-Extra") or []:
        if extra not in NO_EXTRAS:
            needed = [one for one in declared if _belongs(one, extra)]
            install = f"pip install 'hpo-bench[{extra}]'"
            yield _requirements(f"extra {extra}", needed, State.WARNING, install)


def _belongs(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    is_other = requirement.name == "hpo-bench"  # an extra that takes in another one
    return marker is not None and not is_other and marker.evaluate({"extra": extra})


def _requirements(topic: str, needed: list[Requirement], if_not: State, install: str) -> Line:
    """Examine whether required packages are installed, in supported versions.

    Args:
        topic: Name of the group of packages.
        needed: The required packages with their versions.
        if_not: State of the line if a package is missing.
        install: The command that installs them.
    """
    found: list[str] = []
    missing: list[str] = []
    wrong: list[str] = []
    for one in needed:
        try:
            there = version(one.name)
        except PackageNotFoundError:
            missing.append(one.name)
            continue
        found.append(f"{one.name} {there}")
        # By default, a specifier contains no development version, even of a newer release.
        if not one.specifier.contains(there, prereleases=True):
            wrong.append(f"{one.name} {there} is not {one.specifier}")
    if wrong:
        return Line(State.PROBLEM, topic, "; ".join(wrong), f"{install} --upgrade")
    if missing:
        return Line(if_not, topic, f"not installed: {', '.join(missing)}", install)
    return Line(State.OK, topic, ", ".join(found))


def _plugins() -> Iterator[Line]:
    """Examine whether all registered methods and objectives can be imported."""
    for group in (plugins.METHODS, plugins.OBJECTIVES):
        registered = plugins.installed(group)
        topic = group.removeprefix("hpo_bench.")
        yield Line(State.OK, topic, ", ".join(one.name for one in registered))
        for one in registered:
            try:
                plugins.load(topic, group, one.name)
            except MissingExtraError:  # the line of that extra says so
                continue
            except HpoBenchError as error:
                advice = f"reinstall or remove {one.distribution}"
                yield Line(State.PROBLEM, topic, str(error), advice)


def _storage(url: str) -> Line:
    file = sqlite_file(url)
    if file is not None and not file.exists():
        directory = file.absolute().parent
        if os.access(directory, os.W_OK):
            return Line(State.OK, "storage", f"{shown(url)}: will be made by the first run")
        advice = "make the directory, or give another one with --storage"
        return Line(State.PROBLEM, "storage", f"{directory} cannot be written", advice)
    try:
        n_studies = len(all_study_names(open_existing(url)))
    except HpoBenchError as error:
        advice = "give another with --storage, or 'optuna storage upgrade' if its tables are old"
        return Line(State.PROBLEM, "storage", str(error), advice)
    return Line(State.OK, "storage", f"{shown(url)}: {n_studies} studies")


def _machine(url: str) -> Iterator[Line]:
    """Examine the disk space for checkpoints, the load of the processor, and thread settings."""
    yield _space("disk", default_directory(url).absolute().parent)
    cores, load = usable_cores(), os.getloadavg()[0]
    text = f"{cores} usable, load {load:.1f}"
    if load > 0.5 * cores:
        advice = "other work slows runs down: compare times measured on a quiet machine only"
        yield Line(State.WARNING, "cores", text, advice)
    else:
        yield Line(State.OK, "cores", text)
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads not in (None, "1"):
        advice = "unset it: workers take one thread each, more of them starve each other"
        yield Line(State.WARNING, "threads", f"OMP_NUM_THREADS={threads}", advice)
    else:
        yield Line(State.OK, "threads", "one for each worker process")


def _space(topic: str, directory: Path) -> Line:
    if not directory.exists():
        return Line(State.PROBLEM, topic, f"there is no {directory}", "make it")
    free = shutil.disk_usage(directory).free
    text = f"{free / GIGABYTE:.1f} GB free in {directory}"
    if free >= LITTLE_SPACE:
        return Line(State.OK, topic, text)
    state = State.PROBLEM if free < NO_SPACE else State.WARNING
    return Line(state, topic, text, "free some space, or name another place")


def _training(data_dir: Path | None) -> Iterator[Line]:
    """Examine what LeNet5 needs: torch, GPU, compiled kernel and data; this imports torch."""
    try:
        import torch

        from hpo_bench.objectives.lenet5.engine import engine
        from hpo_bench.objectives.lenet5.kernel import Kernel
        from hpo_bench.objectives.lenet5.training import resolve_precision
    except (ImportError, OSError, HpoBenchError) as error:
        advice = "pip install --force-reinstall 'hpo-bench[lenet5]'"
        yield Line(State.PROBLEM, "torch", f"cannot be imported: {error}", advice)
        return
    yield _gpu(torch)
    precision = resolve_precision("auto", "cpu")
    yield Line(State.OK, "precision", f"{precision} on the CPU, where a suite says auto")
    if isinstance(engine(), Kernel):
        yield Line(State.OK, "training", engine().how)
    else:
        advice = "install a C compiler (apt-get install gcc), or pip install ziglang"
        yield Line(State.WARNING, "training", engine().how, advice)
    yield _cifar10(data_dir)


def _gpu(torch: Any) -> Line:
    has_one = torch.cuda.is_available()
    return Line(State.OK, "GPU", torch.cuda.get_device_name(0) if has_one else "none")


def _cifar10(data_dir: Path | None) -> Line:
    from hpo_bench.objectives.lenet5.data import find_cifar10
    from hpo_bench.objectives.lenet5.private import data_directory

    directory = data_dir or data_directory()
    found = find_cifar10(directory)
    if found == "whole":
        return Line(State.OK, "CIFAR-10", f"whole, in {directory}")
    if found == "archive":
        return Line(State.OK, "CIFAR-10", f"an archive in {directory}, unpacked when it is used")
    if found == "absent":
        advice = "downloaded (170 MB) by the first run that needs it, or name its --data-dir"
        return Line(State.WARNING, "CIFAR-10", f"not in {directory}", advice)
    advice = "delete it there; the next run that needs it downloads it again"
    return Line(State.PROBLEM, "CIFAR-10", f"damaged, in {directory}", advice)
