import json
import re
import shlex
import sys
import tomllib
from dataclasses import asdict, replace

import optuna
import plotly.graph_objects
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial
from written import job, write_again, write_default, write_run, write_suite

from hpo_bench import suite
from hpo_bench.analysis.across import across as several_objectives
from hpo_bench.analysis.intervals import Estimate
from hpo_bench.analysis.summary import summarise
from hpo_bench.numbers import number
from hpo_bench.report import across_figures, content
from hpo_bench.report.files import write
from hpo_bench.report.parts import Code, Figure, Table, interval, probability
from hpo_bench.report.sections import across


@pytest.fixture
def storage():
    return optuna.storages.InMemoryStorage()


def sections_of(storage, name="written"):
    return {s.title: s for s in content.sections(summarise(storage, name), "sqlite:///x.db")}


def figures_of(sections):
    return {p.key: p for s in sections.values() for p in s.parts if isinstance(p, Figure)}


def tables_of(section):
    return [part for part in section.parts if isinstance(part, Table)]


def words_of(section):
    return " ".join(part for part in section.parts if isinstance(part, str))


def test_every_picture_is_one_that_plotly_takes(storage):
    write_suite(storage)
    pictures = figures_of(sections_of(storage))
    assert {
        "finals",
        "curve-evaluations",
        "curve-epochs",
        "curve-train_seconds",
        "curve-wall_seconds",
        "ecdf",
        "differences-test accuracy",
        "validation-test",
        "times",
        "importances",
        "parallel",
        "slice-x",
        "slice-y",
    } <= set(pictures)
    for picture in pictures.values():
        plotly.graph_objects.Figure(data=picture.traces, layout=picture.layout)
        json.dumps(picture.traces, allow_nan=False)


@pytest.mark.parametrize(
    ("axis", "values", "scale", "ticks"),
    [
        ("epochs", 8, "log", ["1", "2", "5"]),
        ("evaluations", 120, "log", ["1", "2", "5", "10", "20", "50", "100"]),
        ("evaluations", 3, None, None),  # too short to be stretched
        ("train_seconds", 8, None, None),  # trainings that take no time have no logarithm
    ],
)
def test_what_was_spent_is_drawn_from_the_first_to_the_last(storage, axis, values, scale, ticks):
    found = [0.5 + 0.001 * n for n in range(values)]
    write_run(storage, found, seconds=0.0)
    drawn = figures_of(sections_of(storage))[f"curve-{axis}"].layout["xaxis"]
    assert drawn.get("type") == scale
    assert drawn.get("ticktext") == ticks


def test_pictures_show_the_numbers_of_the_tables(storage):
    write_suite(storage)
    sections = sections_of(storage)
    pictures = figures_of(sections)
    results = tables_of(sections["Results"])[0]
    means = {t["name"]: t for t in pictures["finals"].traces}
    for row in results.rows:
        made = means[f"{row[0]}, mean"]
        mean = made["x"][0]
        ends = mean - made["error_x"]["arrayminus"][0], mean + made["error_x"]["array"][0]
        assert row[2] == f"{number(mean)} [{number(ends[0])}, {number(ends[1])}]"
        (curve,) = [
            t
            for t in pictures["curve-epochs"].traces
            if t["name"] == row[0] and t.get("showlegend", True)
        ]
        assert row[3].startswith(number(curve["y"][-1]))
    pairs = tables_of(sections["Differences between methods"])[0]
    drawn = pictures["differences-validation accuracy"].traces[0]
    assert [row[0] for row in pairs.rows] == drawn["y"]
    assert [row[2].split()[0] for row in pairs.rows] == [number(x) for x in drawn["x"]]
    times = tables_of(sections["Where the time goes"])[0]
    assert [float(row[2]) for row in times.rows] == pytest.approx(
        pictures["times"].traces[0]["x"], abs=0.51
    )


def test_a_difference_is_said_first(storage):
    write_suite(storage, methods={"random": 0.0, "pso": 0.2, "tpe": 0.01})
    words = words_of(sections_of(storage)["Results"])
    assert "Best mean validation accuracy: pso, " in words
    assert "Shown to differ: pso over tpe, random." in words


