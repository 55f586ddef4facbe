"""Whatever a file holds, out comes a suite or a table, or an error that says what is wrong."""

import copy
import os
import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import toy_table

from hpo_bench import suite
from hpo_bench.errors import HpoBenchError
from hpo_bench.objectives.table.files import read

CASES = 10_000 if os.environ.get("HPO_BENCH_LONG") else 150

fuzzed = settings(
    max_examples=CASES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def fault(call):
    """What is told of a fault; None if there is none. Any other error is a failure."""
    try:
        call()
    except HpoBenchError as error:
        return str(error).strip()
    return None


@st.composite
def damaged(draw, content):
    """Cut, replace and repeat parts of a text or of bytes."""
    for _ in range(draw(st.integers(1, 3))):
        a, b = sorted(draw(st.tuples(*[st.integers(0, len(content))] * 2)))
        put = draw(st.text(max_size=8)) if isinstance(content, str) else draw(st.binary(max_size=8))
        repeats = draw(st.sampled_from([0, 1, 1, 2, 3000]))
        content = content[:a] + put * repeats + draw(st.sampled_from([content[b:], content[a:]]))
    return content


def places(table, path=()):
    """Where the values of a table are, of every depth."""
    for key, value in table.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from places(value, (*path, key))


@st.composite
def changed(draw, table):
    """Replace, rename, add and drop values of a table."""
    table = copy.deepcopy(table)
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(sorted(places(table))))
        inner = table
        for key in parents:
            inner = inner[key]
        what = draw(st.sampled_from(["replace", "add", "drop"]))
        if what == "replace":
            inner[last] = draw(VALUES)
        elif what == "add":
            inner[draw(st.text())] = draw(VALUES)
        else:
            del inner[last]
        if not table:
            break
    return table


TEXT = suite.shipped()["quickstart"]


@fuzzed
@given(table=changed(tomllib.loads(TEXT) | {"name": "quickstart"}))
def test_a_changed_suite_is_checked_or_refused(table):
    assert fault(lambda: suite.parse(table).check()) != ""


@fuzzed
@given(text=damaged(TEXT) | st.text())
def test_a_damaged_suite_file_is_read_or_refused(tmp_path, text):
    path = tmp_path / "damaged.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    assert fault(lambda: suite.load_all(str(path))) != ""


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
@fuzzed
@given(data=st.data())
def test_a_damaged_table_is_read_or_refused(tmp_path, ending, data):
    whole = tmp_path / f"whole.{ending}"
    if not whole.exists():
        toy_table(whole)
    path = tmp_path / f"damaged.{ending}"
    path.write_bytes(data.draw(damaged(whole.read_bytes())))
    assert "damaged" in (fault(lambda: read(path)) or "damaged")


@pytest.mark.parametrize(
    "text", ["a = " + 5000 * "[", f"a = 1{5000 * '0'}", "a = {" * 3000, "\x00", "a = 1979-13-99"]
)
def test_a_suite_file_that_overtaxes_the_reader_is_refused(tmp_path, text):
    path = tmp_path / "hard.toml"
    path.write_text(text)
    with pytest.raises(HpoBenchError, match=r"hard\.toml"):
        suite.load_all(str(path))
