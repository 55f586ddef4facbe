"""The command line, called in this process; tests/faults has it in processes of its own."""

import csv
import io
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import typer
from written import write_run

from hpo_bench import cli, suite
from hpo_bench.storage.opening import open_storage

SUITE = """
seeds = [0]
workers = 1
[objective]
name = "toy:Curve"
[budget]
epochs = 9
[methods]
grid = {}
random = {}
"""


@pytest.fixture
def command(tmp_path, monkeypatch, capsys, toy_file):
    """Run `hpo-bench ARGUMENTS` in a directory of its own; returns exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    toy_file(SUITE)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["hpo-bench", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def ran(command):
    code, output, errors = command("run", "toy.toml")
    assert code == 0, errors
    return output, errors


LOADED = """
import sys
from hpo_bench.cli import main

sys.argv = ["hpo-bench", *sys.argv[1:]]
try:
    main()
except SystemExit:
    pass
heavy = {"optuna", "sqlalchemy", "numpy", "torch", "scipy", "matplotlib", "pandas"}
print("loaded:", *sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("words", "completing"),
    [("--version", ""), ("--help", ""), ("run --help", ""), ("", "hpo-bench run qu")],
)
def test_help_the_version_and_completion_load_no_library(words, completing):
    environment = dict(os.environ)
    if completing:
        environment |= {"_HPO_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": completing}
        environment |= {"COMP_CWORD": str(len(completing.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *words.split()],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr.strip() == "loaded:"
    assert ("quickstart" if completing else "hpo-bench") in done.stdout


def parameters():
    """Every command with each of its parameters, as the parser has them."""
    for name, each in typer.main.get_command(cli.app).commands.items():
        context = typer.Context(each, info_name=name)
        yield from ((context, parameter) for parameter in each.get_params(context))


def test_help_says_of_every_option_what_it_is_and_which_value_it_has(command):
    for context, parameter in parameters():
        assert len(parameter.help) > 15, (context.info_name, parameter.name)
        is_given = parameter.required or parameter.multiple or getattr(parameter, "is_flag", False)
        default = parameter.get_default(context, call=False)
        assert is_given or default is not None or isinstance(parameter.show_default, str), parameter
    for words in (["run", "--help"], ["results", "--help"], ["--help"]):
        code, output, _ = command(*words)
        assert code == 0
        assert "<bool>" not in output


def test_names_complete(command):
    write_run("sqlite:///hpo-bench.db", [])
    found = {(context.info_name, p.name): (context, p) for context, p in parameters()}
    for name, parameter, before, typed, completed in (
        ("run", "name", [], "quick", ["quickstart"]),
        ("run", "name", [], "to", ["toy.toml"]),
        ("worker", "methods", ["quickstart"], "grid,ra", ["grid,random"]),
        ("run", "objectives", ["tables"], "hpolib-s", ["hpolib-slice"]),
        ("results", "name", [], "wri", ["written"]),
        ("report", "names", [], "wri", ["written"]),
        ("compare", "new", [], "wri", ["written"]),
        ("check", "target", [], "len", ["lenet5"]),
        ("check", "target", [], "ps", ["pso"]),
    ):
        context, taken = found[name, parameter]
        context.args = before
        values = [item.value for item in taken.shell_complete(context, typed)]
        assert values == completed, (name, parameter)


def test_run_shows_each_run_and_ends_with_the_table(ran):
    output, errors = ran
    assert "[2/2] toy/" in errors
    assert "epochs spent" in errors
    for word in ("grid", "random", "test accuracy", "wall s", "toy plain", "hpo-bench dashboard"):
        assert word in output


def test_results_in_every_format(ran, command):
    code, output, _ = command("results", "toy")
    assert code == 0
    assert "random" in output
    _, output, _ = command("results", "toy", "--format", "csv")
    assert {row["method"] for row in csv.DictReader(io.StringIO(output))} == {"grid", "random"}
    _, output, _ = command("results", "toy", "--format", "json")
    assert {run["epochs"] for run in json.loads(output)["runs"]} == {9}
    _, output, _ = command("results", "toy", "--format", "markdown")
    assert output.startswith("| method | seeds | score |")


def test_failures_are_shown_with_where_they_were_raised(command):
    options = ("--set", "objective.options.fail_at=1", "--methods", "grid")
    code, _, errors = command("run", "toy.toml", *options, "--set", "budget.epochs=300")
    assert code in (0, 1), errors
    code, output, _ = command("results", "toy", "--failures")
    assert code == 0
    assert "evaluations failed: RuntimeError: this x always fails" in output
    assert 'raise RuntimeError("this x always fails")' in output
    code, _, errors = command("results", "toy", "--failures", "--format", "csv")
    assert code == 2
    assert "--format" in errors


def test_where_nothing_failed_that_is_said(ran, command):
    _, output, _ = command("results", "toy", "--failures")
    assert output == "toy: no evaluation has failed\n"


def test_a_report_is_written_also_of_few_runs(ran, command, tmp_path):
    arguments = ("--targets", "-20,-12", "--rope", "0.5", "--figures", "pictures")
    code, output, errors = command("report", "toy", *arguments)
    assert code == 0, errors
    assert "Written: toy.html, " in output
    assert (tmp_path / "pictures" / "finals.pdf").exists()
    assert "too few seeds to say" in (tmp_path / "toy.html").read_text()
    code, output, _ = command("report", "toy", "--output", "toy.md")
    assert code == 0
    assert "| method | runs | score [95%] |" in (tmp_path / "toy.md").read_text()


def test_the_suite_in_a_report_is_the_one_that_was_run(ran, command, tmp_path):
    command("report", "toy", "--output", "toy.md")
    (text,) = re.findall(r"```toml\n(.*?)```", (tmp_path / "toy.md").read_text(), re.DOTALL)
    (tmp_path / "toy.toml").write_text(text)
    code, _, errors = command("run", "toy.toml")
    assert code == 0, errors  # another suite of that name would have been refused
    assert "epochs spent" in errors


def test_suites_are_compared_by_exit_status(ran, command, tmp_path):
    storage = f"sqlite:///{tmp_path}/hpo-bench.db"
    code, output, errors = command("compare", "toy", f"{storage}#toy")
    assert code == 3, errors
    assert output.count("too few seeds to say") == 2
    code, output, _ = command("compare", "toy", "toy", "--measure", "test", "--format", "json")
    assert code == 3
    assert json.loads(output)["exit_status"] == 3


def test_flags_lay_other_values_over_the_suite(command, tmp_path):
    code, _, errors = command(
        "run",
        "toy.toml",
        *("--methods", "random", "--seeds", "3,5-6", "--workers", "2"),
        *("--storage", f"sqlite:///{tmp_path}/other.db"),
        *("--set", "name=mine", "--set", "budget.epochs=3", "--set", "space.x={low=1,high=2}"),
    )
    assert code == 0, errors
    names = optuna.get_all_study_names(f"sqlite:///{tmp_path}/other.db")
    assert sorted(names) == [f"mine/random/seed-0{n}" for n in (3, 5, 6)]
    study = optuna.load_study(study_name=names[0], storage=f"sqlite:///{tmp_path}/other.db")
    (trial,) = study.trials
    assert trial.params["x"] in (1, 2)


def test_names_may_be_spaced_and_look_like_a_date_and_what_is_told_can_be_pasted(command, tmp_path):
    flags = ("--methods", "random, random", "--set", "name=2026-11-25")
    code, output, errors = command("run", "toy.toml", *flags, "--storage", "sqlite:///my own.db")
    assert code == 0, errors
    assert "2026-11-25/random/seed-00" in errors
    assert f"hpo-bench dashboard --storage 'sqlite:///{tmp_path}/my own.db'" in output


def test_no_line_of_an_error_is_folded_in_a_file(command, monkeypatch):
    monkeypatch.delenv("COLUMNS")
    _, _, errors = command("run", "nothing")
    (line,) = errors.splitlines()
    assert line.endswith("tables; or a .toml file")


def test_signs_that_cannot_be_written_are_told_by_their_code(command, monkeypatch):
    open_storage("sqlite:///hpo-bench.db")
    bare = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", bare)
    code, _, errors = command("status", "toy.toml")
    bare.flush()
    assert code == 0, errors
    assert rb"\u2013" in bare.buffer.getvalue()


def test_long_names_are_folded_and_not_cut(command, monkeypatch):
    open_storage("sqlite:///hpo-bench.db")
    monkeypatch.setenv("COLUMNS", "60")
    code, output, errors = command("status", "toy.toml", "--set", f"name={'long-' * 12}name")
    assert code == 0, errors
    folded = "".join(line[:24].strip() for line in output.splitlines()[1:])
    assert "-name/random/seed-00" in folded


def test_a_grid_beyond_the_budget_is_said_before_the_run(command):
    _, _, errors = command("run", "toy.toml")
    assert "note: grid: its 81 points are more than the 3 that the budget allows" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "quikstart"], "did you mean 'quickstart'"),
        (["run", "toy.toml", "--methods", "pos"], "--methods: 'pos' cannot be used"),
        (["run", "toy.toml", "--seeds", "a"], "--seeds: 'a' cannot be used; expected numbers"),
        (["run", "toy.toml", "--seeds", "5-3"], "'5-3' cannot be used; expected the lower number"),
        (["run", "toy.toml", "--seeds", "0-999999999"], "expected 10000 seeds at most"),
        (["run", "toy.toml", "--seeds", ",".join(["0-9999"] * 9)], "expected 10000 seeds at most"),
        (["run", "toy.toml", "--set", ".".join("a" * 20000) + "=1"], "a key of 32 parts at most"),
        (["run", "toy.toml", "--set", "budget"], "--set: 'budget' cannot be used"),
        (["run", "toy.toml", "--set", "budget..epochs=3"], "expected KEY=VALUE"),
        (["run", "toy.toml", "--set", "budget.epochs=" + "9" * 5000], "budget.epochs"),
        (["run", "toy.toml", "--set", "budget=" + "[" * 5000], "budget"),
        (["run", "toy.toml", "--set", "budget.epochs=3\nworkers=2"], "budget.epochs"),
        (["run", "toy.toml", "--set", "budget.epoch=3"], "did you mean 'epochs'"),
        (["run", "toy.toml", "--set", "name.x=3"], "name is not a table"),
        (["run", "toy.toml", "--workers", "none"], "workers"),
        (["run", "toy.toml", "--storage", "sqlite:////no/where.db"], "does not exist"),
        (["run", "toy.toml", "--checkpoint-dir", "/dev/null/x"], "--checkpoint-dir"),
        (["results", "toy"], "there is no such file; has a suite been run here?"),
        (["report", "toy"], "there is no such file; has a suite been run here?"),
        (["dashboard"], "there is no such file; has a suite been run here?"),
    ],
)
def test_what_is_wrong_is_told_in_a_line_and_nothing_is_run(command, tmp_path, arguments, message):
    code, output, errors = command(*arguments)
    assert code == 2
    assert "error: " in errors
    assert message in errors
    assert "Traceback" not in output + errors