def test_few_seeds_are_said_to_be_few(storage):
    write_suite(storage, seeds=2, methods={"random": 0.0, "pso": 0.2})
    sections = sections_of(storage)
    assert "So few runs say nothing of whether methods differ" in words_of(sections["Results"])
    assert all("[–]" in row[2] for row in tables_of(sections["Results"])[0].rows)
    (_, pairs) = tables_of(sections["Differences between methods"])
    assert {row[-1] for row in pairs.rows} == {"too few seeds to say"}


def test_incomplete_runs_are_shown_as_such(storage):
    write_suite(storage, seeds=2)
    write_run(storage, [0.7], method="pso", seed=2, finished=None)
    write_run(storage, [0.7, None], method="pso", seed=3, finished=None)
    write_run(storage, [], method="pso", seed=4, finished=None)
    sections = sections_of(storage)
    words = words_of(sections["Results"])
    assert "of 7 runs, 1 not finished yet, 1 whose last evaluation failed, 1 without any" in words
    assert "1 evaluation failed" in words
    cells = {row[0]: row[1] for row in tables_of(sections["Results"])[0].rows}
    assert "Statistics are of the 4 finished." in words
    assert cells["pso"] == "5 (1 empty, 1 failed, 1 partial)"
    runs = {row[0]: row for row in tables_of(sections["Runs"])[0].rows}
    assert runs["pso / 3"][1:3] == ["failed", "RuntimeError: it failed"]
    assert runs["pso / 4"][1] == "empty"


@pytest.mark.parametrize("values", [[], [None]])
def test_a_suite_that_has_found_nothing_still_has_a_report(storage, values):
    write_run(storage, values, finished=None)
    sections = sections_of(storage)
    assert "No finished run has found anything yet." in words_of(sections["Results"])
    assert "Anytime curves" not in sections
    assert "No targets" in words_of(sections["Targets"])


def test_ranks_of_one_objective_are_refused_in_words(storage):
    write_suite(storage)
    assert "they need several objectives" in words_of(
        sections_of(storage)["Differences between methods"]
    )


def test_a_verdict_can_be_read_from_its_interval_in_every_table(storage):
    write_suite(storage, seeds=6, methods={"random": 0.0, "pso": 0.2, "tpe": 0.01, "cma": 0.1})
    for seed in range(6):
        write_default(storage, 0.61, seed=seed, test=0.6)
    tables = tables_of(sections_of(storage)["Differences between methods"])
    assert len(tables) == 3
    seen = set()
    for table in tables:
        place = table.headings.index("advantage [95%]")
        for row in table.rows:
            low, high = map(float, row[place].split("[")[1].rstrip("]").split(", "))
            expected = {True: "better", False: "worse"}[low > 0] if low * high > 0 else None
            seen.add(expected)
            assert row[-1] == expected or (expected is None and row[-1] not in ("better", "worse"))
    assert seen == {"better", None} or seen == {"better", "worse", None}


def test_the_region_of_equivalence_and_its_sensitivity_are_said(storage):
    write_suite(storage, seeds=6)
    for seed in range(6):
        write_default(storage, 0.5, seed=seed, test=0.5)
    section = sections_of(storage)["Differences between methods"]
    table = tables_of(section)[0]
    assert "%)" in table.rows[0][table.headings.index("equivalent within")]
    assert "The verdict says equivalent within ±" in table.caption
    assert "Of 1 pairs are equivalent:" in words_of(section)
    assert "1 within 50% of the way from the default to the best run" in words_of(section)


def test_a_saturated_objective_makes_no_claim(storage):
    for seed in range(8):
        for method, found in (("pso", 0.9), ("tpe", 0.9), ("random", 0.5 + 0.001 * seed)):
            write_run(storage, [found], method=method, seed=seed)
    words = words_of(sections_of(storage)["Results"])
    assert "Saturated: half or more of the runs of pso, tpe sit at the best value" in words
    assert "Shown to differ" not in words


def test_a_target_that_ended_the_runs_is_said_and_compared_by_running_times(storage):
    for seed in range(6):
        told = {"attributes": {"budget": {"epochs": 60, "target": 0.8}}}
        for method, misses in (("pso", 1 + seed % 2), ("tpe", 10 + seed % 2)):
            found = [0.5] * misses + [0.9]
            end = "target reached"
            write_run(storage, found, method=method, seed=seed, finished=end, **told)
    sections = sections_of(storage)
    words = words_of(sections["Results"])
    assert "Least expected running time to the target 0.8000: pso, 2.5 full evaluations" in words
    assert "Shown to differ: pso over tpe." in words
    differences = sections["Differences between methods"]
    assert "ended runs that reached it" in words_of(differences)
    (table,) = tables_of(differences)
    assert table.caption.startswith("By epochs until the target")
    (targets,) = tables_of(sections["Targets"])
    assert targets.headings == ["method", "0.8000"]
    assert targets.rows[0][1].startswith("2.5 [")


