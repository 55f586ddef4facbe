import csv
import io
import json
import os
import re
import resource
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import optuna
import pyarrow.parquet
import pytest
from optuna.trial import TrialState, create_trial
from written import write_run, write_suite

from hpo_bench.analysis.summary import summarise
from hpo_bench.errors import HpoBenchError, InputError, MissingExtraError
from hpo_bench.report.files import write, write_figures
from hpo_bench.report.parts import interval


@pytest.fixture
def summary():
    storage = optuna.storages.InMemoryStorage()
    write_suite(storage, suite="a_suite")
    return summarise(storage, "a_suite")


@pytest.fixture
def written(summary, tmp_path):
    """Write a report; returns its text."""

    def make(ending, summaries=None):
        path = tmp_path / f"report{ending}"
        write(path, summaries or [summary], "sqlite:///x.db")
        return path.read_text() if ending != ".parquet" else path

    return make


def test_the_page_is_whole_and_asks_for_nothing(written):
    page = written(".html")
    assert len(page.encode()) < 6_000_000
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", own)
    assert "url(" not in own
    assert "@import" not in own
    for spec in re.findall(r'<script type="application/json">(.*?)</script>', page):
        assert set(json.loads(spec)) == {"data", "layout"}


def test_names_from_elsewhere_cannot_break_the_page(tmp_path):
    storage = optuna.storages.InMemoryStorage()
    evil = "</script><script>alert(1)</script>"
    write_suite(storage, metric=f"accuracy {evil}", attributes={"cpu": evil})
    path = tmp_path / "report.html"
    write(path, [summarise(storage, "written")], "sqlite:///x.db")
    assert "alert(1)</script>" not in path.read_text()


@pytest.mark.parametrize("ending", [".html", ".md", ".tex"])
def test_formats_for_people_show_the_same_numbers(written, summary, ending):
    text = written(ending)
    for method in summary.methods:
        assert interval(method.validation) in text
        assert interval(method.area) in text


def test_markdown_has_tables_only(written):
    text = written(".md")
    assert "## Targets" in text
    assert "| method |" in text
    assert "hpo-bench run" in text


def test_latex_is_escaped(written):
    text = written(".tex")
    assert r"\toprule" in text
    assert r"a\_suite" in text
    assert r"95\%" in text
    assert "–" not in text


def test_csv_has_a_line_per_run(written, summary):
    rows = list(csv.DictReader(io.StringIO(written(".csv"))))
    assert len(rows) == len(summary.runs) == 16
    assert {row["suite"] for row in rows} == {"a_suite"}
    assert [float(row["validation"]) for row in rows] == [r.validation for r in summary.runs]


def test_json_has_every_statistic(written, summary):
    (found,) = json.loads(written(".json"))
    assert found["suite"] == "a_suite"
    assert [m["validation"]["low"] for m in found["methods"]] == [
        m.validation.low for m in summary.methods
    ]
    assert found["curves"]["epochs"][0]["median"] == summary.curves["epochs"][0].median.tolist()
    assert found["comparisons"]["test"][0]["p"] == summary.comparisons["test"][0].p


def test_parquet_has_every_evaluation(written, summary):
    rows = pyarrow.parquet.read_table(written(".parquet")).to_pylist()
    assert len(rows) == sum(len(history.steps) for history in summary.histories)
    history = summary.histories[0]
    mine = [r for r in rows if (r["method"], r["seed"]) == (history.method, history.seed)]
    np.testing.assert_array_equal([r["incumbent"] for r in mine], history.incumbents)
    np.testing.assert_array_equal([r["spent_epochs"] for r in mine], history.spent("epochs"))
    assert mine[0]["parameter_x"] == history.steps[0].configuration["x"]


def searched(summary, values):
    """The same suite, its first run's parameter x having had these values."""
    history = summary.histories[0]
    steps = [
        replace(step, configuration={"x": value})
        for step, value in zip(history.steps, values, strict=False)
    ]
    return replace(summary, histories=[replace(history, steps=tuple(steps))])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["sqrt", 0.5, None], ["sqrt", "0.5", None]),
        ([0.5, 1, True], ["0.5", "1", "True"]),
        ([1, 0.5], [1.0, 0.5]),
        ([True, False], [True, False]),
    ],
)
def test_parquet_holds_choices_of_several_types_as_text(written, summary, values, expected):
    table = pyarrow.parquet.read_table(written(".parquet", [searched(summary, values)]))
    assert table["parameter_x"].to_pylist() == expected


def test_parquet_holds_a_name_that_has_another_type_in_another_suite(written, summary):
    both = [searched(summary, [1, 2]), searched(summary, ["a"])]
    table = pyarrow.parquet.read_table(written(".parquet", both))
    assert table["parameter_x"].to_pylist() == ["1", "2", "a"]