def test_a_suite_of_several_objectives_is_reported_and_compared_as_one(command, tmp_path):
    text = SUITE.replace("[objective]\n", "[objectives.a]\n")
    text = text.replace("[budget]", '[objectives.b]\nname = "toy:Curve"\n[budget]')
    (tmp_path / "both.toml").write_text(text)
    code, _, errors = command("run", "both.toml")
    assert code == 0, errors
    code, output, errors = command("report", "both", "--output", "both.md")
    assert code == 0, errors
    told = (tmp_path / "both.md").read_text()
    assert told.startswith("# both\n")
    assert "Mean ranks over 2 objectives (both.a, both.b)" in told
    code, output, _ = command("compare", "both", "both", "--format", "json")
    assert code == 3
    found = [(c["suite"], c["method"]) for c in json.loads(output)["methods"]]
    assert found == [(f"both.{o}", m) for o in "ab" for m in ("grid", "random")]
    code, _, errors = command("compare", "both", "both.a")
    assert code == 2
    assert "expected the same objectives as in the old: both.a, both.b" in errors


@pytest.mark.parametrize(
    ("old", "message"),
    [
        ("other", "no runs of suite 'other' in this storage; it holds toy"),
        ("sqlite:///hpo-bench.db", "expected SUITE or STORAGE#SUITE"),
        ("sqlite:///hpo-bench.db#", "expected SUITE or STORAGE#SUITE"),
        ("sqlite:///no.db#toy", "there is no such file"),
    ],
)
def test_what_cannot_be_compared_is_told(ran, command, old, message):
    code, _, errors = command("compare", old, "toy")
    assert code == 2
    assert message in errors