def test_selection_bias_and_overtuning_have_their_own_tables(storage):
    for seed in range(4):
        write_run(storage, [0.5, 0.7], seed=seed, tests=[0.6, 0.55])
        write_default(storage, 0.5, seed=seed, test=0.49)
    section = sections_of(storage)["Validation and test"]
    bias, overtuning = tables_of(section)
    assert [row[0] for row in bias.rows] == ["random", "(default)"]
    assert "selection bias" in bias.caption
    assert overtuning.headings == ["method", "overtuning [95%]", "runs"]
    assert overtuning.rows == [["random", "0.05 [0.05, 0.05]", "4 of 4"]]
    assert "Overtuning (Schneider et al. 2025)" in overtuning.caption


def test_the_default_and_the_test_over_time_are_drawn(storage):
    write_suite(storage, seeds=3)
    for seed in range(3):
        write_default(storage, 0.61, seed=seed, test=0.6)
    pictures = figures_of(sections_of(storage))
    for key, value in (("curve-epochs", 0.61), ("curve-test", 0.6)):
        (line,) = (t for t in pictures[key].traces if t["name"] == "(default)")
        assert line["y"] == [pytest.approx(value)] * 2
        methods = {t["name"] for t in pictures[key].traces} - {"(default)"}
        assert methods == {"random", "pso"}


def test_runs_that_found_nothing_are_compared_and_said(storage):
    write_suite(storage, seeds=4)
    write_run(storage, [None, None], method="pso", seed=4)
    sections = sections_of(storage)
    words = words_of(sections["Differences between methods"])
    assert "Runs that found nothing (pso 1) are compared, too" in words
    results = tables_of(sections["Results"])[0]
    failed = {row[0]: row[results.headings.index("failed")] for row in results.rows}
    assert failed == {"random": "0", "pso": "2"}


def test_a_saturated_objective_is_left_out_of_what_several_say(storage):
    for name in ("a", "b", "flat"):
        for seed in range(6):
            for place, method in enumerate(("pso", "tpe", "random")):
                told = 0.5 + 0.1 * place + 0.001 * seed if name != "flat" else 0.9
                write_run(storage, [0.4, told], suite=name, method=method, seed=seed)
    summaries = [summarise(storage, name) for name in ("a", "b", "flat")]
    section = across.section(summaries)
    assert "Left out of everything but the last table of means: flat is saturated." in section.parts
    tables = {tuple(table.headings[:2]): table for table in tables_of(section)}
    assert "2 objectives (a, b)" in tables["method", "mean rank"].caption
    assert [row[0] for row in tables["objective", "random"].rows] == ["a", "b", "flat"]
    few = across.section([summaries[0], summaries[2]])
    assert "Fewer than two objectives are left" in words_of(few)


def test_objectives_of_one_family_are_said_to_be_one(storage):
    for name in ("a", "b", "c"):
        told = {"attributes": {"objective": "hpobench", "objective_options": {"dataset": name}}}
        write_suite(storage, suite=name, seeds=4, methods={"random": 0.0, "pso": 0.2}, **told)
    section = across.section([summarise(storage, name) for name in ("a", "b", "c")])
    words = words_of(section)
    assert "each with the same weight: hpobench (3)." in words
    assert "With 1 family of objectives, no result whatever would show" in words
    pictures = figures_of({"across": section})
    assert list(pictures) == ["regret-budget", "rank-budget", "profiles"]
    for picture in pictures.values():
        plotly.graph_objects.Figure(data=picture.traces, layout=picture.layout)
        json.dumps(picture.traces, allow_nan=False)


def test_several_objectives_are_ranked(storage):
    methods = {"random": 0.0, "pso": 0.1, "tpe": 0.2}
    for name in ("first", "second", "third"):
        write_suite(storage, suite=name, methods=methods, seeds=2)
    summaries = [summarise(storage, name) for name in ("first", "second", "third")]
    section = across.section(summaries)
    tables = {tuple(table.headings[:2]): table for table in tables_of(section)}
    ranks, means = tables["method", "mean rank"], tables["objective", "tpe"]
    assert [row[0] for row in ranks.rows] == ["tpe", "pso", "random"]
    assert means.headings == ["objective", "tpe", "pso", "random"]
    first = {method.name: method.validation for method in summaries[0].methods}
    assert means.rows[0] == ["first", *(interval(first[m]) for m in means.headings[1:])]
    assert "Friedman" in words_of(section)
    pictures = figures_of({"across": section})
    assert {"regret-budget", "rank-budget", "profiles"} <= pictures.keys()


