import json
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from hpo_bench.analysis.timings import FASTER, SLOWER, TOO_FEW_ROUNDS, compare_timings
from hpo_bench.cli import app
from hpo_bench.errors import HpoBenchError, InputError

BENCH = """
def test_sum(benchmark):
    benchmark.pedantic(lambda: sum(range(2000)), rounds=9)
"""


def written(path, **benchmarks):
    """Write what pytest-benchmark does, as far as it is read."""
    entries = [
        {
            "fullname": f"benchmarks/{name}",
            "stats": {
                "median": float(np.median(rounds)),
                "min": min(rounds),
                "rounds": len(rounds),
                "data": list(rounds),
            },
        }
        for name, rounds in benchmarks.items()
    ]
    path.write_text(json.dumps({"benchmarks": entries}))
    return path


def rounds(seconds, *, n=30, seed=0):
    return (seconds * np.random.default_rng(seed).gamma(400, 1 / 400, n)).tolist()


@pytest.fixture
def files(tmp_path):
    def write(old, new):
        return written(tmp_path / "old.json", **old), written(tmp_path / "new.json", **new)

    return write


def test_what_has_become_slower_or_faster_is_found(files):
    old = {"a": rounds(1.0), "b": rounds(1.0, seed=1), "c": rounds(1.0, seed=2), "gone": [1.0]}
    new = {"a": rounds(1.1, seed=3), "b": rounds(0.9, seed=4), "c": rounds(1.0, seed=5)}
    slower, faster, same = compare_timings(*files(old, new))
    assert [slower.verdict, faster.verdict] == [SLOWER, FASTER]
    assert same.verdict == "no difference shown"
    assert slower.ratio == pytest.approx(np.median(new["a"]) / np.median(old["a"]))
    assert slower.low < slower.ratio < slower.high
    assert (slower.least_before, slower.least_after) == (min(old["a"]), min(new["a"]))


def test_the_interval_of_a_constant_ratio_is_that_ratio(files):
    (found,) = compare_timings(*files({"a": [2.0] * 8}, {"a": [3.0] * 8}))
    assert (found.low, found.ratio, found.high) == (1.5, 1.5, 1.5)


def test_few_rounds_say_nothing(files):
    (found,) = compare_timings(*files({"a": [1.0] * 5}, {"a": [9.0] * 30}))
    assert (found.ratio, found.low, found.verdict) == (9.0, None, TOO_FEW_ROUNDS)


def test_alarms_are_seldom_where_nothing_has_changed(files):
    """Five benchmarks at once, twenty times: an alarm in one of them, but for luck."""
    alarms = 0
    for repetition in range(20):
        old = {str(n): rounds(1.0, seed=[repetition, n, 0]) for n in range(5)}
        new = {str(n): rounds(1.0, seed=[repetition, n, 1]) for n in range(5)}
        found = compare_timings(*files(old, new))
        alarms += any(timing.verdict in (SLOWER, FASTER) for timing in found)
    assert alarms <= 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "JSONDecodeError"),
        ("{}", "KeyError: 'benchmarks'"),
        ('{"benchmarks": [{"fullname": "a", "stats": {"median": 0, "min": 1, "rounds": 1}}]}', "0"),
    ],
)
def test_what_is_no_such_file_is_named(tmp_path, text, told):
    good, bad = written(tmp_path / "good.json", a=[1.0]), tmp_path / "bad.json"
    bad.write_text(text)
    with pytest.raises(InputError, match=rf"^NEW: .*bad\.json.*pytest-benchmark: .*{told}"):
        compare_timings(good, bad)
    with pytest.raises(InputError, match=r"^OLD: .*nowhere\.json"):
        compare_timings(tmp_path / "nowhere.json", good)


def test_nothing_in_common_is_an_error(files):
    with pytest.raises(HpoBenchError, match="no benchmark in common"):
        compare_timings(*files({"a": [1.0]}, {"b": [1.0]}))


@pytest.mark.parametrize(("seconds", "status"), [(1.0, 0), (0.5, 0), (2.0, 1)])
def test_the_command_ends_with_its_verdict(files, seconds, status):
    old, new = files({"a": rounds(1.0)}, {"a": rounds(seconds, seed=1)})
    result = CliRunner().invoke(app, ["compare", str(old), str(new), "--format", "json"])
    assert result.exit_code == status, result.output
    told = json.loads(result.output)
    assert told["exit_status"] == status
    assert told["benchmarks"][0]["after"] == pytest.approx(seconds, rel=0.02)
    for form, expected in (("table", "ratio"), ("markdown", "| a |"), ("csv", "benchmarks/a,")):
        output = CliRunner().invoke(app, ["compare", str(old), str(new), "--format", form]).output
        assert expected in output


def test_medians_and_minima_are_those_of_pytest_benchmark(tmp_path):
    (tmp_path / "test_it.py").write_text(BENCH)
    options = ["--benchmark-autosave", "--benchmark-save-data", "-p", "no:cacheprovider", "-q"]
    command = [sys.executable, "-m", "pytest", "test_it.py", *options]
    # Under pytest-xdist it would not measure.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    for more in ([], ["--benchmark-compare"]):
        done = subprocess.run(
            [*command, *more], cwd=tmp_path, env=alone, capture_output=True, text=True, check=True
        )
    old, new = sorted((tmp_path / ".benchmarks").rglob("*.json"))
    (found,) = compare_timings(old, new)
    assert found.name == "test_it.py::test_sum"
    assert found.rounds == (9, 9)
    assert found.low is not None
    # Its own table has the ratio of minima behind the slower of the two, in brackets.
    shown = max(found.least_before, found.least_after) / min(found.least_before, found.least_after)
    assert shown == 1 or f"({shown:.2f})" in done.stdout
