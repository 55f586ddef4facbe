"""Commands that evaluate: run, worker, record; and how runs stand."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpo_bench import plugins
from hpo_bench.cli.options import (
    AS_THE_SUITE_SAYS,
    CheckpointOption,
    DataOption,
    MethodsOption,
    ObjectivesOption,
    OtherStorageOption,
    SeedsOption,
    SettingsOption,
    SuiteArgument,
    WorkersOption,
    choose,
    names,
    overlay,
)
from hpo_bench.cli.root import app, lazily, make_table, say
from hpo_bench.errors import InputError
from hpo_bench.known import DEFAULT_STORAGE
from hpo_bench.numbers import NOTHING, number
from hpo_bench.terminal import PlainConsole

if TYPE_CHECKING:
    from hpo_bench import suite
    from hpo_bench.engines.base import Report
    from hpo_bench.suite import Suite
else:
    suite = lazily("hpo_bench.suite")


class Engine(StrEnum):
    """Where runs are executed."""

    LOCAL = "local"
    RAY = "ray"


@app.command(
    epilog="""Exit status:  0 all runs are finished,  1 one failed, or the storage is gone,
    2 the suite cannot be run as it is,  130 stopped before the end.\n
    Examples:\n
    hpo-bench run quickstart\n
    hpo-bench run lenet5-cifar10-small --seeds 0-9 --workers 2\n
    hpo-bench run my-suite.toml --methods random,pso --set budget.epochs=300\n
    hpo-bench run quickstart --storage postgresql+psycopg://user@host/database"""
)
def run(
    name: SuiteArgument,
    methods: MethodsOption = None,
    objectives: ObjectivesOption = None,
    seeds: SeedsOption = None,
    storage: OtherStorageOption = None,
    workers: WorkersOption = None,
    data_dir: DataOption = None,
    checkpoint_dir: CheckpointOption = None,
    settings: SettingsOption = None,
    engine: Annotated[
        Engine | None,
        typer.Option(
            help="Execute the runs in processes of this machine, or on a Ray cluster.",
            show_default=AS_THE_SUITE_SAYS,
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address of a running Ray cluster, with --engine ray.",
            show_default="one is started on this machine",
        ),
    ] = None,
) -> None:
    """Run a suite, or go on with it: the same command resumes where it stopped.

    Where other processes work on the same suite, the runs are shared.
    """
    overrides = overlay(settings, seeds, storage, workers, data_dir)
    if engine is not None:
        overrides["engine"] = engine.value
    _run(choose(name, overrides, methods, objectives), checkpoint_dir, address)


@app.command(
    epilog="""Examples:\n
    hpo-bench worker my-suite.toml --storage postgresql+psycopg://user@host/database\n
    hpo-bench worker quickstart --storage $URL --workers 1 --checkpoint-dir /shared/dir"""
)
def worker(
    name: SuiteArgument,
    methods: MethodsOption = None,
    objectives: ObjectivesOption = None,
    seeds: SeedsOption = None,
    storage: OtherStorageOption = None,
    workers: WorkersOption = None,
    data_dir: DataOption = None,
    checkpoint_dir: CheckpointOption = None,
    settings: SettingsOption = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="Stay until all runs are finished, and go on with those whose worker is gone.",
        ),
    ] = False,
) -> None:
    """Join a suite from any machine that reaches its storage; leave when no run is free.

    SIGTERM saves what is under way and leaves; whoever comes next goes on with it.
    """
    overrides = overlay(settings, seeds, storage, workers, data_dir)
    chosen = choose(name, overrides, methods, objectives)
    _execute(chosen, checkpoint_dir, wait=wait)


@app.command(
    epilog="""Exit status:  0 all runs are shown,  1 the records of a run are not sound.\n
    Example:  hpo-bench status quickstart"""
)
def status(
    name: SuiteArgument,
    methods: MethodsOption = None,
    objectives: ObjectivesOption = None,
    seeds: SeedsOption = None,
    storage: OtherStorageOption = None,
    settings: SettingsOption = None,
) -> None:
    """Show how the runs of a suite stand, and who works on them."""
    from hpo_bench.running.standing import standing

    overrides = overlay(settings, seeds, storage, None, None)
    listing = make_table("run", "spent", "evaluations", "best", "state")
    found_runs = standing(choose(name, overrides, methods, objectives))
    for each in found_runs:
        found = each.status
        figures = [NOTHING, "0", NOTHING]
        if found is not None:
            figures = [f"{found.share:.0%}", str(found.evaluations), number(found.incumbent)]
        listing.add_row(each.run.study_name, *figures, each.state)
    PlainConsole().print(listing)
    if any(each.fault for each in found_runs):
        raise typer.Exit(1)


