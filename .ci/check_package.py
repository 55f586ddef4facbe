"""Install the wheel into a bare environment, and check that its commands work there.

Usage: python .ci/check_package.py DIST
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

ROUNDS = 7
MOST = 1.2
"""Upper limit of the import time of a sampler, divided by that of Optuna."""

USES = [
    ["hpo-bench", "--help"],
    ["hpo-bench", "--version"],
    ["hpo-bench", "suites"],
    ["hpo-bench", "doctor"],
    ["python", "-c", "from samplers import BOHBSampler, GridSampler, PSOSampler, RandomSampler"],
    ["hpo-bench", "new", "objective", "a-valley"],
    ["python", "-m", "hpo_bench", "run", "own.toml"],
    ["hpo-bench", "results", "own", "--format", "csv"],
]
SUITE = """
seeds = 1
[objective]
name = "hpo_bench.conformance.problems:Bowl"
[budget]
evaluations = 5
[methods.random]
[methods.pso]
"""


def main(dist):
    """Check the wheel in the folder `dist`; raise SystemExit with the reason if a check fails."""
    (wheel,) = Path(dist).resolve().glob("*.whl")
    with tempfile.TemporaryDirectory() as folder:
        bare, work = Path(folder) / "bare", Path(folder) / "work"
        work.mkdir()
        venv.create(bare, with_pip=True)
        run([bare / "bin" / "pip", "install", "--quiet", wheel], work)
        (work / "own.toml").write_text(SUITE)
        for program, *arguments in USES:
            run([bare / "bin" / program, *arguments], work)
            print("ok ", program, *arguments)
        python = bare / "bin" / "python"
        optuna, sampler = import_seconds(python, work)
        ratio = sampler / optuna
        print(f"the import of a sampler takes {ratio:.2f} times as long as that of Optuna")
        if ratio > MOST:
            sys.exit(f"expected at most {MOST}: import less in the package samplers")


def run(command, folder):
    """Run a command; end with its output if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def import_seconds(python, folder):
    """Give the CPU seconds of both imports: the minimum of several rounds, in alternation."""
    lines = "import optuna", "import optuna; from samplers import PSOSampler"
    taken = {line: [] for line in lines}
    for _ in range(ROUNDS):
        for line in lines:
            before = getrusage(RUSAGE_CHILDREN)
            run([python, "-c", line], folder)
            after = getrusage(RUSAGE_CHILDREN)
            taken[line].append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return [min(seconds) for seconds in taken.values()]


if __name__ == "__main__":
    main(sys.argv[1])