SUITE_TABLE = {
    "name": "written",
    "objective": {
        "name": "toy:Curve",
        "options": {"epochs": 3, "flavour": 'a "quote", \\ \x7f \u202e 😀'},
    },
    "space": {"x": {"low": -4, "high": 4}, "y": {"low": -4.0, "high": 4.0, "step": 1.0}},
    "budget": {"epochs": 36, "target": 0.9},
    "seeds": [3, 5],
    "workers_per_run": 2,
    "deterministic": True,
    "confirm": 2,
    "methods": {
        "tpe": {
            "sampler": "optuna.samplers:TPESampler",
            "options": {"n_startup_trials": 5},
            "pruner": "optuna.pruners:SuccessiveHalvingPruner",
            "pruner_options": {"reduction_factor": 3},
        },
        "random": {},
        "random-2x": {"method": "random", "budget_factor": 2},
    },
}


def write_runs_of(storage, made):
    for method in made.methods:
        for seed in made.seeds:
            told = {"resolved_suite": made.repeating(method)}
            write_run(storage, [0.5], method=method, seed=seed, suite=made.name, attributes=told)


@pytest.mark.parametrize("changes", [{}, {"space": None}])
def test_the_suite_in_the_report_is_the_suite(storage, changes):
    made = suite.parse(SUITE_TABLE | changes)
    write_runs_of(storage, made)
    shown, text = repeated_by(storage)
    assert suite.parse(tomllib.loads(text)) == made
    assert shown == "hpo-bench run written.toml --storage sqlite:///repeated.db"
    assert text.isprintable() is False  # for its line ends alone
    assert text.replace("\n", "").isprintable()


def test_a_suite_that_no_study_says_is_left_out(storage):
    write_run(storage, [0.5], attributes={"resolved_suite": None})
    assert not [p for p in sections_of(storage)["Manifest"].parts if isinstance(p, Code)]


def repeated_by(storage, name="written"):
    """The command and the suite file of a report's manifest."""
    return [p.text for p in sections_of(storage, name)["Manifest"].parts if isinstance(p, Code)]


def test_a_directory_that_no_study_says_is_named(storage):
    objective = {"name": "lenet5", "options": {"data": "imagefolder", "data_dir": "/home/me"}}
    write_runs_of(storage, suite.parse(SUITE_TABLE | {"objective": objective, "space": None}))
    options = tomllib.loads(repeated_by(storage)[1])["objective"]["options"]
    assert options == {"data": "imagefolder", "data_dir": "DIRECTORY"}
    assert "DIRECTORY being that of its data" in words_of(sections_of(storage)["Manifest"])


def test_no_directory_is_asked_for_where_none_was_given(storage):
    write_runs_of(storage, suite.parse(SUITE_TABLE))
    assert "DIRECTORY" not in words_of(sections_of(storage)["Manifest"])


def test_the_command_cannot_be_one_of_somebody_else(storage):
    name = "$(touch x);\nrm -rf ~ `id` ..|..|x"
    write_run(storage, [0.5], suite=name)
    shown, _ = repeated_by(storage, name)
    assert shown.split() == shlex.split(shown)
    assert re.fullmatch(r"hpo-bench run [\w.-]+\.toml --storage sqlite:///repeated\.db", shown)


@pytest.mark.parametrize("ending", ["html", "md", "tex", "csv", "json", "parquet"])
def test_a_report_runs_nothing_that_its_studies_name(storage, tmp_path, monkeypatch, ending):
    (tmp_path / "canary.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\ndef sing(**_): pass"
    )
    monkeypatch.syspath_prepend(tmp_path)
    named = {
        "method": "canary:sing",
        "objective": "hpo_bench.objectives.table.recorder:recorder",
        "objective_options": {"of": "canary:sing", "args": ["touch", "ran"]},
        "pruner": "canary:sing",
    }
    write_run(storage, [0.5], attributes=named)
    summary = summarise(storage, "written")
    write(tmp_path / f"report.{ending}", [summary], "sqlite:///x.db")
    assert "canary" not in sys.modules
    assert not (tmp_path / "ran").exists()


