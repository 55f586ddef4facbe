"""A program as an objective: what it is given, what is read, how it goes on and is stopped."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import optuna
import pytest
from command import children, wait_until_gone

from hpo_bench.analysis.failures import failures
from hpo_bench.analysis.stored import read_suite
from hpo_bench.analysis.summary import summarise
from hpo_bench.errors import InputError, ProgramError
from hpo_bench.objectives.command import Command, program
from hpo_bench.report.failures import as_text
from hpo_bench.report.files import write
from hpo_bench.running.execution import execute
from hpo_bench.running.runs import Run
from hpo_bench.storage.opening import open_storage
from hpo_bench.storage.records import jobs_of
from hpo_bench.storage.studies import load_study

SPACE = {"x": {"low": 0.0, "high": 4.0}}
TRAIN = """
echo "units of $1"
state=$HPO_BENCH_CHECKPOINT_DIR/state
step=0
test -f "$state" && read -r step < "$state"
while test "$step" -lt "$HPO_BENCH_STEPS"; do
    step=$((step + 1))
    echo "$1 $step" >> units
    echo "$step" > "$state.new"
    mv "$state.new" "$state"
    echo "hpo-bench: step=$step value=$1 double=$((2 * step))"
done
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def shell(script, arguments="{x}", **options):
    """An objective that runs a script of the shell; `options` are those of `Command`."""
    Path("train.sh").write_text(script)
    return Command(f"sh train.sh {arguments}", **{"space": SPACE, **options})


def begun(objective, until, directory="files", x=1.0):
    evaluation = objective.start({"x": x})
    evaluation.begin(until, Path(directory))
    return evaluation


def advance(evaluation, times):
    return [evaluation.advance() for _ in range(times)]


@pytest.mark.parametrize(
    ("script", "options", "values", "measured"),
    [
        ('for i in 1 2; do echo "hpo-bench: step=$i value=$1"; done', {}, [1, 1], {}),
        ("echo hpo-bench: value=3; echo log hpo-bench: value=4 t=0.5", {}, [3, 4], {"t": 0.5}),
        ("printf '50%%\\rhpo-bench: loss=1e-3\\nhpo-bench: loss=2'", {}, [0.001, 2], {}),
        ("echo val=1 t=2; echo noise; echo val=3 t=4", {"pattern": r"l=(?P<value>\S+) t=(?P<t>.)"},
         [1, 3], {"t": 4}),
        ("""echo '{"value": 1}'; echo '{"value": 7, "t": 2, "name": "a"}'""", {"steps": 1},
         [7], {"t": 2}),
        ("while :; do echo hpo-bench: value=1; done", {}, [1, 1], {}),  # it is stopped
    ],
)  # fmt: skip
def test_values_and_measurements_are_read(script, options, values, measured):
    options = {"metric_name": "loss"} if "loss" in script else options
    objective = shell(script, **{"steps": 2, **options})
    evaluation = begun(objective, objective.max_fidelity)
    assert advance(evaluation, len(values)) == values
    assert evaluation.measurements() == measured
    evaluation.close()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo about; echo why >&2; exit 3", "the command ended with exit status 3: why"),
        ("kill -s SEGV $$", "the command ended with SIGSEGV"),
        ("echo hpo-bench: step=1 value=1", "ended after step 1 of 2; .*'hpo-bench: step=1 value="),
        ("echo hpo-bench: step=2 value=1", "it reported step 2 after step 0"),
        ("echo hpo-bench: step=1 loss=1", "expected value=NUMBER in it"),
        ("echo hpo-bench: value=high", "expected value=NUMBER in it"),
        ("echo hpo-bench: good", "it printed 'hpo-bench: good'; expected"),
        ("echo hpo-bench: step=0.5 value=1", "a step that is 1, 2, 3"),
    ],
)
def test_a_program_that_fails_is_told_of_with_its_last_lines(script, reason):
    evaluation = begun(shell(script, steps=2), 2)
    with pytest.raises(ProgramError, match=reason) as failed:
        advance(evaluation, 2)
    assert "about" not in script or failed.value.output == "about\nwhy"