LOGIN = "postgresql+psycopg://me:SECRET@127.0.0.1:1/b"
QUERY = "postgresql+psycopg://127.0.0.1:1/b?user=me&password=SECRET"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "doubled.toml"], "has 2 times the budget"),
        (["run", "toy.toml", "--set", f'storage=["{LOGIN}"]'], "storage: cannot be used"),
        (["run", "toy.toml", "--storage", QUERY], "refused"),
        (["run", "toy.toml", "--set", LOGIN], "expected KEY=VALUE"),
        (["run", LOGIN], "or a .toml file"),
        (["run", LOGIN.replace("SECRET", "SECRET AND SECRET")], "or a .toml file"),
        (["run", "host=h user=me password=SECRET dbname=b"], "or a .toml file"),
        (["run", "host=h password='SECRET AND SECRET'"], "or a .toml file"),
        (["run", "me:SECRET@host/b"], "or a .toml file"),
        (["run", "host=h", "password=SECRET"], "unexpected extra argument"),
        ([LOGIN], "No such command"),
        (["run", "toy.toml", f"--{LOGIN}"], "No such option"),
        (["run", "toy.toml", "--engine", LOGIN], "is not one of"),
        (["results", "toy", "--storage", "host=h password=SECRET"], "expected a URL like"),
        (["compare", LOGIN, "toy"], "expected SUITE or STORAGE#SUITE"),
        (["compare", f"{QUERY}#toy", "toy"], "refused"),
        (["results", LOGIN], f"no runs of suite '{LOGIN.replace('SECRET', '***')}'"),
        (["doctor", "--storage", QUERY], "refused"),
    ],
)
def test_no_fault_shows_a_password(ran, command, tmp_path, arguments, message):
    text = SUITE.replace("random = {}", "random = { budget_factor = 2 }")
    (tmp_path / "doubled.toml").write_text(f'storage = "{LOGIN}"\n{text}')
    code, output, errors = command(*arguments)
    assert code != 0
    assert message in output + errors
    assert "SECRET" not in output + errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["other"], "no runs of suite 'other' in this storage; it holds toy"),
        (["toy", "--output", "toy.pdf"], "--output: 'toy.pdf' cannot be used; expected one of"),
        (["toy", "--targets", "a"], "--targets: 'a' cannot be used; expected numbers"),
        (["toy", "--rope", "0"], "rope: 0.0 cannot be used"),
    ],
)
def test_a_report_that_cannot_be_made_says_why(ran, command, tmp_path, arguments, message):
    code, output, errors = command("report", *arguments)
    assert code == 2
    assert message in errors
    assert "Traceback" not in output + errors