def test_the_manifest_tells_every_machine(storage):
    write_run(storage, [0.5], seed=0, attributes={"cpu": "one"})
    write_run(storage, [0.5], seed=1, attributes={"cpu": "another"})
    section = sections_of(storage)["Manifest"]
    rows = dict(tables_of(section)[-1].rows)
    assert rows["cpu"] == "one | another"
    assert any(isinstance(part, Code) and "hpo-bench run" in part.text for part in section.parts)


def test_numbers_are_short():
    assert [probability(p) for p in (1.0, 0.04126, 0.00098, 2e-9)] == [
        "1.000",
        "0.041",
        "0.001",
        "2e-09",
    ]
    assert [number(v) for v in (0.86949, 0.0, -0.0006993, 0.00001234, 12345.678, None)] == [
        "0.8695",
        "0",
        "-0.000699",
        "1.23e-05",
        "1.23e+04",
        "–",
    ]
    assert interval(None) == "–"
    assert interval(Estimate(0.5, None, None, 3)) == "0.5000 [–]"


def test_baselines_and_what_was_trained_again_stand_in_the_report(storage):
    write_suite(storage, seeds=7)
    for seed in range(7):
        write_default(storage, 0.6123, seed=seed, test=0.6011)
        write_again(storage, [0.7, 0.72], method="pso", seed=seed, tests=[0.69, 0.71])
        more = {"attributes": {"method": "random", "budget_factor": 2, "budget": {"epochs": 72}}}
        write_run(storage, [0.8], method="random-2x", seed=seed, tests=[0.75], **more)
    sections = sections_of(storage)
    results = tables_of(sections["Results"])[0]
    assert [row[0] for row in results.rows] == ["random-2x", "pso", "random", "(default)"]
    assert results.rows[-1][2].startswith("0.6123 ")
    assert "random-2x: has 2 times the budget of the others" in results.caption
    assert results.rows[1][results.headings.index("confirmed test [95%]")].startswith("0.7000 ")
    (again,) = tables_of(sections["Trained again"])
    assert [row[:2] for row in again.rows] == [
        ["pso, validation accuracy", "14"],
        ["pso, test accuracy", "14"],
    ]
    (runs,) = tables_of(sections["Runs"])
    (told,) = (row for row in runs.rows if row[0] == "pso / 3")
    assert told[runs.headings.index("confirmed test")] == "0.7000 ± 0.0141"
    *_, against = tables_of(sections["Differences between methods"])
    assert [row[0] for row in against.rows] == [
        "pso over (default)",
        "random over (default)",
        "pso over random-2x",
        "random over random-2x",
    ]
    assert words_of(sections["Results"]).startswith("Best mean validation accuracy: pso, ")


def test_incumbents_that_do_not_train_again_are_told(storage):
    write_suite(storage, seeds=2)
    write_again(storage, [None, None], method="pso", seed=0)
    assert words_of(sections_of(storage)["Trained again"]).startswith("2 trainings of incumbents")


def test_several_workers_are_told_what_they_were_worth(storage):
    write_suite(storage, seeds=6, attributes={"workers_per_run": 2})
    *_, told = tables_of(sections_of(storage)["Where the time goes"])
    # Of a second of training and one and a half on the wall.
    assert told.rows == [["pso", "2", "0.67", "33%"], ["random", "2", "0.67", "33%"]]


def test_finished_runs_that_found_nothing_are_told(storage):
    write_suite(storage, seeds=3)
    write_run(storage, [None, None], method="pso", seed=3)
    results = sections_of(storage)["Results"]
    assert "1 finished run found nothing at all" in words_of(results)
    assert {row[0]: row[1] for row in tables_of(results)[0].rows}["pso"] == "4 (1 found nothing)"


def test_failures_are_told_once_with_where_they_were_raised(storage):
    study = write_run(storage, [0.1, None, None, 0.2])
    study.add_trial(
        create_trial(
            state=TrialState.FAIL,
            user_attrs={"error": "ValueError: <b>", "traceback": "Traceback\n  in <i>this</i>"},
        )
    )
    section = sections_of(storage)["Failed evaluations"]
    assert [part for part in section.parts if isinstance(part, str)] == [
        "2 evaluations failed: RuntimeError: it failed",
        "1 evaluation failed: ValueError: <b>",
    ]
    codes = [part for part in section.parts if isinstance(part, Code)]
    assert all(code.folded for code in codes)
    assert codes[0].text.startswith("written/random/seed-00, trial 1: x = ")
    assert codes[1].text.endswith("Traceback\n  in <i>this</i>")