def test_values_reach_the_program_as_they_are_and_no_shell_reads_them(monkeypatch):
    odd = "a b;touch hacked $(touch hacked) '\" {x}"
    space = {"s": {"choices": [odd]}, "on": True, "n": 3, "x": {"low": 1e-5, "high": 1.0}}
    script = """
import json, os, sys
json.dump([sys.argv[1:], json.load(open(os.environ["HPO_BENCH_CONFIG"])),
           [os.environ[f"HPO_BENCH_{n}"] for n in ("SEED", "STEPS", "MAX_STEPS")]],
          open("got", "w"))
print("hpo-bench: value=1")"""
    Path("train.py").write_text(script)
    words = "train.py {s} --x={x} {on} {n} {{}} 'two words' {seed} {epochs} {max_epochs} {config}"
    objective = Command(
        f"{sys.executable} {words}", space=space, seed=5, steps=9, fidelity_name="epochs"
    )
    evaluation = objective.start({"s": odd, "x": 1e-5})
    evaluation.begin(1, Path("files"))
    assert evaluation.advance() == 1
    arguments, config, variables = json.loads(Path("got").read_text())
    here = str(Path("files/config.json").absolute())
    assert arguments == [odd, "--x=1e-05", "true", "3", "{}", "two words", "5", "1", "9", here]
    assert config == {"s": odd, "x": 1e-5, "on": True, "n": 3}
    assert variables == ["5", "1", "9"]
    assert not Path("hacked").exists()


def test_training_goes_on_where_the_program_left_it():
    objective = shell(TRAIN, steps=9)
    evaluation = begun(objective, 3)
    assert advance(evaluation, 3) == [1, 1, 1]
    evaluation.close()
    state = evaluation.checkpoint()
    resumed = objective.restore({"x": 1.0}, state)
    resumed.begin(9, Path("files"))
    assert resumed.measurements() == {"double": 6}
    assert advance(resumed, 6) == 6 * [1]
    assert resumed.measurements() == {"double": 18}
    assert len(Path("units").read_text().splitlines()) == 9
    # All of it was printed by then: nothing is started.
    again = objective.restore({"x": 1.0}, state)
    again.begin(9, Path("files"))
    assert advance(again, 6) == 6 * [1]
    assert len(Path("units").read_text().splitlines()) == 9
    empty = objective.restore({"x": 1.0}, state)
    with pytest.raises(ProgramError, match="kept nothing"):
        empty.begin(9, Path("elsewhere"))


def test_a_state_that_is_ahead_of_what_was_printed_is_dropped():
    objective = shell(TRAIN, steps=5)
    evaluation = begun(objective, 2)
    advance(evaluation, 2)
    Path("files/checkpoint/state").write_text("4\n")  # killed before it printed 3 and 4
    resumed = objective.restore({"x": 1.0}, evaluation.checkpoint())
    resumed.begin(5, Path("files"))
    assert advance(resumed, 3) == [1, 1, 1]
    assert Counter(Path("units").read_text().splitlines())["1.0 3"] == 1


def test_lines_without_steps_cannot_be_gone_on_from():
    evaluation = begun(shell("echo hpo-bench: value=1; echo hpo-bench: value=1", steps=2), 2)
    advance(evaluation, 1)
    assert evaluation.checkpoint() is None
    evaluation.close()


STUBBORN = """
trap '{trap}' TERM
sleep 600 &
echo $! > child
echo hpo-bench: step=1 value=1
while :; do sleep 0.01; done
"""


@pytest.mark.parametrize("trap", ["echo saved > files/checkpoint/state; exit", "echo deaf"])
def test_it_is_stopped_with_all_that_it_has_started(monkeypatch, trap):
    monkeypatch.setattr(program, "GRACE_SECONDS", 0.3)
    evaluation = begun(shell(STUBBORN.replace("{trap}", trap), steps=9), 9)
    evaluation.advance()
    child = int(Path("child").read_text())
    evaluation.close()
    wait_until_gone([child])
    assert Path("files/checkpoint/state").exists() == ("saved" in trap)


