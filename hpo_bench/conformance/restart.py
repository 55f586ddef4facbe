"""Compare a run that is killed and resumed by another process with an undisturbed run."""

from __future__ import annotations

import os
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna

from hpo_bench import suite
from hpo_bench.conformance.candidates import Method
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run, Status
from hpo_bench.spaces import Configuration
from hpo_bench.storage.opening import open_existing
from hpo_bench.storage.studies import load_study

N_EVALUATIONS = 24
"""Most evaluations of a run; a finite search may end earlier."""

_KILLED = 9
# A fork would inherit the state of this process, which a resumed run must not need.
_context = get_context("spawn")


def undisturbed(method: Method) -> tuple[list[Configuration], int]:
    """Make a run; return its configurations by trial number, and its number of evaluations."""
    with TemporaryDirectory() as folder:
        run = _run(method, Path(folder))
        status = execute(run)
        return _found(run), status.evaluations


def killed_and_resumed(method: Method, killed_at: int) -> list[Configuration]:
    """Make a run whose process dies during an evaluation, and resume it in a new process.

    Args:
        method: The method of the run.
        killed_at: Number of the evaluation during which the process dies, from 1.

    Returns:
        The configurations of the resumed run, by trial number.
    """
    with TemporaryDirectory() as folder:
        run = _run(method, Path(folder))
        _in_a_process(run, killed_at)
        _in_a_process(run, None)
        return _found(run)


def _run(method: Method, folder: Path) -> Run:
    made = suite.parse(
        {
            "name": "restart",
            "objective": {"name": f"{__package__}.problems:Bowl"},
            "methods": {
                "tested": {
                    "sampler" if ":" in method.target else "method": method.target,
                    "options": dict(method.options),
                }
            },
            "budget": {"evaluations": N_EVALUATIONS},
            "seeds": [0],
            "storage": f"sqlite:///{folder / 'restart.db'}",
        }
    )
    return Run(made, "tested", 0, folder / "checkpoints")


def _found(run: Run) -> list[Configuration]:
    study = load_study(open_existing(run.suite.storage), run.study_name)
    return [trial.params for trial in study.get_trials(deepcopy=False)]


def _in_a_process(run: Run, killed_at: int | None) -> None:
    process = _context.Process(target=_work, args=(run, killed_at))
    process.start()
    process.join()
    expected = 0 if killed_at is None else _KILLED
    assert process.exitcode == expected, (
        f"a process that works on a run ended with status {process.exitcode}; "
        f"expected {expected} (what it said stands above)"
    )


def _work(run: Run, killed_at: int | None) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    execute(run, notify=partial(_die, killed_at))


def _die(killed_at: int | None, status: Status) -> None:
    # As with kill -9: no handler runs, no buffer is written, no lock is released.
    if killed_at is not None and status.evaluations >= killed_at - 1:
        os._exit(_KILLED)