def test_where_nothing_failed_no_section_says_so(storage):
    write_run(storage, [0.1, 0.2])
    assert "Failed evaluations" not in sections_of(storage)


def test_the_first_paragraph_says_in_words_what_was_found_also_when_nothing_was(storage):
    write_suite(storage, seeds=3, methods={"random": 0.0, "pso": 0.01})
    lead = sections_of(storage)["Results"].parts[0]
    assert "No two methods are shown to differ. 3 seeds are too few" in lead
    told = r"\((\w+) is [\d.e-]+ better than (\w+)\) would be shown .* with (\d+) seeds"
    found = re.search(told, lead)
    assert {found[1], found[2]} == {"pso", "random"}
    assert int(found[3]) > 3
    write_run(storage, [], suite="empty", finished=None)
    assert sections_of(storage, "empty")["Results"].parts[0].startswith("No finished run")


def test_the_space_is_told_and_a_recorded_table_by_its_values(storage):
    write_suite(storage, seeds=3)
    rows = tables_of(sections_of(storage)["Search space"])[0].rows
    assert sorted(row[:3] for row in rows) == [
        ["x", "number", "0 to 1"],
        ["y", "number, on a log scale", "0.001 to 1"],
    ]
    study = write_run(storage, [], suite="table", attributes={"is_simulated": True})
    dists = {"c1": IntDistribution(0, 2), "free": IntDistribution(0, 2)}
    for level in range(3):
        attrs = {"jobs": [asdict(job(0.1 * level, epochs=3))], "recorded_c1": 4 * 2**level}
        params = {"c1": level, "free": level}
        study.add_trial(
            create_trial(value=0.1 * level, params=params, distributions=dists, user_attrs=attrs)
        )
    sections = sections_of(storage, "table")
    pictures = figures_of(sections)
    assert tables_of(sections["Search space"])[0].rows[0][1:3] == ["recorded level", "4, 8, 16"]
    assert pictures["slice-c1"].layout["xaxis"]["ticktext"] == ["4", "8", "16"]
    assert pictures["slice-free"].layout["xaxis"]["ticktext"] == ["0", "1", "2"]
    _, c1, *_ = pictures["parallel"].traces[0]["dimensions"]
    assert (c1["tickvals"], c1["ticktext"]) == ([0, 1, 2], ["4", "8", "16"])
    assert "simulated wall s" in tables_of(sections["Results"])[0].headings
    curves = [key for key in pictures if "curve" in key]
    axes = {key: pictures[key].layout["xaxis"]["title"]["text"] for key in curves}
    assert axes["curve-wall_seconds"].startswith("simulated wall seconds")
    assert axes["curve-train_seconds"] == "simulated training seconds"
    assert "simulated" not in axes["curve-epochs"] + axes["curve-evaluations"]


def test_what_captions_speak_of_is_in_the_picture(storage):
    for place, suite_name in enumerate(("one", "two", "three")):
        methods = {"random": 0.0, "pso": 0.1 + 0.1 * place, "tpe": 0.2}
        write_suite(storage, suite=suite_name, methods=methods, seeds=5)
        for seed in range(5):
            write_default(storage, 0.5, suite=suite_name, seed=seed)
    pictures = figures_of(sections_of(storage, "one"))
    axis = pictures["differences-validation accuracy"].layout["xaxis"]
    assert (axis["zeroline"], axis["rangemode"]) == (True, "tozero")
    for key in ("curve-epochs", "curve-wall_seconds", "finals"):
        assert "(default)" in {trace["name"] for trace in pictures[key].traces}, key
    found = several_objectives([summarise(storage, name) for name in ("one", "two", "three")])
    assert across_figures.regret_over_budget(found).traces[-1]["y"] == [1.0, 1.0]
    wide = replace(found.ranking, critical_difference=5.0)
    (bars,) = across_figures.ranks(wide).traces
    ends = [x - bar for x, bar in zip(bars["x"], bars["error_x"]["arrayminus"], strict=True)]
    assert min(ends) >= 0
    assert max(bars["error_x"]["array"]) > min(bars["x"]), "the bars would go below 0"