def test_nothing_goes_on_when_the_process_that_started_it_is_killed():
    Path("train.sh").write_text(STUBBORN.replace("{trap}", ""))
    code = f"""
import os, pathlib
from hpo_bench.objectives.command import Command
evaluation = Command("sh train.sh", space={SPACE!r}, steps=9).start({{"x": 1.0}})
evaluation.begin(9, pathlib.Path("files"))
evaluation.advance()
os.kill(os.getpid(), 9)"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    wait_until_gone([int(Path("child").read_text())])


def test_a_second_program_waits_until_the_first_has_ended(monkeypatch):
    monkeypatch.setattr(program, "GRACE_SECONDS", 0.2)
    objective = shell(STUBBORN.replace("{trap}", ""), steps=9)
    first, second = begun(objective, 9), objective.start({"x": 1.0})
    with pytest.raises(ProgramError, match="started earlier still writes"):
        second.begin(9, Path("files"))
    first.close()
    second.begin(9, Path("files"))
    second.close()


def test_an_optuna_study_can_optimise_it_and_prune_it():
    before = children(os.getpid())
    pruner = optuna.pruners.ThresholdPruner(upper=0.5)
    study = optuna.create_study(pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(shell(TRAIN, steps=3), n_trials=2)
    assert [len(trial.intermediate_values) for trial in study.trials] == [1, 1]
    assert children(os.getpid()) == before


def suite_of(toy_suite, command, methods, **options):
    objective = {"command": command, "options": options}
    return toy_suite(objective=objective, space=SPACE, methods=methods, budget={"epochs": 21})


def test_a_run_trains_every_unit_once_and_leaves_no_files(toy_suite, tmp_path):
    Path("train.sh").write_text(TRAIN)
    run = Run(suite_of(toy_suite, "sh train.sh {x}", {"bohb": {}}, steps=9), "bohb", 0, tmp_path)
    assert execute(run).finished == "epochs spent"
    trials = load_study(open_storage(run.suite.storage), run.study_name).get_trials()
    promoted = [trial for trial in trials if len(jobs_of(trial)) > 1]
    assert promoted
    assert all(job.epochs < job.fidelity for trial in promoted for job in jobs_of(trial)[1:])
    units = Counter(Path("units").read_text().splitlines())
    assert set(units.values()) == {1}
    assert len(units) == sum(job.epochs for trial in trials for job in jobs_of(trial))
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {
        "train.sh",
        "units",
        "toy.db",
    }


def test_what_a_storage_holds_is_shown_and_never_started(toy_suite, tmp_path, monkeypatch):
    Path("train.sh").write_text("echo ran >> ran; echo 'why\x1b[2J' >&2; exit 4")
    suite = suite_of(toy_suite, "sh train.sh {x}", {"random": {}})
    with pytest.raises(Exception, match="5 evaluations in a row failed"):
        execute(Run(suite, "random", 0, tmp_path))
    times = len(Path("ran").read_text().splitlines())
    storage = open_storage(suite.storage)
    (failure,) = failures(read_suite(storage, suite.name))
    assert failure.reason.startswith("the command ended with exit status 4: why")
    assert "why" in failure.traceback
    assert "exit status 4" in "".join(as_text([failure]))
    write(tmp_path / "page.html", [summarise(storage, suite.name)], suite.storage)
    page = Path("page.html").read_text()
    assert "sh train.sh {x}" in page
    assert "read its command before you run it" in page
    assert len(Path("ran").read_text().splitlines()) == times


@pytest.mark.parametrize(
    ("arguments", "field", "expected"),
    [
        ({"command": "sh train.sh {y}"}, "command", "allowed: checkpoint_dir, config,"),
        ({"command": "no-such-program {x}"}, "command", "no such program on PATH"),
        ({"command": "sh '{x}"}, "command", "No closing quotation"),
        ({"command": ""}, "command", "expected a program and its arguments"),
        ({"command": "{x} train.sh"}, "command", "program's name without braces"),
        ({"command": "sh {x:.3f}"}, "command", "write {{ and }} for braces"),
        ({"command": "sh {"}, "command", "write {{ and }} for braces"),
        ({"space": None}, "space", "expected a table"),
        ({"space": {"seed": 1}}, "space", "has a meaning of its own"),
        ({"space": {"x": [1, 2]}}, "space.x", "choices = [2, 16]"),
        ({"space": {"x": None}}, "space.x", "expected a text, a number"),
        ({"steps": 0}, "steps", "a whole number, 1 or more"),
        ({"direction": "up"}, "direction", "minimize or maximize"),
        ({"pattern": "("}, "pattern", "unterminated subpattern"),
        ({"pattern": "loss (.*)"}, "pattern", 'with a group "value"'),
        ({"metric_name": "a b"}, "metric_name", "expected a word"),
        ({"fidelity_name": "step"}, "fidelity_name", "other than 'step'"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_starts(arguments, field, expected):
    with pytest.raises(InputError) as told:
        Command(**{"command": "sh train.sh {x}", "space": SPACE, **arguments})
    assert told.value.field == field
    assert expected in str(told.value)