def test_a_failed_run_ends_with_its_reason_and_a_failing_exit_status(command):
    code, output, errors = command(
        "run",
        "toy.toml",
        *("--methods", "random", "--set", "space={x=1,y={low=0.0,high=1.0}}"),
        *("--set", "objective.options.fail_at=1"),
    )
    assert code == 1
    assert "5 evaluations in a row failed, the last with RuntimeError: this x always" in errors
    assert "1 of 1 runs not finished" in output


def test_lists(command):
    code, output, _ = command("suites")
    assert code == 0
    assert all(name in output for name in ("quickstart", "lenet5-cifar10-small"))
    _, output, _ = command("methods")
    assert all(name in output for name in ("grid", "random", "pso", "bohb", "hpo-bench 0."))
    _, output, _ = command("objectives")
    assert "lenet5" in output


@pytest.mark.parametrize("name", ["run", "results", "report", "compare", "dashboard"])
def test_help_has_examples(command, name):
    code, output, _ = command(name, "--help")
    assert code == 0
    assert f"hpo-bench {name}" in output
    assert "Example" in output


def test_version(command):
    code, output, _ = command("--version")
    assert code == 0
    assert output.startswith("hpo-bench 0.")


FOREIGN = "[/b][link=http://x]y[/link]\x1b]0;title\x07\u202e"