def test_several_suites_are_ranked_on_one_page(summary, tmp_path):
    storage = optuna.storages.InMemoryStorage()
    another = {"objective": "toy:Another"}
    write_suite(storage, suite="other", metric="loss", direction="minimize", attributes=another)
    both = [summary, summarise(storage, "other")]
    for ending in (".html", ".md"):
        path = tmp_path / f"both{ending}"
        write(path, both, "sqlite:///x.db")
        text = path.read_text()
        assert "Across objectives" in text
        assert "critical difference (Nemenyi" in text
        # What is drawn for each would be more than a page can hold.
        assert '"type": "parcoords"' not in text
        assert "hpo-bench run" not in text
    path = tmp_path / "both.csv"
    write(path, both, "sqlite:///x.db")
    assert {row["suite"] for row in csv.DictReader(path.open())} == {"a_suite", "other"}


def test_suites_that_cannot_be_ranked_say_why(summary, tmp_path):
    storage = optuna.storages.InMemoryStorage()
    write_suite(storage, suite="other", methods={"tpe": 0.0})
    with pytest.raises(HpoBenchError, match="two methods that were run on every objective"):
        write(tmp_path / "both.html", [summary, summarise(storage, "other")], "sqlite:///x.db")


def test_what_cannot_be_written_is_told(summary, tmp_path):
    with pytest.raises(InputError, match=r"expected one of \.html, \.md"):
        write(tmp_path / "report.pdf", [summary], "sqlite:///x.db")
    with pytest.raises(InputError, match="it cannot be written"):
        write(tmp_path / "nowhere" / "report.md", [summary], "sqlite:///x.db")


@pytest.mark.parametrize(
    ("ending", "module", "extra"),
    [(".parquet", "pyarrow", "parquet"), (".html", "plotly.offline", "report")],
)
def test_a_missing_extra_is_named(summary, tmp_path, monkeypatch, ending, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "hpo_bench.report.html", raising=False)
    with pytest.raises(MissingExtraError, match=rf"hpo-bench\[{extra}\]"):
        write(tmp_path / f"report{ending}", [summary], "sqlite:///x.db")


@pytest.mark.parametrize("ending", [".html", ".md"])
def test_tracebacks_are_folded_away_and_break_nothing(tmp_path, ending):
    storage = optuna.storages.InMemoryStorage()
    study = write_run(storage, [0.1, 0.2])
    evil = "```\n</code></pre><script>alert(1)</script>"
    told = {"error": "RuntimeError: no", "traceback": evil}
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs=told))
    path = tmp_path / f"report{ending}"
    write(path, [summarise(storage, "written")], "sqlite:///x.db")
    text = path.read_text()
    assert "1 evaluation failed: RuntimeError: no" in text
    if ending == ".html":
        assert '<details class="code"><summary>Where, the first time</summary><pre>' in text
        assert "<script>alert(1)" not in text
    else:
        (fence,) = re.findall(r"^(`+)text$", text, re.MULTILINE)
        assert f"{evil}\n{fence}\n" in text
        assert len(fence) == 4


@contextmanager
def no_room():
    """No file may become longer than a few bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("ending", [".html", ".md", ".json", ".parquet"])
def test_where_there_is_no_room_the_report_before_stays(summary, tmp_path, ending):
    path = tmp_path / f"report{ending}"
    path.write_text("the one before")
    with no_room(), pytest.raises(InputError, match="cannot be written"):
        write(path, [summary], "sqlite:///x.db")
    assert path.read_text() == "the one before"
    assert list(tmp_path.iterdir()) == [path]


def test_where_there_is_no_room_the_pictures_before_stay(summary, tmp_path):
    before = write_figures(tmp_path, [summary], "sqlite:///x.db", "svg")
    texts = {path: path.read_bytes() for path in before}
    with no_room(), pytest.raises(InputError, match="cannot be written"):
        write_figures(tmp_path, [summary], "sqlite:///x.db", "svg")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == texts


def test_what_a_link_leads_to_is_replaced_and_a_pipe_is_written_to(summary, tmp_path):
    target, link, pipe = (tmp_path / name for name in ("target.md", "link.md", "pipe.md"))
    target.write_text("the one before")
    target.chmod(0o640)
    link.symlink_to(target)
    write(link, [summary], "sqlite:///x.db")
    assert link.is_symlink()
    assert target.read_text().startswith("# a_suite")
    assert target.stat().st_mode & 0o777 == 0o640
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as reader:
        heard = reader.submit(pipe.read_text)
        write(pipe, [summary], "sqlite:///x.db")
        assert heard.result().startswith("# a_suite")
    assert pipe.is_fifo()
