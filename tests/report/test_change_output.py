import csv
import io
import json

import optuna
from rich.console import Console
from written import write_run

from hpo_bench.analysis.change import compare_suites
from hpo_bench.report import change


def test_objectives_are_named_where_there_are_several():
    storage = optuna.storages.InMemoryStorage()
    for name in ("many.a", "many.b"):
        write_run(storage, [0.5], suite=name)
    changes = compare_suites([((storage, name), (storage, name)) for name in ("many.a", "many.b")])
    made = change.to_table(changes)
    assert made.headings[:2] == ["objective", "method"]
    assert [row[:2] for row in made.rows] == [["a", "random"], ["b", "random"]]


def test_every_format_tells_the_same():
    old, new = optuna.storages.InMemoryStorage(), optuna.storages.InMemoryStorage()
    for seed in range(8):
        write_run(old, [0.5 + 0.01 * seed], seed=seed)
        write_run(new, [0.4], seed=seed)
    changes = compare_suites([((old, "written"), (new, "written"))])
    (found,) = changes.methods
    shown = io.StringIO()
    change.print_table(changes, Console(file=shown, width=120))
    for text in (shown.getvalue(), change.to_markdown(changes)):
        assert "worse" in text
        assert f"{found.comparison.gain.mean:.4f}" in text
    (row,) = csv.DictReader(io.StringIO(change.to_csv(changes)))
    assert float(row["gain.mean"]) == found.comparison.gain.mean
    assert row["verdict"] == "worse"
    loaded = json.loads(change.to_json(changes))
    assert loaded["exit_status"] == 1
    assert loaded["methods"][0]["comparison"]["adjusted_p"] == found.comparison.adjusted_p