@pytest.mark.parametrize(
    "arguments",
    [
        (FOREIGN,),
        ("run", FOREIGN),
        ("run", f"{FOREIGN}.toml"),
        ("run", "toy.toml", "--set", f"name={FOREIGN}"),
        ("run", "toy.toml", "--set", f"space.{FOREIGN}=1"),
        ("run", "toy.toml", f"--{FOREIGN}"),
        ("run", "toy.toml", "--methods", FOREIGN),
        ("results", FOREIGN),
        ("check", FOREIGN),
        ("check", "toy:Curve", "--set", f"{FOREIGN}=1"),
        ("doctor", "--storage", f"sqlite:///{FOREIGN}/x.db"),
    ],
)
def test_no_word_is_markup_and_none_reaches_the_terminal_raw(command, ran, arguments):
    code, output, errors = command(*arguments)
    assert code in (1, 2)
    told = output + errors
    assert "[/b][link" in told
    assert not {"\x1b", "\x07", "\u202e"} & set(told)


def test_the_names_of_a_storage_are_no_markup(command, ran, tmp_path):
    storage = open_storage(f"sqlite:///{tmp_path / 'hpo-bench.db'}")
    for study_name in optuna.get_all_study_names(storage):
        study = optuna.load_study(study_name=study_name, storage=storage)
        study.set_user_attr("finished", FOREIGN)
    for arguments in (("status", "toy.toml"), ("results", "toy")):
        code, output, errors = command(*arguments)
        assert code == 0, errors
        assert not {"\x1b", "\x07", "\u202e"} & set(output + errors)


def test_results_and_report_take_the_file_of_a_suite(command, toy_file, tmp_path):
    toy_file(f"storage = 'sqlite:///own.db'\nname = 'mine'{SUITE}", name="my-suite")
    code, _, errors = command("run", "my-suite.toml")
    assert code == 0, errors
    code, output, errors = command("results", "my-suite.toml")
    assert code == 0, errors
    assert "random" in output
    code, _, errors = command("report", "my-suite.toml", "--output", "mine.md")
    assert code == 0, errors
    assert (tmp_path / "mine.md").read_text().startswith("# mine\n")
    code, _, errors = command("compare", "my-suite.toml", "my-suite.toml")
    assert code == 3, errors
    code, _, errors = command("results", "my-suite.toml", "--storage", "sqlite:///no.db")
    assert code == 2
    assert "no.db" in errors


def test_a_taken_port_is_told_before_the_address(command, ran):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, output, errors = command("dashboard", "--port", port)
    assert code == 2
    assert f"--port: {port} cannot be used" in errors
    assert "http" not in output


