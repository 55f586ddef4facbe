import json

import optuna
import pytest
from optuna_dashboard import get_note
from typer.testing import CliRunner
from written import write_run, write_suite

from hpo_bench.analysis.summary import summarise
from hpo_bench.cli import app
from hpo_bench.report import dashboard
from hpo_bench.report.dashboard import write_figures

KEYS = {"hpo-bench-curve-epochs", "hpo-bench-finals"}


def pictures_of(storage, name):
    """As the dashboard puts them together; neither it nor a study has a public name for them."""
    from optuna_dashboard._custom_plot_data import get_plotly_graph_objects

    study = optuna.load_study(study_name=name, storage=storage)
    attributes = study._storage.get_study_system_attrs(study._study_id)
    return {key: json.loads(text) for key, text in get_plotly_graph_objects(attributes).items()}


@pytest.fixture
def storage():
    made = optuna.storages.InMemoryStorage()
    write_suite(made, seeds=2)
    return made


def test_every_study_has_the_pictures_of_its_suite(storage):
    write_run(storage, [], suite="other", finished=None)
    assert write_figures(storage) == (5, [])
    for name in ("written/pso/seed-00", "written/random/seed-01", "written+summary"):
        pictures = pictures_of(storage, name)
        assert pictures.keys() == KEYS
        (curve,) = summarise(storage, "written").curves["epochs"][:1]
        drawn = pictures["hpo-bench-curve-epochs"]["data"][2]
        assert drawn["name"] == curve.method
        assert drawn["y"] == pytest.approx(curve.median.tolist(), rel=1e-5)
    assert pictures_of(storage, "other/random/seed-00") == {}


def test_pictures_are_replaced_and_not_multiplied(storage):
    write_figures(storage)
    for seed in range(2):
        write_run(storage, [0.99], method="tpe", seed=seed)
    assert write_figures(storage) == (7, [])
    pictures = pictures_of(storage, "written/pso/seed-00")
    assert pictures.keys() == KEYS
    names = {trace["name"] for trace in pictures["hpo-bench-curve-epochs"]["data"]}
    assert names == {"pso", "random", "tpe"}


def test_a_suite_of_too_many_studies_is_named(storage, monkeypatch):
    monkeypatch.setattr(dashboard, "MAX_STUDIES", 3)
    told = "written: pictures on its summary alone, it has too many studies"
    assert write_figures(storage) == (1, [told])


def test_the_command_writes_notes_and_pictures(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    write_suite(url, seeds=1)
    monkeypatch.setattr("optuna_dashboard.run_server", lambda *args, **kwargs: None)
    result = CliRunner().invoke(app, ["dashboard", "--notes", "--storage", url])
    assert result.exit_code == 0, result.output
    assert "pictures on 3 studies" in result.output
    assert pictures_of(url, "written/pso/seed-00").keys() == KEYS
    study = optuna.load_study(study_name="written/pso/seed-00", storage=url)
    assert get_note(study).startswith("## pso, seed 0")
