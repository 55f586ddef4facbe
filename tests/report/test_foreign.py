import csv
import io

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial
from written import job, write_run, write_suite

from hpo_bench.analysis.results import collect
from hpo_bench.analysis.summary import summarise
from hpo_bench.report import foreign, markdown, table
from hpo_bench.report.files import write, write_figures
from hpo_bench.report.notes import write_notes
from hpo_bench.report.parts import Code, Table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("![x](https://example.org/x.png)", r"!\[x](https\://example.org/x.png)"),
        ("[x]: https://example.org", r"\[x]: https\://example.org"),
        (r"\[x](y)", r"\\\[x](y)"),
        ("[1](y)", r"\[1](y)"),
        ("<img src=x>", "&lt;img src=x>"),
        ("a\n# b | `c`", r"a\\n# b \| \`c\`"),
        ("# a", r"\# a"),
        ("1. a", r"1\. a"),
        ("0.8157 ± 0.0091", "0.8157 ± 0.0091"),
        ("www.example.org", r"www\.example.org"),
        ("a_suite: 0.65 [0.64, 0.66], 1e-05 [–]", "a_suite: 0.65 [0.64, 0.66], 1e-05 [–]"),
        ("\x1b\u202e", r"\\x1b\\u202e"),
    ],
)
def test_markdown_shows_what_others_have_written(text, shown):
    assert foreign.markdown(text) == shown


def test_code_in_markdown_ends_where_it_ends():
    made = markdown.part(Code("a\n```\n<b>", "sh"))
    assert made == "````sh\na\n```\n<b>\n````"


def test_a_cell_in_markdown_is_one_cell():
    made = markdown.table(Table(["a", "b"], [["x | y\n| z", "1"]]))
    assert made.splitlines()[2] == r"| x \| y\\n\| z | 1 |"


@pytest.mark.parametrize("first", "=+-@\t\r")
def test_a_cell_in_csv_is_no_formula(first):
    text = table.records_to_csv([{f"{first}name": f"{first}1+1", "number": -1.5}])
    (heading, row) = csv.reader(io.StringIO(text))
    assert heading[0][0] == row[0][0] == "'"
    assert row[1] == "-1.5"


def test_latex_shows_what_others_have_written():
    assert foreign.tex("[x]\\input{y}\n") == r"{}[x]\textbackslash{}input\{y\}\textbackslash{}n"
    assert foreign.tex("[0.1, 0.2]") == "{}[0.1, 0.2]"


def test_a_files_name_is_short_and_harmless():
    assert foreign.file_name("../../etc/passwd") == "etc-passwd"
    assert foreign.file_name("slice-" + 600 * "x") == "slice-" + 94 * "x"
    assert foreign.file_name("/") == "unnamed"


def searching(storage, space):
    """A run of two evaluations for each choice of a space."""
    study = write_run(storage, [0.5])
    for trial in range(max(len(dist.choices) for dist in space.values())):
        params = {name: dist.choices[trial % len(dist.choices)] for name, dist in space.items()}
        for value in (0.1, 0.2):
            told = {"jobs": [vars(job(value, epochs=3))]}
            study.add_trial(
                create_trial(value=value, params=params, distributions=space, user_attrs=told)
            )


CHOICES = {
    "mixed": CategoricalDistribution((True, "a", 1.5)),
    "none": CategoricalDistribution((None, "a", "$x^")),
    "x" * 600: CategoricalDistribution(("a", "b")),
    "x" * 601: CategoricalDistribution(("a", "b")),
}


def test_choices_of_several_types_are_drawn_by_their_text(tmp_path):
    storage = optuna.storages.InMemoryStorage()
    searching(storage, CHOICES)
    summary = summarise(storage, "written")
    write(tmp_path / "page.html", [summary], "sqlite:///x.db")
    made = write_figures(tmp_path / "figures", [summary], "sqlite:///x.db", "svg")
    slices = [path for path in made if path.name.startswith("slice-")]
    assert len({path.name for path in slices}) == 4
    assert all(len(path.name) < 120 for path in slices)
    assert ">True<" in (tmp_path / "figures" / "slice-mixed.svg").read_text()
    assert ">None<" in (tmp_path / "figures" / "slice-none.svg").read_text()


def test_a_note_loads_no_image(tmp_path):
    storage = optuna.storages.InMemoryStorage()
    space = {"kind": CategoricalDistribution(("![x](https://example.org/x.png)", "<img src=x>"))}
    searching(storage, space)
    study = optuna.load_study(study_name="written/random/seed-00", storage=storage)
    for trial in range(2):
        told = {"jobs": [vars(job(0.9 + trial, epochs=3))]}
        params = {"kind": space["kind"].choices[trial]}
        study.add_trial(
            create_trial(value=0.9 + trial, params=params, distributions=space, user_attrs=told)
        )
        write_notes(storage)
        note = "".join(
            str(value)
            for name, value in storage.get_study_system_attrs(study._study_id).items()
            if name.startswith("dashboard:note_str")
        )
        assert "kind = " in note
        assert "![" not in note
        assert "<img" not in note


@pytest.mark.parametrize("ending", ["html", "md", "tex", "csv", "json", "parquet"])
def test_numbers_beyond_a_float_are_shown_in_every_format(tmp_path, ending):
    storage = optuna.storages.InMemoryStorage()
    for method, sign in (("random", 1), ("pso", -1)):
        for seed in range(7):
            write_run(storage, [sign * 1.7e308, sign * 1.6e308], method=method, seed=seed)
    summary = summarise(storage, "written")
    write(tmp_path / f"made.{ending}", [summary], "sqlite:///x.db")
    assert {m.name: m.validation.mean for m in summary.methods} == {
        "random": 1.7e308,
        "pso": -1.6e308,
    }


def test_a_seed_that_no_format_holds_is_left_out(tmp_path):
    storage = optuna.storages.InMemoryStorage()
    write_suite(storage, seeds=2)
    write_run(storage, [0.5], seed=2**63)
    result = collect(storage, "written")
    assert len(result.runs) == 4
    told = {(fault.study, fault.field) for fault in result.left_out}
    assert told == {(f"written/random/seed-{2**63}", "seed")}