def test_a_missing_extra_is_named(command, ran, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    code, _, errors = command("dashboard")
    assert code == 2
    assert "pip install 'hpo-bench[dashboard]'" in errors


def test_the_dashboard_serves_the_studies_on_loopback(ran, tmp_path):
    import subprocess
    import time
    from urllib.request import urlopen

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "hpo_bench", "dashboard", "--port", str(port)], cwd=tmp_path
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=5).read()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        names = {study["study_name"] for study in json.loads(answer)["study_summaries"]}
        assert names == {"toy/grid/seed-00", "toy/random/seed-00"}
    finally:
        server.terminate()
        server.wait()


SEVERAL = (
    SUITE.replace("[objective]", "[objectives.low]")
    + """
[objectives.high]
name = "toy:Curve"
options = { epochs = 9 }
"""
)


def test_several_objectives_are_run_and_shown_by_one_name(command, toy_file):
    toy_file(SEVERAL, name="both")
    code, output, errors = command("run", "both.toml")
    assert code == 0, errors
    assert "[4/4] both." in errors
    assert "note: both.low: grid: its 81 points" in errors.replace("\n", " ")
    assert output.index("both.low") < output.index("both.high")
    code, again, _ = command("results", "both")
    assert code == 0
    assert again.index("both.high") < again.index("both.low")
    assert command("results", "both.low", "--format", "csv")[0] == 0
    assert command("report", "both", "--output", "both.csv")[0] == 0
    assert {"both.low", "both.high"} <= set(re.findall(r"both\.\w+", Path("both.csv").read_text()))
    code, _, errors = command("results", "both", "--format", "csv")
    assert code == 2
    assert "expected one objective's" in errors


def test_one_of_several_objectives_is_run_alone(command, toy_file):
    toy_file(SEVERAL, name="both")
    code, output, errors = command("run", "both.toml", "--objectives", "high", "--methods", "grid")
    assert code == 0, errors
    assert "[1/1] both.high/grid/seed-00" in errors
    assert "both.low" not in output


def test_a_shipped_table_is_compared_in_simulated_time(command):
    flags = ("--objectives", "nasbench201-cifar10", "--methods", "random,pso", "--seeds", "0-1")
    code, output, errors = command("run", "tables", *flags)
    assert code == 0, errors
    assert "[4/4] tables.nasbench201-cifar10/" in errors
    assert "recorded trainings NASBench201 'cifar10'" in output
    code, output, _ = command("results", "tables", "--format", "json")
    runs = json.loads(output)["runs"]
    assert [run["evaluations"] for run in runs] == [60] * 4
    assert all(run["wall_seconds"] > run["train_seconds"] > 60_000 for run in runs)


def test_check_tells_what_is_kept_and_what_is_broken(command):
    code, output, errors = command("check", "toy:Curve", "--set", "epochs=2")
    assert code == 0, output + errors
    assert "ok     resumable" in output
    code, output, _ = command("check", "toy:Curve", "--set", "epochs=0")
    assert code == 1
    assert "FAILED fidelity" in output
    code, _, errors = command("check", "toy:Curve", "--set", "epoch=2")
    assert code == 2
    assert "did you mean 'epochs'" in errors


def test_new_writes_a_package(command, tmp_path):
    code, output, errors = command("new", "sampler", "my-sampler")
    assert code == 0, errors
    assert "pip install -e '.[test]'" in output
    assert (tmp_path / "my-sampler" / "my_sampler.py").exists()


