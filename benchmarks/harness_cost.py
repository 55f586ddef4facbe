"""Measure the cost of the harness against plain Optuna, and against another version of itself.

    python -m benchmarks.harness_cost                            # this version
    git worktree add --detach ../before COMMIT
    python -m benchmarks.harness_cost --before ../before         # both, in alternation

Every figure is the CPU time of a separate process. The versions alternate, so that other work on
the machine affects both. The table shows the medians and their ratio.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parents[1]
REPLAYED = {
    "phoneme": {"name": "hpobench", "options": {"dataset": "phoneme", "clock": "simulated"}},
    "LeNet5": {
        "name": "table",
        "options": {"table": "lenet5-cifar10-table", "clock": "simulated"},
    },
}
METHODS = {
    "random": {},
    "pso": {},
    "bohb": {},
    "tpe": {"sampler": "optuna.samplers:TPESampler"},
}


def noop(place, evaluations, is_instant):
    """Give the milliseconds per trial of a run whose evaluations do nothing and report once."""
    from toy import Curve

    Curve.is_instant = is_instant
    objective = {"name": "toy:Curve", "options": {"epochs": 1}}
    return 1e3 * run(place, objective, "random", {}, evaluations) / evaluations


def plain(place, evaluations, kind):
    """Give the milliseconds per trial of `study.optimize` on the same objective."""
    import optuna
    from toy import Curve

    from hpo_bench.storage.opening import open_storage
    from samplers import RandomSampler

    url = f"sqlite:///{place / 'plain.db'}"
    storage = {"memory": lambda: None, "optuna": lambda: url, "ours": lambda: open_storage(url)}
    sampler = RandomSampler(seed=0)
    study = optuna.create_study(storage=storage[kind](), sampler=sampler, direction="maximize")
    objective = Curve(epochs=1)
    study.optimize(objective, n_trials=2)
    began = time.process_time()
    study.optimize(objective, n_trials=evaluations)
    return 1e3 * (time.process_time() - began) / evaluations


def replay(place, evaluations, method, table):
    """Give the evaluations per second of a replayed run, including the objective's construction."""
    return evaluations / run(place, REPLAYED[table], method, METHODS[method], evaluations)


def run(place, objective, method, options, evaluations):
    """Execute a run after a warm-up run; give its CPU seconds."""
    from hpo_bench import suite
    from hpo_bench.running.execution import execute
    from hpo_bench.running.runs import Run

    for name, count in (("warm", 12), ("timed", evaluations)):
        table = {
            "name": name,
            "objective": objective,
            "budget": {"evaluations": count},
            "seeds": [0],
            "methods": {method: options},
            "storage": f"sqlite:///{place / 'runs.db'}",
        }
        made = Run(suite.parse(table), method, 0, place / "checkpoints")
        began = time.process_time()
        assert execute(made).evaluations == count
        seconds = time.process_time() - began
    return seconds


def finished(place, runs):
    """Give the milliseconds per run of a command on a finished suite, including its workers."""
    from rich.console import Console

    from hpo_bench import suite
    from hpo_bench.engines.coordinator import run_suites

    table = {
        "name": "finished",
        "objective": {"name": "hpobench", "options": {"dataset": "car", "clock": "simulated"}},
        "budget": {"evaluations": 2},
        "seeds": runs,
        "methods": {"random": {}},
        "storage": f"sqlite:///{place / 'runs.db'}",
    }
    made = suite.parse(table)
    with Path(os.devnull).open("w") as nowhere:
        console = Console(file=nowhere)
        run_suites([made], None, console)
        began = sum(os.times()[:4])
        run_suites([made], None, console)
    return 1e3 * (sum(os.times()[:4]) - began) / runs


MEASURED = {
    "ms: run in SQLite": (noop, 100, False),
    "ms: study.optimize, Optuna's SQLite": (plain, 100, "optuna"),
    "ms: study.optimize, our SQLite": (plain, 100, "ours"),
    "ms: run in memory, written at the end": (noop, 1000, True),
    "ms: study.optimize in memory": (plain, 1000, "memory"),
    "ms: a finished run": (finished, 300),
    **{
        f"per s: {method} on {table}": (replay, 200, method, table)
        for method in METHODS
        for table in REPLAYED
    },
}


def measure(name, root):
    """Measure one figure in a fresh process that imports the version in the folder `root`."""
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(
            [sys.executable, __file__, "--one", name, "--place", place],
            env={**os.environ, "PYTHONPATH": f"{root}:{root / 'tests/support'}"},
            stdout=subprocess.PIPE,
            check=True,
            cwd=place,
        )
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="a worktree of another version")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="measure only figures whose name contains this")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        function, *arguments = MEASURED[given.one]
        print(json.dumps(function(given.place, *arguments)))
        return
    roots = [*([given.before.resolve()] if given.before else []), HERE]
    print(f"| {'CPU time':38} | {'before | now | ratio' if given.before else 'now'} |")
    for name in MEASURED:
        if given.only not in name:
            continue
        rounds = [[measure(name, root) for root in roots] for _ in range(given.rounds)]
        medians = [statistics.median(found) for found in zip(*rounds, strict=True)]
        ratio = [statistics.median(now / before for before, now in rounds)] if given.before else []
        print(f"| {name:38} | {' | '.join(f'{x:.3g}' for x in [*medians, *ratio])} |", flush=True)


if __name__ == "__main__":
    main()