@app.command(
    epilog="""Examples:\n
    hpo-bench record quickstart --output quickstart.csv.gz\n
    hpo-bench record my-suite.toml --output my-table.parquet --seeds 0-2 --workers 2"""
)
def record(
    name: SuiteArgument,
    output: Annotated[
        Path,
        typer.Option(
            metavar="TABLE", help="Table to write; its name ends in .csv, .csv.gz or .parquet."
        ),
    ],
    objectives: ObjectivesOption = None,
    seeds: SeedsOption = None,
    storage: OtherStorageOption = None,
    workers: WorkersOption = None,
    data_dir: DataOption = None,
    checkpoint_dir: CheckpointOption = None,
    settings: SettingsOption = None,
    cpu_time: Annotated[
        bool,
        typer.Option(
            "--cpu-time",
            help="Record the CPU seconds of each epoch instead of the seconds on the clock: other "
            "work on the machine changes them little.",
        ),
    ] = False,
) -> None:
    """Train a suite's grid once for every seed, and write a table to replay.

    The same command goes on where it was stopped.
    """
    from hpo_bench import recording

    overrides = overlay(settings, seeds, storage, workers, data_dir)
    plugins.look_beside(name)
    chosen = suite.load(name, overrides, names(objectives))
    made = recording.recording(chosen, cpu_time=cpu_time)
    recording.check_output(made, output)
    _execute([made], checkpoint_dir)
    rows = recording.export(made, output)
    say(f"{output}: {rows} rows. Replay them with the objective 'table'.")


def _run(chosen: list[Suite], checkpoint_dir: Path | None, address: str | None) -> None:
    if address is not None and chosen[0].engine != "ray":
        raise InputError("--address", address, "expected with --engine ray only")
    _execute(chosen, checkpoint_dir, show=True, address=address)
    say(f"Look at every study with:  hpo-bench dashboard{_where(chosen[0])}")


def _where(one: Suite) -> str:
    """Give the option that leads a command to a suite's storage, where it needs one."""
    from hpo_bench.storage.opening import anchored, shown

    is_default = one.storage == anchored(DEFAULT_STORAGE)
    return "" if is_default else f" --storage {shlex.quote(shown(one.storage))}"


def _execute(
    chosen: list[Suite],
    checkpoint_dir: Path | None,
    *,
    show: bool = False,
    wait: bool = True,
    address: str | None = None,
) -> None:
    """Run suites; leave the program with a status of its own if that did not finish."""
    from hpo_bench.engines.coordinator import run_suites

    report = run_suites(
        chosen, checkpoint_dir, PlainConsole(stderr=True), wait=wait, address=address
    )
    left = len(report.unfinished) + (len(report.taken) if wait else 0)
    try:
        if show:
            _show_results(chosen, wait=not report.is_outage)
    finally:  # last, and whatever becomes of the table
        _say_why_it_ends(report, chosen, left)
    if left and not report.is_outage:
        raise typer.Exit(130)
    if report.failures:
        raise typer.Exit(1)


def _say_why_it_ends(report: Report, chosen: list[Suite], left: int) -> None:
    """Say what is not finished, why, and how to go on; nothing where all is done."""
    for why in report.taken.values():
        say(f"Left to others: {why}")
    told = {why: study_name for study_name, why in report.failures.items()}
    for why, study_name in told.items():  # an outage is the same for all
        say(f"Failed: {why if study_name in why else f'{study_name}: {why}'}", style="red")
    if report.failures and not report.is_outage:
        failed = {study_name.split("/")[0] for study_name in report.failures}
        for one in (one for one in chosen if one.name in failed):
            looking = f"hpo-bench results {one.name} --failures{_where(one)}"
            say(f"What evaluations failed with:  {looking}")
        say("Once this is put right, the same command goes on with what failed.")
    if left:
        say(f"Stopped: {left} runs left. The same command goes on.")


def _show_results(chosen: list[Suite], *, wait: bool) -> None:
    from hpo_bench.analysis.results import collect
    from hpo_bench.cli.look import Format, print_results
    from hpo_bench.storage.opening import open_existing
    from hpo_bench.storage.outages import OutageError
    from hpo_bench.storage.studies import study_names

    first = chosen[0]
    try:
        held = open_existing(first.storage, patience=first.storage_patience, wait=wait)
        for one in chosen:
            if study_names(held, one.name):
                print_results(collect(held, one.name), Format.TABLE, PlainConsole())
    except (InputError, OutageError) as error:
        say(f"The results cannot be shown: {error}", stderr=True, style="yellow")