def test_doctor_ends_by_what_it_has_found(command, tmp_path):
    code, output, errors = command("doctor")
    assert code == 0, output + errors
    assert "ok       storage" in output
    code, output, _ = command("doctor", "--storage", f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}")
    assert code == 1
    assert "give another one with --storage" in output


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (("run", "quick"), {"quickstart"}),
        (("run", "to"), {"toy.toml"}),
        (("run", "tables", "--methods", "random,b"), {"random,bohb"}),
        (("record", "nothing-of-this-name"), set()),
    ],
)
def test_the_shell_completes_suites_and_methods(command, monkeypatch, words, completed):
    monkeypatch.setenv("_HPO_BENCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(("hpo-bench", *words)))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    _, output, _ = command()
    assert set(output.split()) == completed


def test_every_command_shows_how_it_is_called():
    for name, one in typer.main.get_command(cli.app).commands.items():
        assert f"hpo-bench {name}" in (one.epilog or ""), name


LOOKING = [["status"], ["results"], ["report"], ["compare"], ["dashboard"]]


def test_a_suite_file_names_its_runs_for_every_command_that_looks(command, tmp_path, monkeypatch):
    served = []
    monkeypatch.setattr("optuna_dashboard.run_server", lambda *args, **_: served.append(args))
    file = tmp_path / "folder" / "mine.toml"
    file.parent.mkdir()
    file.write_text(f'name = "other"\nstorage = "sqlite:///own.db"\n{SUITE}')
    assert command("run", "folder/mine.toml", "--methods", "random")[0] == 0
    file.write_text(file.read_text().replace("toy:Curve", "gone:Gone"))  # looking imports nothing
    code, output, errors = command("results", "folder/mine.toml")
    assert (code, "random" in output) == (0, True), errors
    code, output, errors = command("report", "folder/mine.toml", "--output", "page.md")
    assert "# other" in (tmp_path / "page.md").read_text(), errors
    code, output, errors = command("compare", "folder/mine.toml", "folder/mine.toml")
    assert (code, "random" in output) == (3, True), errors
    code, output, errors = command("dashboard", "folder/mine.toml")
    assert (code, len(served)) == (0, 1), errors
    code, _, errors = command("dashboard", "another", "--storage", "sqlite:///own.db")
    assert "no runs of suite 'another' in this storage; it holds other" in errors


@pytest.mark.parametrize("words", [["run"], *LOOKING], ids=lambda words: words[0])
def test_a_suite_file_that_cannot_be_read_is_told_by_every_command(command, tmp_path, words):
    (tmp_path / "broken.toml").write_text("a = = b")
    for file, told in (("nothing.toml", "it cannot be read"), ("broken.toml", "not valid TOML")):
        code, _, errors = command(*words, *([file] * (2 if words == ["compare"] else 1)))
        assert code == 2
        assert told in errors


def test_a_suite_is_shown_and_copied_with_its_comments(command, tmp_path):
    shipped = suite.shipped()["quickstart"]
    code, output, errors = command("show", "quickstart")
    assert (code, output) == (0, shipped), errors
    (tmp_path / "named.toml").write_text(f'name = "first"  # mine\n{SUITE}')
    for source, made in ([], "copy"), (["--from", "named.toml"], "second"):
        code, output, errors = command("new", "suite", made, *source)
        assert (code, f"hpo-bench run {made}.toml" in output) == (0, True), errors
    assert (tmp_path / "copy.toml").read_text() == shipped
    assert (tmp_path / "second.toml").read_text() == SUITE
    assert command("run", "second.toml")[0] == 0
    assert command("results", "second")[0] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["show", "quickstrt"], "did you mean 'quickstart'"),
        (["show", "nothing.toml"], "it cannot be read"),
        (["new", "suite", "toy"], "toy.toml is there; take another name"),
        (["new", "suite", "a/b"], "NAME: 'a/b' cannot be used; expected letters"),
        (["new", "suite", "mine", "--from", "nothing"], "or a .toml file"),
        (["new", "suite", "mine", "--directory", "toy.toml"], "it cannot be written"),
        (["new", "sampler", "mine", "--from", "quickstart"], "only a new suite is a copy"),
    ],
)
def test_what_cannot_be_shown_or_copied_is_told(command, tmp_path, words, told):
    before = (tmp_path / "toy.toml").read_text()
    code, _, errors = command(*words)
    assert (code, told in errors) == (2, True), errors
    assert {path.name for path in tmp_path.iterdir()} == {"toy.toml"}
    assert (tmp_path / "toy.toml").read_text() == before
